"""What stays float in an int8 file: index arithmetic, guards, joins of different ranges."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.backends.tflite import attempts
from edgekit.backends.tflite.ready import norms
from edgekit.errors import Unsupported
from edgekit.waist import exact, graph
from edgekit.waist.tensors import sqnr_db
from tests import networks
from tests.backends.integers import Quantized, normal

pytestmark = pytest.mark.study


def convolved(net: networks.Network, x: int, shape: tuple[int, ...], *, seed: int = 0, scale: float = 1.0) -> int:
    """A 1×1 convolution to ``shape`` [1, h, w, c], whose output is about ``scale``."""
    channels = int(net.subgraph.tensors[x].shape[-1])
    weights = net.constant(f"k{seed}", networks.weights(shape[-1], 1, 1, channels, seed=seed) * np.float32(scale))
    bias = net.constant(f"b{seed}", np.zeros(shape[-1], np.float32))
    options = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1, "padding": networks.VALID}
    return net.operator("CONV_2D", [x, weights, bias], shape, kind="Conv2DOptions", **options)


def sampler(path: Path, *, given: bool, steps: int) -> Path:
    """Linear interpolation of a table at positions: floor, fraction, GATHER; positions are an input or computed."""
    net = networks.Network()
    x = net.input("x", (1, steps))
    y = net.input("table", (1, 40))
    if not given:
        weights, bias = (
            net.constant("k", networks.weights(steps, steps)),
            net.constant("b", np.zeros(steps, np.float32)),
        )
        x = net.operator("FULLY_CONNECTED", [x, weights, bias], (1, steps), kind="FullyConnectedOptions")
        x = net.operator("LOGISTIC", [x], (1, steps))
        x = net.operator("MUL", [x, net.constant("width", np.array([37.9], np.float32))], (1, steps), kind="MulOptions")
    low = net.operator("FLOOR", [x], (1, steps))
    fraction = net.operator("SUB", [x, low], (1, steps), kind="SubOptions")
    index = net.operator("CAST", [low], (1, steps), dtype="int32", kind="CastOptions")
    one = net.constant("one", np.ones(1, np.int32))
    after = net.operator("ADD", [index, one], (1, steps), dtype="int32", kind="AddOptions")
    flat = net.operator("RESHAPE", [y, net.constant("s", np.array([40], np.int32))], (40,), kind="ReshapeOptions")
    left = net.operator("GATHER", [flat, index], (1, steps), kind="GatherOptions", axis=0)
    right = net.operator("GATHER", [flat, after], (1, steps), kind="GatherOptions", axis=0)
    step = net.operator("SUB", [right, left], (1, steps), kind="SubOptions")
    part = net.operator("MUL", [step, fraction], (1, steps), kind="MulOptions")
    return net.save(path, net.operator("ADD", [left, part], (1, steps), name="y", kind="AddOptions"))


@pytest.mark.parametrize(("given", "steps"), [(True, 8), (True, 31), (False, 8)])
def test_positions_stay_float(given: bool, steps: int, tmp_path: Path) -> None:
    path = sampler(tmp_path / "waist.tflite", given=given, steps=steps)
    samples = normal(path, 64)
    if given:
        samples["source_x"] = np.random.default_rng(0).uniform(0, 38.9, samples["source_x"].shape).astype(np.float32)
    made = Quantized(path, samples, tmp_path / "out")
    assert made.sqnr_db()["y"] > (30 if given else 12)  # computed ones come out of integers themselves
    assert "CAST" in made.floats()
    assert made.made.signature.inputs[0].dtype == ("float32" if given else "int8")
    with pytest.raises(Unsupported, match="would stay float32"):
        Quantized(path, samples, tmp_path / "full", settings={"full_integer": True})


def test_a_comparison_of_the_networks_own_activations_needs_no_floats(tmp_path: Path) -> None:
    net = networks.Network()
    y = convolved(net, net.input("x", (1, 4, 4, 3)), (1, 4, 4, 5))
    axis = net.constant("axis", np.array(3, np.int32))
    best = net.operator("ARG_MAX", [y, axis], (1, 4, 4), dtype="int32", kind="ArgMaxOptions", outputType=2)
    path = net.save(tmp_path / "waist.tflite", best)
    made = Quantized(path, normal(path), tmp_path / "out", settings={"full_integer": True})
    wanted, got = (side(made.samples)["source_arg_max_1"] for side in (made.wanted, made.outputs))
    assert (wanted == got).mean() > 0.95


def normalized(path: Path, form: str, epsilon: float) -> Path:
    """A vector of a dense layer, divided by its norm; ``form`` says how, with a guard of ``epsilon``."""
    net = networks.Network()
    x = net.input("x", (1, 16))
    weights, bias = net.constant("k", networks.weights(16, 16)), net.constant("b", np.zeros(16, np.float32))
    x = net.operator("FULLY_CONNECTED", [x, weights, bias], (1, 16), kind="FullyConnectedOptions")
    axis, guard = net.constant("axis", np.array([1], np.int32)), net.constant("guard", np.array([epsilon], np.float32))
    if form == "softsign":
        size = net.operator("ABS", [x], (1, 16))
        size = net.operator("ADD", [size, guard], (1, 16), kind="AddOptions")
    else:
        square = net.operator("MUL", [x, x], (1, 16), kind="MulOptions")
        reduce = "MEAN" if form.startswith("rms") else "SUM"
        size = net.operator(reduce, [square, axis], (1, 1), kind="ReducerOptions", keepDims=True)
        if form in {"rms", "rsqrt"}:
            size = net.operator("ADD", [size, guard], (1, 1), kind="AddOptions")
        size = net.operator("RSQRT" if form == "rsqrt" else "SQRT", [size], (1, 1))
        if form == "added":
            size = net.operator("ADD", [size, guard], (1, 1), kind="AddOptions")
        if form == "maximum":
            size = net.operator("MAXIMUM", [size, guard], (1, 1), kind="MaximumMinimumOptions")
    kind = "MUL" if form == "rsqrt" else "DIV"
    return net.save(path, net.operator(kind, [x, size], (1, 16), name="y", kind=f"{kind.title()}Options"))


@pytest.mark.parametrize(
    ("form", "epsilon"),
    [
        ("added", 1e-12),
        ("added", 1e-3),
        ("maximum", 1e-12),
        ("maximum", 1e-6),
        ("rms", 1e-5),
        ("rsqrt", 1e-6),
        ("softsign", 1e-7),
    ],
)
def test_a_guard_survives(form: str, epsilon: float, tmp_path: Path) -> None:
    path = normalized(tmp_path / "waist.tflite", form, epsilon)
    made = Quantized(path, normal(path, 64), tmp_path / "out")
    assert made.sqnr_db()["y"] > 16  # softsign jumps at zero
    for value in (0.0, 1e-9, 3.0):
        edge = {"source_x": np.full((1, 1, 16), value, np.float32)}
        assert np.isfinite(made.outputs(edge)["source_y"]).all()
    assert not made.outputs({"source_x": np.zeros((1, 1, 16), np.float32)})["source_y"].any()


def test_a_constant_divisor_is_a_factor(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 8))
    by = net.constant("by", np.linspace(2, 5, 8, dtype=np.float32))
    path = net.save(tmp_path / "waist.tflite", net.operator("DIV", [x, by], (1, 8), name="y", kind="DivOptions"))
    made = Quantized(path, normal(path), tmp_path / "out", settings={"full_integer": True})
    assert made.sqnr_db()["y"] > 35
    assert [operator.name for operator in graph.read(made.artifact)[0].operators] == ["MUL"]


def detector(path: Path, *, pixels: float, axis: int, tail: str) -> Path:
    """Boxes in pixels beside scores in 0..1, from one convolution each; ``tail``: what follows the join."""
    net = networks.Network()
    x = net.input("x", (1, 5, 6, 3))
    boxes = net.operator("RELU", [convolved(net, x, (1, 5, 6, 4), scale=pixels)], (1, 5, 6, 4))
    scores = net.operator("LOGISTIC", [convolved(net, x, (1, 5, 6, 4), seed=1, scale=3)], (1, 5, 6, 4))
    shape = (1, 10, 6, 4) if axis == 1 else (1, 5, 6, 8)
    y = net.operator("CONCATENATION", [boxes, scores], shape, kind="ConcatenationOptions", axis=axis)
    if tail == "moves":
        flat = (1, int(np.prod(shape[1:-1])), shape[-1])
        y = net.operator("RESHAPE", [y, net.constant("flat", np.array(flat, np.int32))], flat, kind="ReshapeOptions")
        perm = net.constant("perm", np.array([0, 2, 1], np.int32))
        y = net.operator("TRANSPOSE", [y, perm], (1, flat[2], flat[1]), name="y", kind="TransposeOptions")
    return net.save(path, y)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    ("pixels", "axis", "tail"), [(100.0, 3, ""), (3000.0, 3, "moves"), (100.0, 1, "moves"), (1e-3, 3, "")]
)
def test_parts_of_an_output_keep_their_ranges(pixels: float, axis: int, tail: str, full: bool, tmp_path: Path) -> None:
    path = detector(tmp_path / "waist.tflite", pixels=pixels, axis=axis, tail=tail)
    made = Quantized(path, normal(path), tmp_path / "out", settings={"full_integer": full})
    (wanted,), (got,) = made.wanted(made.samples).values(), made.outputs(made.samples).values()
    halves = {("", 3): -1, ("moves", 3): 2, ("moves", 1): 3}[tail, axis]
    for part, other in zip(np.split(wanted, 2, halves), np.split(got, 2, halves), strict=True):
        assert sqnr_db(part, other) > 28
    assert made.made.signature.outputs[0].dtype == "float32"
    assert "join outputs of different ranges" in made.floats()


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("pixels", [40.0, 50_000.0])
def test_a_constant_beside_an_output_does_not_take_its_levels(pixels: float, direct: bool, tmp_path: Path) -> None:
    """A grid of pixel positions that a head brings along is a part of its own, too."""
    net = networks.Network()
    x = net.input("x", (1, 4, 4, 3))
    part = x if direct else convolved(net, x, (1, 4, 4, 3))
    grid = net.constant("grid", np.linspace(0, pixels, 32, dtype=np.float32).reshape(1, 4, 4, 2))
    y = net.operator("CONCATENATION", [part, grid], (1, 4, 4, 5), name="y", kind="ConcatenationOptions", axis=3)
    path = net.save(tmp_path / "waist.tflite", y)
    made = Quantized(path, normal(path, 64), tmp_path / "out")
    got, wanted = made.outputs(made.samples)["source_y"], made.wanted(made.samples)["source_y"]
    assert sqnr_db(wanted[..., :3], got[..., :3]) > 25


def test_parts_of_one_range_are_joined_in_integers(tmp_path: Path) -> None:
    path = detector(tmp_path / "waist.tflite", pixels=1.0, axis=3, tail="")
    made = Quantized(path, normal(path), tmp_path / "out")
    assert made.made.signature.outputs[0].dtype == "int8"
    assert not made.floats()


@pytest.mark.parametrize("ratio", [64.0, 1e4])
@pytest.mark.parametrize("layer", ["CONV_2D", "FULLY_CONNECTED"])
def test_parts_of_a_layers_input_are_brought_to_one_scale(layer: str, ratio: float, tmp_path: Path) -> None:
    """Distances in meters beside shares in 0..1, and weights that make them count alike."""
    net = networks.Network()
    parts = [net.input("far", (1, 1, 1, 6)), net.input("near", (1, 1, 1, 6))]
    both = net.operator("CONCATENATION", parts, (1, 1, 1, 12), kind="ConcatenationOptions", axis=3)
    weights = networks.weights(5, 1, 1, 12)
    weights[..., :6] /= np.float32(ratio)
    bias = net.constant("b", np.zeros(5, np.float32))
    if layer == "CONV_2D":
        options = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1, "padding": networks.VALID}
        y = net.operator(layer, [both, net.constant("k", weights), bias], (1, 1, 1, 5), kind="Conv2DOptions", **options)
    else:
        kernel = net.constant("k", weights.reshape(5, 12))
        y = net.operator(layer, [both, kernel, bias], (1, 5), kind="FullyConnectedOptions")
    path = net.save(tmp_path / "waist.tflite", y)
    samples: dict[str, Any] = normal(path, 64)
    samples["source_far"] *= np.float32(ratio)
    made = Quantized(path, samples, tmp_path / "out", settings={"full_integer": True})
    assert min(made.sqnr_db().values()) > 30


@pytest.mark.parametrize("where", ["start", "middle", "end"])
def test_a_stretch_that_loses_the_signal_is_found(where: str, tmp_path: Path) -> None:
    """A difference of large numbers does not survive 8 bits, wherever it stands; what adds one at an output is known."""
    net = networks.Network()
    x = net.input("x", (1, 16))

    def dense(x: int, seed: int) -> int:
        weights, bias = (
            net.constant(f"k{seed}", networks.weights(16, 16, seed=seed)),
            net.constant(f"b{seed}", np.zeros(16, np.float32)),
        )
        return net.operator("FULLY_CONNECTED", [x, weights, bias], (1, 16), kind="FullyConnectedOptions")

    def fragile(x: int) -> int:
        large = net.operator(
            "ADD", [x, net.constant("large", np.array([3000.0], np.float32))], (1, 16), kind="AddOptions"
        )
        return net.operator(
            "SUB", [large, net.constant("again", np.array([3000.0], np.float32))], (1, 16), kind="SubOptions"
        )

    for position, name in enumerate(("start", "middle", "end")):
        x = fragile(x) if where == name else x
        x = dense(x, position) if name != "end" else x
    path = net.save(tmp_path / "waist.tflite", x)
    made = Quantized(path, normal(path, 64), tmp_path / "out")
    assert min(made.sqnr_db().values()) > 20
    why = "what they add is far larger than what changes" if where == "end" else "of the calibration samples' signal"
    assert why in made.floats()
    operators = graph.read(made.artifact)[0]
    layers = [operator for operator in operators.operators if operator.name == "FULLY_CONNECTED"]
    assert any(operators.tensors[operator.inputs[0]].dtype == "int8" for operator in layers)


def test_nan_is_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """0/0 on its own samples: what rounds to zero, while the float network divides it by its own norm."""
    monkeypatch.setattr(norms, "fuse", lambda *_: None)  # which has a guard of its own
    path = normalized(tmp_path / "waist.tflite", "added", 0.0)
    samples = normal(path, 32)
    samples["source_x"][0] = 1e-9
    with pytest.raises(Unsupported, match="NaN or infinity on its own calibration samples"):
        Quantized(path, samples, tmp_path / "full", settings={"full_integer": True})
    made = Quantized(path, samples, tmp_path / "out")
    assert np.isfinite(made.outputs(samples)["source_y"]).all()
    assert made.sqnr_db()["y"] > 15


def test_layers_at_least_are_integers_if_no_single_kind_is_to_blame(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    net = networks.Network()
    y = convolved(net, net.input("x", (1, 4, 4, 3)), (1, 4, 4, 5))
    other = net.operator("LOGISTIC", [net.operator("TANH", [y], (1, 4, 4, 5))], (1, 4, 4, 5))
    path = net.save(tmp_path / "waist.tflite", other)
    engine = attempts.ENGINES[attempts.FIRST]

    def dies(path: Path, ranges: Any, kept: frozenset[int], *rest: Any) -> bytes:
        if not {1, 2} <= kept:
            raise RuntimeError("LiteRT dies of the file (signal 6).")
        return engine(path, ranges, kept, *rest)

    for name in {*attempts.ENGINES} - {attempts.FIRST}:
        monkeypatch.delitem(attempts.ENGINES, name)
    monkeypatch.setitem(attempts.ENGINES, attempts.FIRST, dies)
    made = Quantized(path, normal(path), tmp_path / "out")
    assert made.sqnr_db()["logistic_2"] > 30
    assert "LOGISTIC, TANH (LiteRT dies of their integer form)" in made.floats()
    monkeypatch.setattr(exact, "LAYERS", {"CONV_2D", "LOGISTIC"})
    with pytest.raises(Unsupported, match=r"runs \(LiteRT: LiteRT dies of the file \(signal 6\)\.\)"):
        Quantized(path, normal(path), tmp_path / "again")
