"""Sequences of known length: what is taken from them is what ONNX Runtime takes, and the file has none."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgekit.engine.worker import Worker
from edgekit.errors import Unsupported
from tests.sources.onnx.onnx_cases import build, i64, save
from tests.sources.onnx.onnx_proof import assert_faithful, convert

PLACES = {"zero": np.int64(0), "one": np.int64(1), "last": np.int64(-1), "first": np.int64(-3)}

UNEQUAL = {
    "sizes": "s = SplitToSequence<axis=1>(x, sizes) j = ConcatFromSequence<axis=1>(s)",
    "chunks with a rest": "s = SplitToSequence<axis=-2>(x, three) j = ConcatFromSequence<axis=-2>(s)",
}
"""Ways to make a sequence of three elements or more of x, ``[2,7,6]``, and to join them again."""

EQUAL = {
    "chunks": "s = SplitToSequence<axis=2>(x, two)",
    "single places": "s = SplitToSequence<axis=2>(x)",
    "single places without their axis": "s = SplitToSequence<axis=2, keepdims=0>(x)",
    "written out": "n = Neg(x) s = SequenceConstruct(x, n, x)",
    "appended": "e = SequenceEmpty() n = Neg(x) p = SequenceInsert(e, x) q = SequenceInsert(p, n) s = SequenceInsert(q, x)",
    "put before": "n = Neg(x) p = SequenceConstruct(x, x, x) s = SequenceInsert(p, n, zero)",
    "put inside from the end": "n = Neg(x) p = SequenceConstruct(x, x) s = SequenceInsert(p, n, last)",
    "taken out": "n = Neg(x) p = SequenceConstruct(x, n, x, n) s = SequenceErase(p, one)",
    "last taken out": "n = Neg(x) p = SequenceConstruct(n, x, n, x, x) s = SequenceErase(p)",
    "a copy": "n = Neg(x) p = SequenceConstruct(n, x, n) s = Identity(p)",
}
"""The same of elements that may lie side by side."""

SEQUENCES = UNEQUAL | {
    name: f"{body} j = ConcatFromSequence<axis=1>(s) k = ConcatFromSequence<axis=-1, new_axis=1>(s)"
    for name, body in EQUAL.items()
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_what_a_sequence_holds(name: str, worker: Worker, tmp_path: Path) -> None:
    reads = "".join(f" {out} = SequenceAt(s, {place})" for place, out in zip(PLACES, "abcd", strict=True))
    body = f"{SEQUENCES[name]}{reads} l = SequenceLength(s) f = Cast<to=1>(l) m = Mul(x, f)"
    sizes = {"two": np.int64(2), "three": np.int64(3), "sizes": i64(2, 2, 3)}
    constants = {key: value for key, value in (PLACES | sizes).items() if key in body}
    outputs = "abcdjm" if name in UNEQUAL else "abcdjkm"
    model = build("float[2,7,6] x", body, ", ".join(f"float[] {out}" for out in outputs), **constants)
    assert_faithful(worker, save(tmp_path, model), tmp_path)


def test_what_a_loop_appends(worker: Worker, tmp_path: Path) -> None:
    """The form of a scripted loop over steps."""
    sequence = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["still"]),
            helper.make_node("Gather", ["x", "step"], ["row"], axis=0),
            helper.make_node("Tanh", ["row"], ["made"]),
            helper.make_node("SequenceInsert", ["held", "made"], ["more"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_value_info("held", sequence),
        ],
        [helper.make_tensor_value_info("still", TensorProto.BOOL, []), helper.make_value_info("more", sequence)],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Constant", [], ["trips"], value_int=4),
            helper.make_node("SequenceEmpty", [], ["none"]),
            helper.make_node("Loop", ["trips", "", "none"], ["all"], body=body),
            helper.make_node("ConcatFromSequence", ["all"], ["y"], axis=0, new_axis=1),
        ],
        "loop",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert_faithful(worker, save(tmp_path, model), tmp_path)


@pytest.mark.parametrize(
    "body",
    [
        "s = SplitToSequence<axis=1>(x, n) y = SequenceAt(s, k)",
        "s = SplitToSequence<axis=1>(x, k) y = SequenceAt(s, n)",
    ],
)
def test_a_place_or_a_size_that_is_computed_is_refused_by_name(body: str, worker: Worker, tmp_path: Path) -> None:
    model = build("float[1,6,4] x, int64 k", body, n=np.int64(2))
    with pytest.raises(Unsupported, match=r"Sequence|depends on the inputs' values"):
        convert(worker, save(tmp_path, model), tmp_path / "waist")


def test_a_very_long_sequence_is_refused_by_name(worker: Worker, tmp_path: Path) -> None:
    """A slice for each of very many elements takes the converter minutes."""
    model = build("float[1,2000] x", "s = SplitToSequence<axis=1>(x) y = ConcatFromSequence<axis=1>(s)")
    with pytest.raises(Unsupported, match="SplitToSequence"):
        convert(worker, save(tmp_path, model), tmp_path / "waist")
