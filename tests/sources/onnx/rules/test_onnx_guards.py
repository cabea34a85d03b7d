"""What guards a division, a logarithm or an exponential stays, on zeros and far from them."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekit.engine.worker import Worker
from edgekit.nouns.model import Waist
from edgekit.waist import graph
from edgekit.waist.tensors import Array
from tests.sources.onnx.onnx_cases import build, f32, i64, save
from tests.sources.onnx.onnx_proof import computed, convert, expected, sqnr_db

VECTOR, IMAGE = "float[1,6] x", "float[1,3,4,5] x"

PROBES = {
    "zeros": np.zeros,
    "ones": np.ones,
    "a negative constant": lambda shape: np.full(shape, -1e3),
    "tiny": lambda shape: np.random.default_rng(3).standard_normal(shape) * 1e-10,
    "small": lambda shape: np.random.default_rng(4).standard_normal(shape) * 1e-7,
    "large": lambda shape: np.random.default_rng(5).standard_normal(shape) * 1e6,
    "normal": lambda shape: np.random.default_rng(6).standard_normal(shape),
}
"""Samples that tell a guard from its absence."""


def probed(worker: Worker, model: onnx.ModelProto, folder: Path, atol: float = 0.0) -> Waist:
    """Every output agrees at 60 dB on every probe by itself where the source is finite, or within ``atol``."""
    path = save(folder, model)
    waist = convert(worker, path, folder / "waist")
    shape = waist.signature.inputs[0].source_shape
    samples: dict[str, Array] = {"x": np.stack([draw(shape) for draw in PROBES.values()]).astype(np.float32)}
    reference, got = expected(worker, path, folder, samples), computed(waist, folder / "waist", samples)
    for name, values in reference.items():
        for probe, right, value in zip(PROBES, values, got[name], strict=True):
            finite = np.isfinite(right)
            assert np.isfinite(value[finite]).all(), (name, probe)
            close = np.abs(right[finite] - value[finite]).max(initial=0) <= atol
            assert close or sqnr_db(right[finite], value[finite]) >= 60, (name, probe)
    return waist


@pytest.mark.parametrize("epsilon", [1e-12, 1e-8, 1e-7, 1e-6, 2e-6, 1e-3])
def test_guards_of_a_norm_stay(epsilon: float, worker: Worker, tmp_path: Path) -> None:
    body = """
        n = ReduceL2<axes=[1]>(x) m = ReduceL1<axes=[1]>(x) q = Mul(x, x) s = ReduceSum(q, one)
        a = Clip(n, e) ya = Div(x, a)     b = Max(n, e) yb = Div(x, b)      c = Max(e, n) yc = Div(x, c)
        d = Add(n, e) yd = Div(x, d)      f = Clip(m, e) yf = Div(x, f)     g = Clip(n, e, six) yg = Div(x, g)
        h = Add(s, e) i = Sqrt(h) yh = Div(x, i)     k = Max(s, e) l = Sqrt(k) o = Reciprocal(l) yk = Mul(x, o)
        p = Clip(m, e, almost) yp = Div(x, p)        r = Max(n, e) t = Min(r, almost) yt = Div(x, t)
    """
    names = "abcdfghkpt"
    outputs = ", ".join(f"float[] y{name}" for name in names)
    model = build(
        VECTOR, body, outputs, e=np.float32(epsilon), one=i64(1), six=np.float32(6), almost=np.float32(1 - 5e-6)
    )
    probed(worker, model, tmp_path)


@pytest.mark.parametrize("epsilon", [1e-12, 1e-7, 1e-3])
def test_guards_over_channels_stay(epsilon: float, worker: Worker, tmp_path: Path) -> None:
    body = """
        n = ReduceL2<axes=[1]>(x) c = Clip(n, e) w = Expand(c, size) y = Div(x, w)
        r = Relu(x) g = Max(r, e) z = Log(g) u = Clip(x, low, e) v = Mul(u, scale)
    """
    numbers = {"low": -epsilon, "scale": 1 / epsilon, "e": epsilon}
    constants = {name: np.float32(value) for name, value in numbers.items()}
    model = build(IMAGE, body, "float[] y, float[] z, float[] v", size=i64(1, 3, 4, 5), **constants)
    probed(worker, model, tmp_path)


def test_norms_of_zeros_are_zeros(worker: Worker, tmp_path: Path) -> None:
    forms = [(p, axis) for p in (1, 2) for axis in (1, 2, -1)]
    body = " ".join(f"y{i} = LpNormalization<p={p}, axis={axis}>(x)" for i, (p, axis) in enumerate(forms))
    outputs = ", ".join(f"float[] y{i}" for i in range(len(forms)))
    probed(worker, build(IMAGE, body, outputs), tmp_path)


def test_logarithms_of_sums_stay_finite(worker: Worker, tmp_path: Path) -> None:
    body = """
        a = Softplus(x) b = ReduceLogSumExp<axes=[1]>(x) c = LogSoftmax<axis=1>(x) d = LogSoftmax(x) e = Asinh(x)
        f = ReduceLogSumExp<keepdims=0>(x) s = Softmax(x) g = Log(s)
    """
    outputs = ", ".join(f"float[] {name}" for name in "abcdefg")
    waist = probed(worker, build(IMAGE, body, outputs), tmp_path, atol=2e-7)
    names = [operator.name for operator in graph.read(tmp_path / "waist" / waist.file)[0].operators]
    assert names.count("LOG_SOFTMAX") == 3


@pytest.mark.parametrize("said", ["", '<approximate="none">', '<approximate="tanh">'])
def test_each_gelu_is_its_own(said: str, worker: Worker, tmp_path: Path) -> None:
    """They are 4e-4 apart, which is 70 dB: enough to pass for each other."""
    path = save(tmp_path, build("float[1,3,4,5] x", f"y = Gelu{said}(x)", "float[] y", opset=20))
    waist = convert(worker, path, tmp_path / "waist")
    samples: dict[str, Array] = {"x": np.linspace(-6, 6, 600, dtype=np.float32).reshape(10, 1, 3, 4, 5)}
    reference, got = expected(worker, path, tmp_path, samples), computed(waist, tmp_path / "waist", samples)
    assert np.abs(reference["y"] - got["y"]).max() < 5e-6


@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 1, 1), (4, 1), (5,), (1,)])
def test_what_a_choice_leaves_out_may_be_infinite(shape: tuple[int, ...], worker: Worker, tmp_path: Path) -> None:
    """Division without NaN, and a mask of minus infinity before a softmax, in any broadcast."""
    mask = np.random.default_rng(2).random(shape) < 0.5
    body = """
        m = ReduceMax<axes=[1]>(x) z = Equal(m, zero) d = Div(x, m) y = Where(z, zero, d)
        n = Where(mask, minus, x) s = Softmax(n) v = Where(mask, zero, s) w = Where(mask, x, minus) e = Exp(w)
        h = Abs(x) k = Sub(least, h) infinite = Add(k, k) t = Where(all, x, infinite)
    """
    outputs = "float[] y, float[] v, float[] e, float[] t"
    constants = {"zero": np.float32(0), "minus": np.float32(-np.inf), "least": np.finfo(np.float32).min}
    given = build(IMAGE, body, outputs, mask=mask, all=np.ones_like(mask), **constants)
    waist = probed(worker, given, tmp_path)
    names = {operator.name for operator in graph.read(tmp_path / "waist" / waist.file)[0].operators}
    assert {"SELECT", "SELECT_V2"} & names
    assert "CAST" not in names


def test_only_exact_bounds_become_activations(worker: Worker, tmp_path: Path) -> None:
    bounds = {"a": (0, 6), "b": (-1, 1), "c": (1e-7, 6), "d": (-1, 1 - 1e-6), "f": (0, 1), "g": (1e-7, 1)}
    body = " ".join(f"{name} = Clip(x, {name}low, {name}high)" for name in bounds)
    constants = {f"{n}{side}": np.float32(v) for n, pair in bounds.items() for side, v in zip(("low", "high"), pair, strict=True)}  # fmt: skip
    waist = probed(worker, build(VECTOR, body, ", ".join(f"float[] {n}" for n in bounds), **constants), tmp_path)
    names = [operator.name for operator in graph.read(tmp_path / "waist" / waist.file)[0].operators]
    assert [names.count(kind) for kind in ("RELU6", "RELU_N1_TO_1", "RELU_0_TO_1")] == [1, 1, 1]


NORMS = {
    "layer": build("float[1,3,6] x", "y = LayerNormalization(x, a, b)", a=(6,), b=(6,)),
    "group": build("float[1,4,5,5] x", "y = GroupNormalization<num_groups=2>(x, a, b)", opset=21, a=(4,), b=(4,)),
    "instance": build(IMAGE, "y = InstanceNormalization<epsilon=0.001>(x, a, b)", a=(3,), b=(3,)),
    "root mean square": build("float[1,6,8] x", "y = RMSNormalization(x, a)", opset=23, a=(8,)),
    "by hand": build(VECTOR, "q = Mul(x, x) m = ReduceMean<axes=[1]>(q) v = Add(m, e) d = Sqrt(v) y = Div(x, d) z = Mul(d, x)", "float[] y, float[] z", e=np.float32(1e-5)),
    "reciprocal": build(VECTOR, "q = Mul(x, x) m = ReduceMean<axes=[1]>(q) v = Add(m, e) d = Sqrt(v) r = Reciprocal(d) y = Mul(x, r)", e=np.float32(1e-5)),
    "prelu": build("float[1,3,6] x", "y = PRelu(x, a) q = PRelu(y, b) z = PRelu(q, c)", "float[] y, float[] z", a=(3, 6), b=(6,), c=f32(0.1)),
    "computed prelu": build("float[1,3,6] x", "s = ReduceMean<axes=[1]>(x) y = PRelu(x, s)"),
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(NORMS))
def test_normalizations_multiply_by_a_reciprocal_root(kind: str, worker: Worker, tmp_path: Path) -> None:
    waist = probed(worker, NORMS[kind], tmp_path)
    names = {operator.name for operator in graph.read(tmp_path / "waist" / waist.file)[0].operators}
    assert "DIV" not in names
    assert ("RSQRT" in names) != ("prelu" in kind)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["normalize_clip", "normalize_add"])
def test_reported_embeddings_of_a_black_image_are_zero(name: str, worker: Worker, tmp_path: Path, shared: Path) -> None:
    waist = convert(worker, shared / "models" / "reported" / f"{name}.onnx", tmp_path / "waist")
    black: dict[str, Array] = {"x": np.zeros((1, 1, 3, 32, 32), np.float32)}
    assert not computed(waist, tmp_path / "waist", black)["y"].any()
