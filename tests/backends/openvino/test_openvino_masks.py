"""Two masks before a softmax, in rows that both of them hide whole: OpenVINO's files come to ONNX Runtime's results."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from edgekit.backends.openvino.libraries import CORE, EXACT, ov
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
    x = masks.operators.parameter([4], np.float32)
    large = ov.op.Constant(np.full(4, LEAST, np.float32))
    model = ov.Model([masks.operators.softmax(masks.operators.add(x, large), 0), masks.operators.relu(large)], [x])
    masks.mend(model)
    assert min(float(np.min(n.data)) for n in model.get_ordered_ops() if n.get_type_name() == "Constant") == LEAST


def test_masks_that_are_added_are_kept_apart_from_the_scores() -> None:
    x, y = (masks.operators.parameter([4], np.float32) for _ in range(2))
    scores = masks.operators.matmul(masks.operators.multiply(x, y), np.eye(4, dtype=np.float32), False, False)
    mask = ov.op.Constant(np.array([0, 0, -1e9, -1e9], np.float32))
    model = ov.Model([masks.operators.softmax(masks.operators.add(scores, mask), 0)], [x, y])
    masks.part(model)
    (total,) = (node for node in model.get_ordered_ops() if node.get_type_name() == "Add")
    assert [value.get_node().get_type_name() for value in total.input_values()] == ["Maximum", "Constant"]
