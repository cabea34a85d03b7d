"""What an inference of an ONNX model takes: honest work earns its time, a declared number of rounds does not."""

import numpy as np
import onnx
import pytest

from edgekit.sources.onnx import effort
from edgekit.waist.effort import MOST_TRIPS
from tests.sources.onnx.onnx_cases import build

LOOP = """
    y = Loop(n, t, x) <body = b (int64 i, bool c, float[1,4] v) => (bool more, float[1,4] z) {
        more = Identity(c) z = MatMul(v, w)
    }>
"""


def looped(rounds: int) -> onnx.ModelProto:
    return build("float[1,4] x", LOOP, n=np.array(rounds), t=np.array(True), w=(4, 4))


@pytest.mark.parametrize(
    ("model", "macs"),
    [
        (build("float[1,3,8,8] x", "y = Conv(x, w)", w=(4, 3, 3, 3)), 4 * 36 * 27),
        (build("float[1,4,16] x", "y = ConvTranspose<strides=[2]>(x, w)", w=(4, 2, 3)), 4 * 16 * 6),
        (build("float[2,8] x", "y = Gemm<transA=1>(x, w)", w=(2, 3)), 8 * 3 * 2),
        (build("float[7,8] x", 'y = Einsum<equation="ab,bc->ac">(x, w)', "float[7,3] y", w=(8, 3)), 7 * 3 * 8),
        (build("float[50,1,8] x", "y = LSTM<hidden_size=4>(x, w, r)", w=(1, 16, 8), r=(1, 16, 4)), 50 * 16 * 12),
        (build("float[50,2,8] x", "y = GRU<hidden_size=4>(x, w, r)", w=(1, 12, 8), r=(1, 12, 4)), 100 * 12 * 12),
        (build("float[1,4,16] x", "t = com.microsoft.Gelu(x) y = MatMul(t, w)", w=(16, 3)), 16 * 3 * 16),
        (
            build(
                "float[1,3,8,8] x", "t = com.microsoft.FusedConv(x, w) y = Conv(t, v)", w=(4, 3, 3, 3), v=(2, 4, 1, 1)
            ),
            (108 + 8) * 64,
        ),
        (
            build("float[1,5,8] x", "y = com.microsoft.Attention<num_heads=2>(x, w, b)", w=(8, 24), b=(24,)),
            5 * 8 * 24 + 2 * 5 * 5 * 8,
        ),
        (build("float[1,5,8] x", "y = com.microsoft.MultiHeadAttention<num_heads=2>(x, x, x)"), 2 * 5 * 5 * 8),
        (build("float[1,2,5,4] x", "y = Attention(x, k, k)", opset=23, k=(1, 2, 7, 4)), 2 * 5 * 7 * 2 * 4),
        (
            build(
                "float[3,16] x",
                "y = com.microsoft.MatMulNBits<K=16, N=5, bits=4, block_size=16>(x, w, s)",
                w=np.zeros((5, 1, 8), np.uint8),
                s=(5,),
            ),
            3 * 16 * 5,
        ),
        (looped(1000), 1000 * 16),
        (looped(2**62), MOST_TRIPS * 16),
    ],
)
def test_macs_are_those_of_the_shapes(model: onnx.ModelProto, macs: int) -> None:
    assert effort.of(model).macs == macs


FUNCTIONS = """
    <ir_version: 8, opset_import: ["": 17, "own": 1]>
    g (float[1,4] x) => (float[1,4] y) { y = own.twice(x) }
    <domain: "own", opset_import: ["": 17, "own": 1]>
    twice (a) => (c) { b = own.often(a) c = own.often(b) }
    <domain: "own", opset_import: ["": 17]>
    often (a) => (c) {
        n = Constant<value = int64 {300}>() t = Constant<value = bool {1}>()
        c = Loop(n, t, a) <body = b (int64 i, bool e, float[1,4] v) => (bool more, float[1,4] z) {
            more = Identity(e) w = Concat<axis=0>(v, v, v, v) z = MatMul(v, w)
        }>
    }
"""


def test_functions_of_the_model_count_wherever_they_are_called() -> None:
    found = effort.of(onnx.parser.parse_model(FUNCTIONS))
    assert found.macs == 2 * 300 * 16
    assert len(found.loops) == 2


def test_a_loop_without_a_number_counts_for_each_step_of_the_longest_input() -> None:
    assert effort.of(build("float[1,4] x, int64 n", LOOP, t=np.array(True), w=(4, 4))).macs == 4 * 16


def test_a_scan_goes_along_its_own_axis() -> None:
    body = """
        h, y = Scan<num_scan_inputs=1, scan_input_axes=[1], body = b (float[1,4] s, float[1,4] v) => (float[1,4] n, float[1,4] z) {
            n = MatMul(s, w) z = Add(n, v)
        }>(start, x)
    """
    assert effort.of(build("float[1,7,4] x", body, start=(1, 4), w=(4, 4))).macs == 7 * 16


def test_bodies_of_a_scan_count_for_each_step() -> None:
    body = """
        h, y = Scan<num_scan_inputs=1, body = b (float[1,4] s, float[1,4] v) => (float[1,4] n, float[1,4] z) {
            n = MatMul(s, w) z = Add(n, v)
        }>(start, x)
    """
    found = effort.of(build("float[100,1,4] x", body, start=(1, 4), w=(4, 4)))
    assert found.macs == 100 * 16
    assert found.loops[0].startswith("Scan")
