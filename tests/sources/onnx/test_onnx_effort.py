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
        (looped(1000), 1000 * 16),
        (looped(2**62), MOST_TRIPS * 16),
    ],
)
def test_macs_are_those_of_the_shapes(model: onnx.ModelProto, macs: int) -> None:
    assert effort.of(model).macs == macs


def test_bodies_of_a_scan_count_for_each_step() -> None:
    body = """
        h, y = Scan<num_scan_inputs=1, body = b (float[1,4] s, float[1,4] v) => (float[1,4] n, float[1,4] z) {
            n = MatMul(s, w) z = Add(n, v)
        }>(start, x)
    """
    found = effort.of(build("float[100,1,4] x", body, start=(1, 4), w=(4, 4)))
    assert found.macs == 100 * 16
    assert found.loops[0].startswith("Scan")
