"""If, Loop and Scan become plain operators, or are refused because nothing static can express them."""

from pathlib import Path

import onnx
import pytest
from onnx import parser

from edgekit.engine.worker import Worker
from edgekit.errors import Unsupported
from edgekit.waist import graph
from tests.sources.onnx.onnx_cases import save
from tests.sources.onnx.onnx_proof import assert_faithful, convert


def model(text: str, opset: int = 17) -> onnx.ModelProto:
    return parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> {text}')


IF_STATIC = model("""g (float[1,4] x) => (float[] y) {
    s = Shape(x) i = Constant<value = int64 {1}>() n = Gather(s, i) four = Constant<value = int64 {4}>() c = Equal(n, four)
    y = If(c) <then_branch = g1 () => (float[] a) { a = Relu(x) }, else_branch = g2 () => (float[] b) { b = Neg(x) }>
}""")
IF_COMPUTED = model("""g (float[1,4] x) => (float[] y, float[] z) {
    s = ReduceSum<keepdims=0>(x) zero = Constant<value = float {0}>() c = Greater(s, zero)
    y, z = If(c) <then_branch = g1 () => (float[1,4] a, float p) { a = Relu(x) p = ReduceMax<keepdims=0>(x) },
                  else_branch = g2 () => (float[1,4] b, float q) { b = Neg(x) q = ReduceMin<keepdims=0>(x) }>
}""")
IF_VARYING = model("""g (float[1,4] x) => (float[] y) {
    s = ReduceSum<keepdims=0>(x) zero = Constant<value = float {0}>() c = Greater(s, zero)
    y = If(c) <then_branch = g1 () => (float[] a) { a = Relu(x) }, else_branch = g2 () => (float[] b) { b = Concat<axis=0>(x, x) }>
}""")
LOOP = model("""g (float[1,4] x) => (float[] y, float[] each) {
    n = Constant<value = int64 {3}>() t = Constant<value = bool {1}>()
    y, each = Loop(n, t, x) <body = b (int64 i, bool c, float[1,4] s) => (bool d, float[1,4] r, float[1,4] e) {
        d = Identity(c) f = Cast<to=1>(i) r = Add(s, f) e = Mul(r, r) }>
}""")
LOOP_FROZEN = model("""g (float[1,4] x) => (float[] y) {
    n = Constant<value = int64 {5}>() t = Constant<value = bool {1}>()
    y = Loop(n, t, x) <body = b (int64 i, bool c, float[1,4] s) => (bool d, float[1,4] r) {
        one = Constant<value = float {1}>() r = Add(s, one) m = ReduceSum<keepdims=0>(r) limit = Constant<value = float {9}>() d = Less(m, limit) }>
}""")
LOOP_WHILE = model("""g (float[1,4] x) => (float[] y) {
    t = Constant<value = bool {1}>() start = Constant<value = int64 {0}>()
    y, k = Loop(, t, x, start) <body = b (int64 i, bool c, float[1,4] s, int64 k0) => (bool d, float[1,4] r, int64 k1) {
        one = Constant<value = int64 {1}>() k1 = Add(k0, one) r = Sigmoid(s) six = Constant<value = int64 {6}>() d = Less(k1, six) }>
}""")
LOOP_OPEN = model("""g (float[1,4] x, int64 k) => (float[] y) {
    t = Constant<value = bool {1}>()
    y = Loop(k, t, x) <body = b (int64 i, bool c, float[1,4] s) => (bool d, float[1,4] r) { d = Identity(c) r = Sigmoid(s) }>
}""")
SCAN = model("""g (float[4] first, float[5,4] xs) => (float[] last, float[] all) {
    last, all = Scan<num_scan_inputs = 1, scan_output_directions = [1], body = b (float[4] s, float[4] x) => (float[4] t, float[4] u) {
        h = Add(s, x) t = Tanh(h) u = Neg(t) }>(first, xs)
}""")


@pytest.mark.parametrize(
    "network",
    [IF_STATIC, IF_COMPUTED, LOOP, LOOP_FROZEN, LOOP_WHILE, SCAN],
    ids=["if_static", "if_computed", "loop", "loop_frozen", "loop_while", "scan"],
)
def test_control_flow_becomes_plain_operators(network: onnx.ModelProto, worker: Worker, tmp_path: Path) -> None:
    waist = assert_faithful(worker, save(tmp_path, network), tmp_path)
    assert len(graph.read(tmp_path / "waist" / waist.file)) == 1


def test_a_known_condition_keeps_one_branch_only(worker: Worker, tmp_path: Path) -> None:
    waist = convert(worker, save(tmp_path, IF_STATIC), tmp_path / "waist")
    assert [o.name for o in graph.read(tmp_path / "waist" / waist.file)[0].operators] == ["RELU"]


@pytest.mark.parametrize(("network", "named"), [(IF_VARYING, "If"), (LOOP_OPEN, "Loop")], ids=["if", "loop"])
def test_what_varies_with_values_is_refused(
    network: onnx.ModelProto, named: str, worker: Worker, tmp_path: Path
) -> None:
    with pytest.raises(Unsupported, match=named):
        convert(worker, save(tmp_path, network), tmp_path / "waist")
