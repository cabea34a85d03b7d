"""Two masks before a softmax, in rows that both of them hide whole: OpenVINO's files come to ONNX Runtime's results."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from edgekit.backends.openvino.libraries import CORE, EXACT, operators, ov
from edgekit.backends.openvino.reading import masks
from edgekit.waist.tensors import sqnr_db

LEAST = float(np.finfo(np.float32).min)
TOKENS, WIDTH = 9, 8


SUMS = {
    "one after the other": [("Add", ["s", "causal"], "z1"), ("Add", ["z1", "pad"], "z")],
    "added up before": [("Add", ["causal", "pad"], "both"), ("Add", ["s", "both"], "z")],
    "scaled between": [("Add", ["s", "causal"], "z1"), ("Mul", ["z1", "half"], "z2"), ("Add", ["z2", "pad"], "z")],
    "divided between": [("Add", ["s", "causal"], "z1"), ("Div", ["z1", "two"], "z2"), ("Add", ["z2", "pad"], "z")],
    "scaled alone": [("Mul", ["pad", "half"], "p1"), ("Add", ["s", "causal"], "z1"), ("Sum", ["z1", "p1"], "z")],
    "chosen": [("Add", ["s", "pad"], "z1"), ("Where", ["later", "value", "z1"], "z")],
}
"""What comes to the scores ``s`` in which order."""


def attention(path: Path, value: float, sums: str) -> None:
    """Causal and padding masks, as `SUMS` has it."""
    random = np.random.default_rng(0)
    causal = np.where(np.triu(np.ones((1, TOKENS, TOKENS), bool), 1), np.float32(value), np.float32(0))
    constants: dict[str, Any] = {
        "causal": causal, "later": causal < 0, "half": np.float32(0.5), "two": np.float32(2), "one": np.float32(1), "value": np.float32(value), "rows": np.array([1, 1, TOKENS]),
        **{f"w{name}": random.standard_normal((WIDTH, WIDTH)).astype(np.float32) / 3 for name in "qkv"},
    }  # fmt: skip
    nodes = [
        *[("MatMul", ["x", f"w{name}"], name) for name in "qkv"],
        ("Reshape", ["m", "rows"], "mr"), ("Sub", ["one", "mr"], "hidden"), ("Mul", ["hidden", "value"], "pad"),
    ]  # fmt: skip
    made = [helper.make_node(kind, names, [out]) for kind, names, out in nodes]
    made += [
        helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "kt"], ["s"]),
    ]
    made += [helper.make_node(kind, names, [out]) for kind, names, out in SUMS[sums]]
    made += [helper.make_node("Softmax", ["z"], ["p"]), helper.make_node("MatMul", ["p", "v"], ["y"])]
    inputs = [
        helper.make_tensor_value_info("x", 1, (1, TOKENS, WIDTH)),
        helper.make_tensor_value_info("m", 1, (1, TOKENS)),
    ]
    outputs = [helper.make_tensor_value_info("y", 1, (1, TOKENS, WIDTH))]
    held = [numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()]
    graph = helper.make_graph(made, "g", inputs, outputs, held)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


@pytest.mark.parametrize("sums", SUMS)
@pytest.mark.parametrize("value", [-1e4, -1e9, LEAST])
def test_rows_that_two_masks_hide_come_to_the_source(tmp_path: Path, value: float, sums: str) -> None:
    path = tmp_path / "m.onnx"
    attention(path, value, sums)
    model = ov.convert_model(path)
    masks.mend(model)
    compiled = CORE.compile_model(model, "CPU", EXACT)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(1).standard_normal((1, TOKENS, WIDTH)).astype(np.float32)
    for hidden in range(0, TOKENS - 1, 3):
        m = (np.arange(TOKENS) >= hidden).astype(np.float32)[None]
        (wanted,) = session.run(None, {"x": x, "m": m})
        found = compiled({"x": x, "m": m})["y"]
        assert sqnr_db(np.asarray(wanted), found) >= 80


def test_a_large_constant_that_something_else_reads_is_left_alone() -> None:
    x = operators.parameter([4], np.float32)
    large = ov.op.Constant(np.full(4, LEAST, np.float32))
    model = ov.Model([operators.softmax(operators.add(x, large), 0), operators.relu(large)], [x])
    masks.mend(model)
    assert min(float(np.min(n.data)) for n in model.get_ordered_ops() if n.get_type_name() == "Constant") == LEAST


def test_masks_that_are_added_are_kept_apart_from_the_scores() -> None:
    x, y = (operators.parameter([4], np.float32) for _ in range(2))
    scores = operators.matmul(operators.multiply(x, y), np.eye(4, dtype=np.float32), False, False)
    mask = ov.op.Constant(np.array([0, 0, -1e9, -1e9], np.float32))
    model = ov.Model([operators.softmax(operators.add(scores, mask), 0)], [x, y])
    masks.part(model)
    (total,) = (node for node in model.get_ordered_ops() if node.get_type_name() == "Add")
    assert [value.get_node().get_type_name() for value in total.input_values()] == ["Maximum", "Constant"]


HEADS, DEPTH = 2, 4


def _product(x: Any, width: int, seed: int, reach: float | None) -> Any:
    """A layer of int8 weights, whose result is rounded to int8 if ``reach`` says how far it goes."""
    op = operators
    weights = np.random.default_rng(seed).integers(-127, 128, (width, width)).astype(np.int8)
    scale = ov.op.Constant(np.full((1, width), 1 / 127 / width**0.5, np.float32))
    made = op.matmul(x, op.multiply(op.convert(ov.op.Constant(weights), "f32"), scale), False, False)
    return made if reach is None else _rounded(made, reach)


def _rounded(value: Any, reach: float) -> Any:
    low, high = np.float32(-reach), np.float32(reach * 127 / 128)
    return operators.fake_quantize(value, low, high, low, high, 256)


def _integer_attention(mask: tuple[int, ...], *, fused: bool) -> Any:
    """Attention of int8 queries and keys under a mask, as an int8 IR has it."""
    op, width = operators, HEADS * DEPTH
    x = op.parameter([1, TOKENS, width], np.float32, name="x")
    given = op.parameter(list(mask), np.float32, name="m")
    rounded = _rounded(x, 3)
    q, k, v = (
        op.transpose(
            op.reshape(_product(rounded, width, seed, reach), np.array([1, TOKENS, HEADS, DEPTH]), False),
            np.array([0, 2, 1, 3]),
        )
        for seed, reach in ((1, 4.0), (2, 4.0), (3, None))
    )
    if fused:
        made = op.scaled_dot_product_attention(q, k, v, given)
    else:
        scores = op.multiply(op.matmul(q, k, False, True), np.float32(DEPTH**-0.5))
        made = op.matmul(op.softmax(op.add(scores, given), -1), v, False, False)
    return ov.Model([made], [x, given])


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("mask", [(1, 1, 1, TOKENS), (1, 1, TOKENS, TOKENS), (1, HEADS, 1, TOKENS), (1, TOKENS)])
def test_integer_attention_reads_its_mask_alone(mask: tuple[int, ...], fused: bool) -> None:
    """OpenVINO's kernel gave 1e35, and another value at every run, of a mask whose one row serves all."""
    random = np.random.default_rng(2)
    model = _integer_attention(mask, fused=fused)
    exact = CORE.compile_model(model, "CPU", {**EXACT, "LP_TRANSFORMS_MODE": "NO"})
    masks.mend(model)
    request = CORE.compile_model(model, "CPU", EXACT).create_infer_request()
    for _ in range(3):
        x = random.standard_normal((1, TOKENS, HEADS * DEPTH)).astype(np.float32)
        m = np.where(random.random(mask) < 0.3, np.float32(-1e4), np.float32(0))
        wanted = exact({"x": x, "m": m})[0]
        assert sqnr_db(np.asarray(wanted), request.infer({"x": x, "m": m})[0]) >= 25
