"""ONNX models that are quantized already are told from float ones, and never quantized a second time."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import parser
from onnxruntime import quantization

from edgekit.errors import Unsupported
from edgekit.nouns.model import SourceOptions
from edgekit.sources.onnx import OnnxSource, quantized
from edgekit.sources.onnx.quantized import dynamic
from edgekit.waist import graph
from edgekit.waist.tensors import sqnr_db
from tests.sources.onnx.onnx_cases import CASES

TEXT = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[1,3,8,8] image) => (float[1,5] out)
{
    a = Conv <pads = [1,1,1,1]> (image, w0)
    b = Relu(a)
    c = Conv <pads = [1,1,1,1], group = 4> (b, w1)
    d = Add(b, c)
    e = GlobalAveragePool(d)
    f = Flatten(e)
    out = Gemm <transB = 1> (f, w2)
}
"""


class Reader(quantization.CalibrationDataReader):
    def __init__(self) -> None:
        draw = np.random.default_rng(1)
        self.samples = iter([{"image": draw.normal(size=(1, 3, 8, 8)).astype(np.float32)} for _ in range(4)])

    def get_next(self) -> Any:
        return next(self.samples, None)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = parser.parse_model(TEXT)
    draw = np.random.default_rng(0)
    for name, shape in (("w0", (4, 3, 3, 3)), ("w1", (4, 1, 3, 3)), ("w2", (5, 4))):
        model.graph.initializer.append(onnx.numpy_helper.from_array(draw.normal(size=shape).astype(np.float32), name))
    path = tmp_path_factory.mktemp("plain") / "plain.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture(params=["qdq", "qdq uint8 per channel", "qoperator"])
def static(request: pytest.FixtureRequest, plain: Path, tmp_path: Path) -> Path:
    kind, path = request.param, tmp_path / "static.onnx"
    quantization.quantize_static(
        plain,
        path,
        Reader(),
        quant_format=quantization.QuantFormat.QOperator if kind == "qoperator" else quantization.QuantFormat.QDQ,
        per_channel="channel" in kind,
        activation_type=quantization.QuantType.QUInt8 if "uint8" in kind else quantization.QuantType.QInt8,
    )
    return path


def test_static_integers_are_told_and_kept(static: Path, tmp_path: Path) -> None:
    source = OnnxSource()
    assert source.describe(static, SourceOptions()).precision == "int8"
    found = source.as_it_is(static, SourceOptions(), tmp_path)
    assert found is not None
    assert (tmp_path / found.file).exists()
    assert "rounds a second time" in quantized.warning(onnx.load(static))[0]


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("weights", [quantization.QuantType.QInt8, quantization.QuantType.QUInt8])
def test_dynamic_integers_are_read_as_the_floats_that_they_stand_for(
    plain: Path, weights: quantization.QuantType, per_channel: bool, tmp_path: Path
) -> None:
    path = tmp_path / "dynamic.onnx"
    quantization.quantize_dynamic(plain, path, weight_type=weights, per_channel=per_channel)
    source = OnnxSource()
    assert source.describe(path, SourceOptions()).precision == "dynamic-int8"
    made = source.to_waist(path, SourceOptions(), tmp_path)
    assert source.as_it_is(path, SourceOptions(), tmp_path) is None
    (told,) = made.warnings
    found = re.search(r"comes to ([\d.]+) dB of it", told)
    assert found is not None
    assert float(found.group(1)) > 25
    model = onnx.load(path)
    assert quantized.precision(dynamic.as_floats(model)) == "float32"


EARLY = """
<ir_version: 7, opset_import: ["" : 12]>
net (float[1,3,8,8] x) => (float[1,4,8,8] y)
    <uint8[4,3,3,3] w, uint8 z, float s, float[4] bias, int64[4] shape = {{1, -1, 1, 1}}>
{{
    q, xs, xz = DynamicQuantizeLinear(x)
    scale = Mul(xs, s)
    steps = Div(bias, scale)
    whole = {rounding}(steps)
    integers = Cast <to = 6> (whole)
    along = Reshape(integers, shape)
    sums = ConvInteger <pads = [1,1,1,1]> (q, w, xz, z)
    biased = Add({order})
    floats = Cast <to = 1> (biased)
    y = Mul(floats, scale)
}}
"""
"""A convolution with a bias as ONNX Runtime's quantizer wrote it before 1.9."""


@pytest.mark.parametrize("order", ["sums, along", "along, sums"])
@pytest.mark.parametrize("rounding", ["Floor", "Round", "Identity"])
def test_a_bias_that_was_rounded_to_the_steps_of_a_product_is_read_as_the_float_one(
    rounding: str, order: str, tmp_path: Path
) -> None:
    model, draw = parser.parse_model(EARLY.format(rounding=rounding, order=order)), np.random.default_rng(0)
    values = {
        "w": draw.integers(0, 255, (4, 3, 3, 3)).astype(np.uint8),
        "z": np.array(121, np.uint8),
        "s": np.array(0.05, np.float32),
        "bias": np.array([0.03, -0.02, 1.7, -40], np.float32),
    }
    del model.graph.initializer[:]
    values["shape"] = np.array([1, -1, 1, 1])
    model.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in values.items())
    onnx.save(model, tmp_path / "early.onnx")
    made = dynamic.as_floats(model)
    sample = draw.normal(size=(1, 3, 8, 8)).astype(np.float32)
    quiet = sample / 1000  # what is left is the bias
    for x in (sample, quiet):
        first, second = (
            onnxruntime.InferenceSession(m.SerializeToString()).run(["y"], {"x": x})[0] for m in (model, made)
        )
        assert sqnr_db(first, second) > 35
    waist = OnnxSource().to_waist(tmp_path / "early.onnx", SourceOptions(), tmp_path)
    assert "comes to" in waist.warnings[0]


def test_integers_that_no_runtime_takes_as_floats_are_refused_as_such(tmp_path: Path) -> None:
    model = parser.parse_model(
        """
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[1,4] x) => (int32[1,3] y) <uint8[4,3] w, uint8 z = {128}, int32[1,3] more = {1, 2, 3}>
        {
            q, xs, xz = DynamicQuantizeLinear(x)
            sums = MatMulInteger(q, w, xz, z)
            y = Add(sums, more)
        }
        """
    )
    weights = np.random.default_rng(0).integers(0, 255, (4, 3)).astype(np.uint8)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    onnx.save(model, tmp_path / "sums.onnx")
    with pytest.raises(Unsupported, match="could not be read as the float network") as caught:
        OnnxSource().to_waist(tmp_path / "sums.onnx", SourceOptions(), tmp_path)
    assert "build from the float model" in str(caught.value.fix)


def test_a_dynamically_quantized_lstm_is_read_as_a_float_one(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    model = parser.parse_model(
        """
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[5,1,4] x) => (float[1,1,6] y) { a, y, b = LSTM <hidden_size = 6> (x, w, r, bias) }
        """
    )
    shapes = {"w": (1, 24, 4), "r": (1, 24, 6), "bias": (1, 48)}
    for name, shape in shapes.items():
        values = random.normal(0, 0.3, shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    onnx.save(model, tmp_path / "lstm.onnx")
    quantization.quantize_dynamic(tmp_path / "lstm.onnx", tmp_path / "dynamic.onnx", per_channel=True)
    held = onnx.load(tmp_path / "dynamic.onnx")
    assert "DynamicQuantizeLSTM" in {node.op_type for node in held.graph.node}
    made = dynamic.as_floats(held)
    sample = {"x": random.normal(size=(5, 1, 4)).astype(np.float32)}
    first, second = (onnxruntime.InferenceSession(m.SerializeToString()).run(["y"], sample) for m in (held, made))
    assert sqnr_db(first[0], second[0]) > 30


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize(
    ("case", "operator"),
    [
        ("ms_attention", "QAttention"),
        ("ms_attention_mask", "QAttention"),
        ("ms_attention_causal", "QAttention"),
        ("ms_embedded", "QEmbedLayerNormalization"),
    ],
)
def test_dynamic_attention_is_read_as_the_float_one(
    case: str, operator: str, per_channel: bool, tmp_path: Path
) -> None:
    onnx.save(CASES[case], tmp_path / "plain.onnx")
    path = tmp_path / "dynamic.onnx"
    quantization.quantize_dynamic(tmp_path / "plain.onnx", path, per_channel=per_channel)
    assert operator in {node.op_type for node in onnx.load(path).graph.node}
    waist = OnnxSource().to_waist(path, SourceOptions(), tmp_path)
    told = re.search(r"comes to ([\d.]+) dB", waist.warnings[0])
    assert told is not None
    assert float(told[1]) > 25


@pytest.mark.parametrize("case", ["ms_attention", "ms_attention_mask"])
def test_attention_behind_a_scale_of_its_own_keeps_it(case: str, tmp_path: Path) -> None:
    onnx.save(CASES[case], tmp_path / "plain.onnx")
    path = tmp_path / "static.onnx"
    quantization.quantize_dynamic(tmp_path / "plain.onnx", path, per_channel=True)
    model = onnx.load(path)
    rounding = next(node for node in model.graph.node if node.op_type == "DynamicQuantizeLinear")
    for name, value in zip(rounding.output[1:], (np.float32(0.03), np.uint8(120)), strict=True):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
    rounding.op_type = "QuantizeLinear"
    rounding.input.extend(rounding.output[1:])
    del rounding.output[1:]
    onnx.save(model, path)
    assert quantized.precision(model) == "int8"
    waist = OnnxSource().as_it_is(path, SourceOptions(), tmp_path)
    assert waist is not None
    held = graph.read(tmp_path / waist.file)[0]
    assert {"QUANTIZE", "DEQUANTIZE"} <= {operator.name for operator in held.operators}


def test_dynamic_operators_without_a_float_form_are_named(plain: Path, tmp_path: Path) -> None:
    path = tmp_path / "dynamic.onnx"
    quantization.quantize_dynamic(plain, path)
    model = onnx.load(path)
    for node in model.graph.node:
        if node.op_type == "ConvInteger":  # its weights are computed
            model.graph.node.insert(0, onnx.helper.make_node("Identity", [node.input[1]], ["computed"]))
            node.input[1] = "computed"
            break
    onnx.save(model, path)
    with pytest.raises(Unsupported, match=r"dynamically .*1 × ConvInteger"):
        OnnxSource().to_waist(path, SourceOptions(), tmp_path)


def test_a_float_network_is_not_taken_for_a_quantized_one(plain: Path) -> None:
    assert quantized.precision(onnx.load(plain)) == "float32"
    rounded_output = parser.parse_model(
        """
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[1,4] x) => (uint8[1,4] y) <float s = {0.1}, uint8 z = {128}>
        {
            a = Relu(x)
            y = QuantizeLinear(a, s, z)
        }
        """
    )
    assert quantized.precision(rounded_output) == "float32"
