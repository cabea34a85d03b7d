"""What stays float in OpenVINO's int8 files: guards, index arithmetic, masks, spectra."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from edgekit.backends.openvino import OpenVINOBackend, kept
from edgekit.backends.openvino.libraries import ov
from edgekit.backends.openvino.reading import waist_aliases
from edgekit.nouns.building import Job
from edgekit.nouns.model import Signature, TensorSpec
from edgekit.waist import graph, offsets, run
from edgekit.waist.tensors import sqnr_db
from tests import networks

pytestmark = pytest.mark.study

LEAST = float(np.finfo(np.float32).min)


class Net:
    """An ONNX network, node by node, on an input ``x``."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.inputs = {"x": shape}
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def __call__(self, kind: str, *operands: Any, **attributes: Any) -> str:
        names = [each if isinstance(each, str) else self.constant(each) for each in operands]
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [name], **attributes))
        return name

    def dense(self, x: str, width_in: int, width: int, seed: int = 0, bias: float = 0.0, gain: float = 1.0) -> str:
        weights = np.random.default_rng(seed).standard_normal((width_in, width)) / np.sqrt(width_in) * gain
        return self("Add", self("MatMul", x, weights), np.full(width, bias))


class Built:
    """The int8 file of a network, with ONNX Runtime's reference. Samples are normal unless given."""

    def __init__(self, net: Net, result: str, folder: Path, count: int = 24, **given: Any) -> None:
        graph_made = helper.make_graph(
            [*net.nodes, helper.make_node("Identity", [result], ["y"])],
            "g",
            [helper.make_tensor_value_info(name, 1, shape) for name, shape in net.inputs.items()],
            [helper.make_tensor_value_info("y", 1, None)],
            net.constants,
        )
        model = helper.make_model(graph_made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.save(onnx.shape_inference.infer_shapes(model), folder / "m.onnx")
        random = np.random.default_rng(1)
        self.samples = {
            name: given.get(name, random.standard_normal((count, *shape)).astype(np.float32))
            for name, shape in net.inputs.items()
        }
        self.session = onnxruntime.InferenceSession(folder / "m.onnx", providers=["CPUExecutionProvider"])
        self.folder = folder
        shapes = {**net.inputs, "y": self.wanted(self.samples)[0].shape}
        specs = {
            name: TensorSpec(
                name=name, source_name=name, shape=shape, source_shape=shape, dtype="float32", source_dtype="float32"
            )
            for name, shape in shapes.items()
        }
        signature = Signature(inputs=tuple(specs[name] for name in net.inputs), outputs=(specs["y"],))
        np.savez(folder / "calibration.npz", **self.samples)
        job = Job(
            waist=None, source=str(folder / "m.onnx"), source_format="onnx", signature=signature,
            source_signature=signature, precision="int8", calibration=str(folder / "calibration.npz"),
            settings={"weights": "nearest", "equalization": "off"},
        )  # fmt: skip
        self.made = OpenVINOBackend().build(job, "model.xml", folder)

    def wanted(self, samples: dict[str, Any]) -> Any:
        count = len(next(iter(samples.values())))
        return np.stack([self.session.run(None, {k: v[i] for k, v in samples.items()})[0] for i in range(count)])

    def outputs(self, samples: dict[str, Any]) -> Any:
        np.savez(self.folder / "in.npz", **samples)
        OpenVINOBackend().run(
            self.folder / "model.xml", self.made.signature, self.folder / "in.npz", self.folder / "out.npz"
        )
        return np.load(self.folder / "out.npz")["y"]

    def sqnr_db(self) -> float:
        return sqnr_db(self.wanted(self.samples), self.outputs(self.samples))

    def at_zero(self) -> tuple[Any, Any]:
        zeros = {name: np.zeros_like(values[:1]) for name, values in self.samples.items()}
        return self.wanted(zeros), self.outputs(zeros)


def guard(net: Net, form: str, x: str, axis: int, epsilon: float) -> str:
    """Hand-written norms of ``x`` and their kin, each guarded in its own way."""
    squared = {"axes": [axis], "keepdims": 1}
    match form:
        case "l2":
            return net("Div", x, net("Add", net("ReduceL2", x, **squared), [epsilon]))
        case "l2 clipped":
            return net("Div", x, net("Clip", net("ReduceL2", x, **squared), np.float32(epsilon)))
        case "l1":
            total = net("ReduceSum", net("Abs", x), net.constant([axis], np.int64))
            return net("Div", x, net("Max", total, [epsilon]))
        case "rms":
            mean = net("ReduceMean", net("Mul", x, x), **squared)
            return net("Div", x, net("Sqrt", net("Add", mean, [epsilon])))
        case "reciprocal":
            mean = net("ReduceMean", net("Pow", x, [2.0]), **squared)
            return net("Mul", x, net("Reciprocal", net("Sqrt", net("Add", mean, [epsilon]))))
        case "variance":
            centred = net("Sub", x, net("ReduceMean", x, **squared))
            variance = net("ReduceMean", net("Pow", centred, [2.0]), **squared)
            return net("Div", centred, net("Pow", net("Add", variance, [epsilon]), [0.5]))
        case "softmax":
            shares = net("Sub", net("Exp", net("Sub", x, net("ReduceMax", x, **squared))), [1.0])
            total = net("Add", net("ReduceSum", shares, net.constant([axis], np.int64)), [-epsilon])
            return net("Div", shares, total)
        case _:
            return net("Log", net("Add", x, [epsilon]))


FORMS = ("l2", "l2 clipped", "l1", "rms", "reciprocal", "variance", "softmax", "log")


@pytest.mark.parametrize(
    ("form", "axis", "epsilon"), [(form, (1, -1)[k % 2], (1e-12, 1e-6, 1e-9)[k % 3]) for k, form in enumerate(FORMS)]
)
def test_guards_survive_all_zero_inputs(form: str, axis: int, epsilon: float, tmp_path: Path) -> None:
    net = Net((1, 6, 8))
    x = net("Relu", net.dense("x", 8, 8))
    normed = guard(net, form, x, axis, epsilon)
    made = Built(net, net.dense(normed, 8, 5, seed=1) if form != "log" else normed, tmp_path)
    wanted, got = made.at_zero()
    assert np.isfinite(wanted).all()
    np.testing.assert_allclose(got, wanted, atol=0.05)
    assert made.sqnr_db() > 18
    if form != "variance":  # OpenVINO makes one operator of it, with the guard inside
        assert any(note.startswith("stays float32") for note in made.made.notes)
    assert {"u8", "i8"} & {place.status for place in made.made.placements}, "the layers are integers all the same"


TOKENS = 6


@pytest.mark.parametrize(
    ("form", "value"),
    [("add", -1e9), ("add", -np.inf), ("where", LEAST), ("where", -np.inf), ("input", -1e4), ("maximum", -1e9)],
)
def test_masks_cost_the_scores_nothing(form: str, value: float, tmp_path: Path) -> None:
    net = Net((1, TOKENS, 8))
    q, k, v = (net.dense("x", 8, 8, seed=seed) for seed in range(3))
    scores = net("Mul", net("MatMul", q, net("Transpose", k, perm=[0, 2, 1])), [0.35])
    causal = np.triu(np.ones((1, TOKENS, TOKENS), bool), 1)
    given = {}
    if form == "input":
        net.inputs["m"] = (1, 1, TOKENS)
        given["m"] = (np.random.default_rng(2).random((24, 1, 1, TOKENS)) < 0.7).astype(np.float32)
        given["m"][..., 0] = 1
        scores = net("Add", scores, net("Mul", net("Sub", [1.0], "m"), [value]))
    elif form == "where":
        scores = net("Where", net.constant(causal, bool), [value], scores)
    else:
        scores = net("Add", scores, np.where(causal, value, 0))
        scores = net("Max", scores, [value]) if form == "maximum" else scores
    made = Built(net, net.dense(net("MatMul", net("Softmax", scores, axis=-1), v), 8, 4, seed=3), tmp_path, **given)
    assert made.sqnr_db() > 24


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("form", ["scaled", "bias", "where"])
@pytest.mark.parametrize("value", [-1e4, -1e9, LEAST])
def test_rows_that_two_masks_hide_are_as_near_as_others(form: str, value: float, seed: int, tmp_path: Path) -> None:
    net = Net((1, TOKENS, 8))
    q, k, v = (net.dense("x", 8, 8, seed=100 * seed + number) for number in range(3))
    scores = net("MatMul", q, net("Transpose", k, perm=[0, 2, 1]))
    hidden = np.triu(np.ones((1, TOKENS, TOKENS), bool), 1)
    net.inputs["m"] = (1, 1, TOKENS)
    given = {"m": (np.arange(TOKENS) >= np.arange(24)[:, None] % (TOKENS - 1)).astype(np.float32)[:, None, None]}
    pad = net("Mul", net("Sub", [1.0], "m"), [value])
    if form == "where":
        scores = net("Where", net.constant(hidden, bool), [value], net("Add", scores, pad))
    else:
        scores = net("Add", scores, np.where(hidden, value, 0))
        scores = net("Add", net("Mul", scores, [0.5]) if form == "scaled" else scores, pad)
        scores = net("Add", scores, np.arange(TOKENS) * 0.25) if form == "bias" else scores
    made = Built(net, net("MatMul", net("Softmax", scores, axis=-1), v), tmp_path, **given)
    wanted, got = made.wanted(made.samples), made.outputs(made.samples)
    rows = np.arange(TOKENS) < np.arange(24)[:, None] % (TOKENS - 1)
    assert sqnr_db(wanted[:, 0][rows], got[:, 0][rows]) > 24


def sampled(net: Net, positions: str) -> str:
    """Linear interpolation in a table at positions [1, n]: FLOOR, CAST, Gather."""
    table = net.constant(np.random.default_rng(5).standard_normal(40))
    low = net("Floor", positions)
    index = net("Cast", low, to=onnx.TensorProto.INT64)
    left = net("Gather", table, index)
    right = net("Gather", table, net("Add", index, net.constant([1], np.int64)))
    return net("Add", left, net("Mul", net("Sub", right, left), net("Sub", positions, low)))


def test_positions_stay_float(tmp_path: Path) -> None:
    net = Net((1, 12))
    positions = net("Mul", net("Add", net("Tanh", "x"), [1.0]), [18.9])
    made = Built(net, net.dense(sampled(net, positions), 12, 4), tmp_path)
    assert made.sqnr_db() > 28
    assert "whole numbers" in "".join(made.made.notes)


def test_the_grid_of_a_sampler_stays_float(tmp_path: Path) -> None:
    net = Net((1, 3, 12, 12))
    net.inputs["g"] = (1, 10, 10, 2)
    random = np.random.default_rng(3)
    smooth = random.standard_normal((24, 1, 3, 12, 12)).cumsum(-1).cumsum(-2).astype(np.float32)
    grid = net("Add", net("Mul", "g", [0.7]), net("Mul", net("Mul", "g", "g"), [0.2]))
    weights = net.constant(random.standard_normal((4, 3, 3, 3)) / 5)
    made = Built(
        net, net("Conv", net("GridSample", "x", grid), weights), tmp_path,
        x=smooth, g=random.uniform(-1, 1, (24, 1, 10, 10, 2)).astype(np.float32),
    )  # fmt: skip
    assert made.sqnr_db() > 30


@pytest.mark.parametrize("size", [32, 48])
def test_spectra_before_a_logarithm_stay_float(size: int, tmp_path: Path) -> None:
    net = Net((1, 10, size))
    angles = 2 * np.pi * np.outer(np.arange(size), np.arange(size // 2 + 1)) / size
    parts = [net("MatMul", "x", np.cos(angles)), net("MatMul", "x", np.sin(angles))]
    power = net("Add", *(net("Mul", part, part) for part in parts))
    bank = np.abs(np.random.default_rng(0).standard_normal((size // 2 + 1, 12)))
    features = net("Log", net("Add", net("MatMul", power, bank), [1e-6]))
    hidden = net("Relu", net.dense(features, 12, 16, seed=1))
    loud = 10 ** np.random.default_rng(1).uniform(-3, 0, (24, 1, 10, 1))
    made = Built(
        net, net.dense(hidden, 16, 4, seed=2), tmp_path,
        x=(loud * np.random.default_rng(2).standard_normal((24, 1, 10, size))).astype(np.float32),
    )  # fmt: skip
    assert made.sqnr_db() > 25
    assert kept.SPECTRA in "".join(made.made.notes)


@pytest.mark.parametrize("mean", [300.0, -20_000.0])
@pytest.mark.parametrize("folded", [False, True])
def test_what_reads_an_input_far_from_0_stays_float(folded: bool, mean: float, tmp_path: Path) -> None:
    """Its mean is taken off by a difference, or by the first layer's bias."""
    net = Net((1, 6, 8))
    taps = np.random.default_rng(0).standard_normal((8, 8)) / np.sqrt(8)
    shifted = "x" if folded else net("Sub", "x", np.full(8, mean))
    x = net("Relu", net("Add", net("MatMul", shifted, taps), -mean * taps.sum(0) if folded else np.zeros(8)))
    normal = np.random.default_rng(1).standard_normal((24, 1, 6, 8))
    made = Built(net, net.dense(x, 8, 4, seed=2), tmp_path, x=(normal + mean).astype(np.float32))
    assert made.sqnr_db() > 25
    assert offsets.READERS in "".join(made.made.notes)


@pytest.mark.parametrize("bias", [9.0, 300.0])
def test_a_gate_that_hardly_varies_is_quantized_by_its_extremes(bias: float, tmp_path: Path) -> None:
    net = Net((1, 6, 8))
    x = net("Relu", net.dense("x", 8, 8))
    gate = net.dense(net("ReduceMean", x, axes=[1], keepdims=1), 8, 8, seed=1, bias=bias, gain=1e-6)
    made = Built(net, net.dense(net("Mul", x, gate), 8, 4, seed=2), tmp_path)
    assert made.sqnr_db() > 25


def test_an_ordinary_network_stays_in_integers(tmp_path: Path) -> None:
    net = Net((1, 6, 8))
    hidden = net("Relu", net.dense("x", 8, 8))
    pooled = net("MaxPool", net("Add", hidden, hidden), kernel_shape=[2], strides=[2])
    made = Built(net, net("Softmax", net.dense(pooled, 4, 5, seed=1), axis=-1), tmp_path)
    assert kept.names(ov.convert_model(tmp_path / "m.onnx")) == {}
    assert not [note for note in made.made.notes if note.startswith("stays float32")]


@pytest.mark.parametrize("kind", ["Neg", "Concat"])
def test_a_source_that_is_read_as_another_network_comes_through_the_waist(kind: str, tmp_path: Path) -> None:
    """With other numbers, and with an output of another shape."""
    waist = networks.element_wise(tmp_path / "w.tflite", "RELU")
    signature = networks.signature(waist)
    (x,), (y,) = signature.inputs, signature.outputs
    told: dict[str, Any] = {"axis": -1} if kind == "Concat" else {}
    node = helper.make_node(kind, [x.source_name] * (1 + len(told)), [y.source_name], **told)
    ends = [
        helper.make_tensor_value_info(x.source_name, 1, x.source_shape),
        helper.make_tensor_value_info(y.source_name, 1, None),
    ]
    made = helper.make_model(
        helper.make_graph([node], "g", ends[:1], ends[1:]), opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    )
    onnx.save(made, tmp_path / "m.onnx")
    fields = {name: getattr(networks.job(waist, "float32"), name) for name in Job.__struct_fields__}
    direct = Signature(inputs=(TensorSpec(**_own(x)),), outputs=(TensorSpec(**_own(y)),))
    job = Job(**fields | {"source": str(tmp_path / "m.onnx"), "source_format": "onnx", "source_signature": direct})
    built = OpenVINOBackend().build(job, "model.xml", tmp_path)
    assert built.notes[0] == "OpenVINO read the TFLite waist"
    assert "as another network" in built.notes[1]


def _own(spec: TensorSpec) -> dict[str, Any]:
    """A tensor's description in its source's own terms."""
    return {
        "name": spec.source_name, "source_name": spec.source_name, "shape": spec.source_shape,
        "source_shape": spec.source_shape, "dtype": spec.source_dtype, "source_dtype": spec.source_dtype,
    }  # fmt: skip


def test_an_output_that_comes_out_twice_is_read_twice(tmp_path: Path) -> None:
    waist = networks.classifier(tmp_path / "w.tflite")
    tree = graph.load(waist)
    main = tree.subgraphs[0]
    main.outputs = [*graph.ints(main.outputs)] * 3
    assert waist_aliases.mend(tree)
    path = tmp_path / "mended.tflite"
    path.write_bytes(graph.pack(tree))
    read = ov.convert_model(path, share_weights=False)
    assert len(read.outputs) == 3
    x = np.random.default_rng(0).standard_normal((1, *networks.signature(waist).inputs[0].shape)).astype(np.float32)
    wanted = next(iter(run.run(waist, {networks.signature(waist).inputs[0].name: x}).values()))[0]
    for values in ov.Core().compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(x[0]).values():
        np.testing.assert_allclose(values, wanted, atol=1e-5)
    assert not waist_aliases.mend(graph.load(waist))
