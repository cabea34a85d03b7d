"""ONNX models that are quantized already are told from float ones, and never quantized a second time."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import parser
from onnxruntime import quantization

from edgekit.errors import Unsupported
from edgekit.nouns.model import SourceOptions
from edgekit.sources.onnx import OnnxSource, quantized

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


def test_dynamic_integers_are_refused_by_their_operators(plain: Path, tmp_path: Path) -> None:
    path = tmp_path / "dynamic.onnx"
    quantization.quantize_dynamic(plain, path, weight_type=quantization.QuantType.QUInt8)
    source = OnnxSource()
    assert source.describe(path, SourceOptions()).precision == "dynamic-int8"
    with pytest.raises(Unsupported, match=r"dynamically .*ConvInteger.*MatMulInteger"):
        source.to_waist(path, SourceOptions(), tmp_path)


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
