"""Products by constant matrices as TFLite's layers, and sizes that only an input tells."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from edgekit.errors import Unsupported
from edgekit.nouns.model import SourceOptions
from edgekit.sources.onnx import OnnxSource
from edgekit.waist import graph


def saved(folder: Path, text: str, **constants: Any) -> Path:
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> net {text}')
    held = (numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items())
    model.graph.initializer.extend(held)
    onnx.save(model, folder / "net.onnx")
    return folder / "net.onnx"


def operators(path: Path, out: Path) -> list[str]:
    waist = OnnxSource().to_waist(path, SourceOptions(), out)  # checks that it computes the same
    return [operator.name for operator in graph.read(out / waist.file)[0].operators]


@pytest.mark.parametrize(
    ("text", "bias", "added"),
    [
        ("(float[1,6,8] x) => (float[1,6,4] y) { a = MatMul(x, w) y = Add(a, b) }", (4,), 0),
        ("(float[1,8] x) => (float[1,4] y) { a = MatMul(x, w) y = Add(b, a) }", (1, 4), 0),
        ("(float[1,8] x) => (float[1,4] y) { a = MatMul(x, w) y = Add(a, b) }", (1, 1), 1),
        ("(float[1,8] x) => (float[3,4] y) { a = MatMul(x, w) y = Add(a, b) }", (3, 4), 1),
        ("(float[1,8] x) => (float[1,4] y, float[1,4] a) { a = MatMul(x, w) y = Add(a, b) }", (4,), 1),
        ("(float[1,8] x) => (float[1,4] y) { a = MatMul(x, w) c = Add(a, b) y = Mul(a, c) }", (4,), 1),
    ],
    ids=["rows", "first operand", "one for all", "broadcast", "an output, too", "read twice"],
)
def test_a_vector_behind_a_product_becomes_its_bias(
    text: str, bias: tuple[int, ...], added: int, tmp_path: Path
) -> None:
    draw = np.random.default_rng(0)
    path = saved(tmp_path, text, w=draw.normal(size=(8, 4)), b=draw.normal(size=bias))
    made = operators(path, tmp_path)
    assert made.count("FULLY_CONNECTED") == 1
    assert made.count("ADD") == added


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("(float[1,3,8] x, int64[2] s) => (float[4,6] y) { a = Relu(x) y = Reshape(a, s) }", "4,6"),
        ("(float[1,3,1] x, int64[3] s) => (float[1,3,5] y) { a = Relu(x) y = Expand(a, s) }", "1,3,5"),
        ('(float[1,3,8,8] x, int64[4] s) => (float[1,3,9,9] y) { y = Resize <mode="linear"> (x, , , s) }', "1,3,9,9"),
        ("(float[1,20] x, int64[1] s) => (float[1,5] v, int64[1,5] i) { v, i = TopK(x, s) }", "5"),
    ],
    ids=["Reshape", "Expand", "Resize", "TopK"],
)
def test_a_size_that_the_result_s_declared_shape_tells_is_proposed(text: str, value: str, tmp_path: Path) -> None:
    path = saved(tmp_path, text)
    with pytest.raises(Unsupported) as refused:
        OnnxSource().describe(path, SourceOptions())
    found = re.search(r"bind what steers it: `edgekit build .* --constant s=([\d,]+)`", refused.value.fix)
    assert found is not None
    assert found.group(1) == value
    assert OnnxSource().to_waist(path, SourceOptions(constants={"s": tuple(map(int, value.split(",")))}), tmp_path)


def test_a_size_that_nothing_tells_is_left_to_the_user(tmp_path: Path) -> None:
    path = saved(tmp_path, "(float[1,3,8] x, int64[2] s) => (float[n,m] y) { a = Relu(x) y = Reshape(a, s) }")
    with pytest.raises(Unsupported) as refused:
        OnnxSource().describe(path, SourceOptions())
    assert "each to your value" in refused.value.fix
    assert "--constant s=VALUE" in refused.value.fix
