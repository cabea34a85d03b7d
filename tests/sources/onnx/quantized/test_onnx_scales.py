"""ONNX models with scales of their own: TFLite's integers are theirs, and compute what ONNX Runtime computes."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, strategies
from hypothesis.extra.numpy import array_shapes, arrays
from onnx import numpy_helper, parser
from onnxruntime import quantization

from edgekit.errors import Unsupported
from edgekit.nouns.model import SourceOptions, Waist
from edgekit.sources.onnx import OnnxSource, quantized
from edgekit.waist import fusing, graph, run, tensors
from tests.sources.onnx.onnx_cases import build, i64, save

CONSTANTS = (
    "float zero = {0.0}, float six = {6.0}, float[4] sizes = {1.0, 1.0, 2.0, 2.0}, int64[2] flat = {1, -1}, "
    "int64[8] pads = {0, 0, 1, 2, 0, 0, 2, 1}"
)

NETWORKS = {
    "residual": """(float[1,3,16,16] x) => (float[1,5] out) {
        a = Conv <pads=[1,1,1,1]> (x, w_8_3_3_3, b_8)
        b = Relu(a)
        c = Conv <pads=[1,1,1,1], group=8> (b, w_8_1_3_3)
        d = Clip(c, zero, six)
        e = Add(b, d)
        f = MaxPool <kernel_shape=[2,2], strides=[2,2]> (e)
        g = Conv (f, w_4_8_1_1, b_4)
        h = Concat <axis=1> (f, g)
        i = GlobalAveragePool(h)
        j = Flatten(i)
        out = Gemm <transB=1> (j, w_5_12, b_5)
    }""",
    "gates": """(float[1,3,17,17] x) => (float[1,6] out) {
        a = Conv <strides=[2,2], pads=[1,1,1,1]> (x, w_8_3_3_3, b_8)
        b = Sigmoid(a)
        c = Mul(a, b)
        d = AveragePool <kernel_shape=[3,3], strides=[2,2]> (c)
        e = Resize <mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric"> (d, , sizes)
        f = Conv <pads=[1,1,1,1]> (e, w_4_8_3_3)
        g = LeakyRelu <alpha=0.1> (f)
        h = Reshape(g, flat)
        i = MatMul(h, w_256_6)
        j = Add(i, b_6)
        out = Softmax <axis=1> (j)
    }""",
    "decoder": """(float[1,4,8,8] x) => (float[1,2,16,16] out) {
        a = Conv <pads=[1,1,1,1]> (x, w_8_4_3_3, b_8)
        b = HardSwish(a)
        c = ConvTranspose <strides=[2,2], kernel_shape=[2,2]> (b, w_8_6_2_2, b_6)
        d, e = Split <axis=1> (c)
        f = Concat <axis=1> (e, d)
        g = Tanh(f)
        out = Conv (g, w_2_6_1_1, b_2)
    }""",
    "mobile": """(float[1,3,16,16] x) => (float[1,5] out) {
        a = Conv <strides=[2,2], pads=[0,0,1,1]> (x, w_8_3_3_3, b_8)
        b = HardSwish(a)
        c = GlobalAveragePool(b)
        d = Conv (c, w_8_8_1_1, b_8)
        e = HardSigmoid <alpha=0.1666667, beta=0.5> (d)
        f = Mul(b, e)
        g = Flatten(f)
        out = Gemm <transB=1> (g, w_5_512, b_5)
    }""",
    "edges": """(float[1,3,8,8] x) => (float[1,4,13,13] out) {
        a = Conv <pads=[1,1,1,1]> (x, w_4_3_3_3, b_4)
        b = Pad <mode="reflect"> (a, pads)
        c = Pad (b, pads)
        d = Conv (c, w_4_4_3_3, b_4)
        e = Resize <mode="linear", coordinate_transformation_mode="half_pixel"> (d, , sizes)
        out = Conv <strides=[2,2], pads=[1,1,1,1]> (e, w_4_4_3_3)
    }""",
    "attention": """(float[1,6,8] x) => (float[1,6,8] out) {
        a = MatMul(x, w_8_8)
        b = Transpose <perm=[0,2,1]> (x)
        c = MatMul(a, b)
        d = Softmax <axis=-1> (c)
        e = MatMul(d, x)
        out = Add(e, x)
    }""",
}
"""Constants are named by their shapes."""


class Reader(quantization.CalibrationDataReader):
    def __init__(self, shape: tuple[int, ...]) -> None:
        self.samples = iter(samples(shape, 16, 0))

    def get_next(self) -> Any:
        return next(self.samples, None)


def samples(shape: tuple[int, ...], count: int, seed: int) -> list[dict[str, Any]]:
    draw = np.random.default_rng(seed)
    return [{"x": draw.normal(size=shape).astype(np.float32)} for _ in range(count)]


def made(name: str, path: Path, **options: Any) -> Path:
    """A network of `NETWORKS`, quantized by ONNX Runtime."""
    text = NETWORKS[name].replace(" {", f" <{CONSTANTS}> {{", 1)
    model = parser.parse_model(f'<ir_version: 9, opset_import: ["" : 17]> net {text}')
    draw = np.random.default_rng(0)
    for constant in sorted({n for node in model.graph.node for n in node.input if n[:2] in {"w_", "b_"}}):
        shape = tuple(map(int, constant[2:].split("_")))
        values = draw.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), constant))
    plain = path.with_suffix(".float.onnx")
    onnx.save(model, plain)
    shape = tuple(dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim)
    quantization.quantize_static(plain, path, Reader(shape), **options)
    return path


QDQ, QOPERATOR = quantization.QuantFormat.QDQ, quantization.QuantFormat.QOperator
SIGNED, UNSIGNED = quantization.QuantType.QInt8, quantization.QuantType.QUInt8

WAYS: dict[str, dict[str, Any]] = {
    "per channel": {"quant_format": QDQ, "per_channel": True, "activation_type": SIGNED},
    "per tensor, unsigned": {"quant_format": QDQ, "activation_type": UNSIGNED},
    "unsigned weights": {
        "quant_format": QDQ, "activation_type": UNSIGNED, "weight_type": UNSIGNED,
        "extra_options": {"WeightSymmetric": True},
    },
    "zero points": {"quant_format": QDQ, "activation_type": UNSIGNED, "weight_type": UNSIGNED},
    "operators on integers with zero points": {
        "quant_format": QOPERATOR, "per_channel": True, "activation_type": UNSIGNED, "weight_type": UNSIGNED,
    },
    "a pair for each reader": {
        "quant_format": QDQ, "activation_type": SIGNED, "extra_options": {"DedicatedQDQPair": True},
    },
    "float weights with pairs": {
        "quant_format": QDQ, "per_channel": True, "activation_type": SIGNED,
        "extra_options": {"AddQDQPairToWeight": True, "ActivationSymmetric": True},
    },
    "float bias": {"quant_format": QDQ, "activation_type": SIGNED, "extra_options": {"QuantizeBias": False}},
    "operators on integers": {"quant_format": QOPERATOR, "per_channel": True, "activation_type": UNSIGNED},
}  # fmt: skip


def carried(path: Path, out: Path) -> tuple[Waist, graph.Graph]:
    found = OnnxSource().as_it_is(path, SourceOptions(), out)
    assert found is not None
    return found, graph.read(out / found.file)[0]


def outputs(path: Path, waist: Waist, out: Path, count: int = 20) -> tuple[Any, Any]:
    """What ONNX Runtime and a plain loop of LiteRT give for inputs that nobody has seen."""
    spec = waist.signature.inputs[0]
    given = {"x": np.stack([sample["x"] for sample in samples(spec.source_shape, count, 7)])}
    np.savez(out / "in.npz", **given)
    OnnxSource().run(path, SourceOptions(), out / "in.npz", out / "out.npz")
    file = tensors.inputs_to_file(waist.signature, given)
    return np.load(out / "out.npz")["out"], tensors.outputs_to_source(waist.signature, run.run(out / waist.file, file))[
        "out"
    ]


def pairs() -> list[Any]:
    """Each way on two networks, and each network in three ways; a study tries all."""
    return [
        pytest.param(name, way, marks=[] if (row + column) % 3 == 0 else pytest.mark.study)
        for row, way in enumerate(WAYS)
        for column, name in enumerate(NETWORKS)
    ]


@pytest.mark.parametrize(("name", "way"), pairs())
def test_integers_compute_what_onnx_runtime_computes(name: str, way: str, tmp_path: Path) -> None:
    path = made(name, tmp_path / "net.onnx", **WAYS[way])
    waist, main = carried(path, tmp_path)
    expected, got = outputs(path, waist, tmp_path)
    steps = np.abs(expected - got) / _last_step(path)
    assert np.sqrt(np.mean(steps**2)) < 1
    assert steps.max() < 4.5
    floats = {o.name for o in main.operators if main.tensors[o.outputs[0]].dtype == "float32"} - {"DEQUANTIZE"}
    left = {"MUL", "ADD", "MEAN"} if name == "mobile" else set()  # of HardSigmoid, whose steps are not rounded
    assert floats - left <= {"BATCH_MATMUL", "TANH", "HARD_SWISH", "TRANSPOSE_CONV", "SOFTMAX"}
    assert not waist.warnings or "zero points" in way
    assert waist.warnings or way != "zero points"


def _last_step(path: Path) -> float:
    """The scale of the network's last DequantizeLinear."""
    main = onnx.load(path).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in main.initializer}
    last = next(node for node in main.node if node.op_type == "DequantizeLinear" and node.output[0] == "out")
    return float(constants[last.input[1]])


@pytest.mark.parametrize("way", ["per channel", "per tensor, unsigned", "operators on integers"])
def test_the_integers_in_the_file_are_the_source_s(way: str, tmp_path: Path) -> None:
    path = made("residual", tmp_path / "net.onnx", **WAYS[way])
    _, main = carried(path, tmp_path)
    tree = graph.load(tmp_path / "model.tflite")
    held = {t.name: t for t in main.tensors if t.dtype == "int8" and t.constant_bytes}
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
    weights = {name: values for name, values in stored.items() if name.startswith("w_") and name.endswith("_quantized")}
    assert len(held) == len(weights) == 4
    for name, values in weights.items():
        tensor = held[f"{name}_int8"]
        integers = graph.constant(tree, 0, tensor.index)
        assert integers is not None
        # output channels first, which lie last in a depthwise convolution
        back = integers if integers.ndim == 2 else integers.transpose(
            (3, 0, 1, 2) if name.startswith("w_8_1") else (0, 3, 1, 2)
        )  # fmt: skip
        np.testing.assert_array_equal(back.reshape(values.shape), values)
        scales = stored[name.replace("_quantized", "_scale")]
        np.testing.assert_array_equal(np.asarray(tensor.scales, np.float32), scales.ravel())
    grids = {(t.scales[0], t.zero_points[0]) for t in main.tensors if t.dtype == "int8" and not t.constant_bytes}
    offset = 128 if "unsigned" in way or "operators" in way else 0
    own = {
        (float(stored[name]), int(stored[name.replace("_scale", "_zero_point")]) - offset)
        for name in stored
        if name.endswith("_scale") and not re.match(r"[wb]_\d", name)
    }
    assert grids <= own


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"activation_type": quantization.QuantType.QInt16}, "is rounded to int16"),
    ],
)
def test_what_has_no_form_in_tflite_is_refused_by_name(options: dict[str, Any], reason: str, tmp_path: Path) -> None:
    path = made("residual", tmp_path / "net.onnx", quant_format=QDQ, **options)
    with pytest.raises(Unsupported, match=rf"quantized already .* cannot be carried over .*{reason}.*second time"):
        OnnxSource().as_it_is(path, SourceOptions(), tmp_path)


def test_a_scale_for_each_channel_of_an_activation_is_refused(tmp_path: Path) -> None:
    path = made("residual", tmp_path / "net.onnx", **WAYS["per channel"])
    model = onnx.load(path)
    scale = next(tensor for tensor in model.graph.initializer if tensor.name == "x_scale")
    zero = next(tensor for tensor in model.graph.initializer if tensor.name == "x_zero_point")
    scale.CopyFrom(numpy_helper.from_array(np.float32([0.02, 0.03, 0.04]), scale.name))
    zero.CopyFrom(numpy_helper.from_array(np.int8([0, 0, 0]), zero.name))
    onnx.save(model, path)
    with pytest.raises(Unsupported, match="has a scale for each channel"):
        OnnxSource().as_it_is(path, SourceOptions(), tmp_path)


def test_a_layer_without_rounding_behind_it_stays_float(tmp_path: Path) -> None:
    path = made("residual", tmp_path / "net.onnx", **WAYS["per channel"])
    model = onnx.load(path)
    last = next(node for node in model.graph.node if node.op_type == "Gemm")
    rounding = next(node for node in model.graph.node if node.input[0] == last.output[0])
    back = next(node for node in model.graph.node if node.input[0] == rounding.output[0])
    last.output[0] = back.output[0]
    model.graph.node.remove(rounding)
    model.graph.node.remove(back)
    onnx.save(model, path)
    waist, main = carried(path, tmp_path)
    expected, got = outputs(path, waist, tmp_path)
    assert tensors.sqnr_db(expected, got) >= 32
    assert main.operators[-1].name == "FULLY_CONNECTED"
    assert main.tensors[main.operators[-1].outputs[0]].dtype == "float32"


@pytest.mark.shared
def test_the_reported_network_keeps_its_integers(shared: Path, tmp_path: Path) -> None:
    path = shared / "models" / "reported" / "cnn_qdq.onnx"
    _, main = carried(path, tmp_path)
    kinds = {main.tensors[o.outputs[0]].dtype for o in main.operators} - {"float32"}
    assert kinds == {"int8"}
    assert [o.name for o in main.operators if main.tensors[o.outputs[0]].dtype == "float32"] == ["DEQUANTIZE"]
    assert quantized.warning(onnx.load(path))


@given(
    arrays(np.int32, array_shapes(min_dims=2, max_dims=4, max_side=5), elements=strategies.integers(-255, 255)),
    strategies.data(),
)
def test_weights_about_zero_stand_for_what_they_stood_for(levels: Any, data: strategies.DataObject) -> None:
    axis = data.draw(strategies.integers(0, levels.ndim - 1))
    integers, steps = fusing.about_zero(levels, axis)
    assert integers.dtype == np.int8
    wide = np.moveaxis(integers.astype(float), axis, -1) * steps
    error = np.abs(wide - np.moveaxis(levels, axis, -1))
    assert (error <= steps / 2 * (steps > 1) + 1e-9).all()
    assert steps.max() <= 255 / 127


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_a_choice_between_integers_is_one(dtype: str, tmp_path: Path) -> None:
    """QLinearWhere: both operands on grids of their own."""
    draw, zero = np.random.default_rng(0), np.asarray(3 if dtype == "int8" else 120, dtype)
    weights = {name: draw.integers(-90, 90, (16, 8)).astype(np.int8) for name in ("w1", "w2")}
    grids = {"xs": 0.03, "ws": 0.01, "hs": 0.05, "gs": 0.07, "zs": 0.06}
    body = """x8 = QuantizeLinear(x, xs, xz) h = QLinearMatMul(x8, xs, xz, w1, ws, wz, hs, hz)
        g = QLinearMatMul(x8, xs, xz, w2, ws, wz, gs, gz)
        z = com.microsoft.QLinearWhere(c, h, hs, hz, g, gs, gz, zs, zz) out = DequantizeLinear(z, zs, zz)"""
    model = build(
        "float[1,6,16] x, bool[1,6,1] c", body, "float[1,6,8] out", **weights,
        **{name: np.float32(scale) for name, scale in grids.items()},
        **{name.replace("s", "z"): np.int8(0) if name == "ws" else zero + np.asarray(k, dtype)
           for k, name in enumerate(grids)},
    )  # fmt: skip
    waist, main = carried(save(tmp_path, model), tmp_path)
    chosen = next(operator for operator in main.operators if operator.name.startswith("SELECT"))
    assert main.tensors[chosen.outputs[0]].dtype == "int8"
    given = {"x": draw.normal(size=(8, 1, 6, 16)).astype(np.float32), "c": draw.random((8, 1, 6, 1)) > 0.4}
    np.savez(tmp_path / "in.npz", **given)
    OnnxSource().run(tmp_path / "model.onnx", SourceOptions(), tmp_path / "in.npz", tmp_path / "out.npz")
    got = run.run(tmp_path / waist.file, tensors.inputs_to_file(waist.signature, given))
    found = tensors.outputs_to_source(waist.signature, got)["out"]
    assert np.abs(found - np.load(tmp_path / "out.npz")["out"]).max() < 2.1 * grids["zs"]


@pytest.mark.parametrize("way", ["per channel", "operators on integers"])
@pytest.mark.parametrize("kind", ["pool", "constant", "far"])
def test_what_is_filled_in_is_an_integer_too(kind: str, way: str, tmp_path: Path) -> None:
    """A pool pads with the lowest value, a Pad with a constant, which may lie beyond the grid: PADV2 all of them."""
    moves = {
        "pool": "b = MaxPool <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (a)",
        "constant": "b = Pad(a, pads, one)",
        "far": "b = Pad(a, pads, far)",
    }
    body = f"a = Conv <pads=[1,1,1,1]> (x, w, v) {moves[kind]} out = Conv(b, u)"
    held = {"pads": i64(0, 0, 1, 2, 0, 0, 2, 1), "one": np.float32(1), "far": np.float32(90)}
    model = build("float[1,3,16,16] x", body, "float[1,4,n,m] out", w=(8, 3, 3, 3), v=(8,), u=(4, 8, 1, 1),
                  **{name: value for name, value in held.items() if name in moves[kind]})  # fmt: skip
    plain = save(tmp_path, model, "plain.onnx")
    path = tmp_path / "net.onnx"
    quantization.quantize_static(plain, path, Reader((1, 3, 16, 16)), **WAYS[way])
    waist, main = carried(path, tmp_path)
    padding = [operator for operator in main.operators if operator.name in {"PADV2", "PAD"}]
    beyond = kind == "far" and way == "per channel"  # its result has a wider grid than what is padded
    assert {main.tensors[operator.outputs[0]].dtype for operator in padding} == {"float32" if beyond else "int8"}
    expected, got = outputs(path, waist, tmp_path)
    assert tensors.sqnr_db(expected, got) > 35
