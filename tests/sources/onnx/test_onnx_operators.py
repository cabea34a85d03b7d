"""Every small model converts and computes what ONNX Runtime computes, or is refused by name."""

from pathlib import Path

import numpy as np
import pytest

from edgekit.engine.worker import Worker
from edgekit.errors import Unsupported
from tests.sources.onnx.onnx_cases import CASES, build, f32, save
from tests.sources.onnx.onnx_proof import assert_faithful, convert

REFUSED = {"conv_dynamic_weights": "Conv"}
"""Case → the operator that the refusal names."""


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(CASES) - set(REFUSED)))
def test_small_models_convert_faithfully(name: str, worker: Worker, tmp_path: Path) -> None:
    assert_faithful(worker, save(tmp_path, CASES[name]), tmp_path)


UNTOLD = {
    "batch_norm_unread": (
        build("float[4,3,5,6] x", "y, p, q = BatchNormalization<training_mode=1>(x, s, b, m, v)", opset=15, s=(3,), b=(3,), m=(3,), v=f32(1, 2, 3)),
        "BatchNormalization in training mode",
    ),
    "inverse_too_large": (build("float[1,80,80] x", "y = com.microsoft.Inverse(x)"), "Inverse of matrices above 64 × 64"),
    "determinant_too_large": (build("float[1,20,20] x", "y = Det(x)"), "Det of matrices above 16 × 16"),
    "inverse_one_sided": (
        build("float[1,5,2] x", "y = DFT<axis=1, inverse=1, onesided=1>(x, n)", n=np.int64(8)),
        "DFT y is inverse and one-sided",
    ),
}  # fmt: skip
"""What ONNX Runtime gives for these is no reference: it varies, or is not what ONNX defines."""


@pytest.mark.parametrize("name", UNTOLD)
def test_what_has_no_reference_is_refused_with_its_reason(name: str, worker: Worker, tmp_path: Path) -> None:
    model, reason = UNTOLD[name]
    with pytest.raises(Unsupported, match=reason):
        convert(worker, save(tmp_path, model), tmp_path / "waist")


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_cannot_be_converted_is_refused_by_operator(name: str, worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=REFUSED[name]):
        convert(worker, save(tmp_path, CASES[name]), tmp_path / "waist")


@pytest.mark.parametrize("name", ["conv_bn", "layer_norm", "einsum_attention", "matmul_add"])
def test_typical_models_convert_faithfully(name: str, worker: Worker, tmp_path: Path) -> None:
    assert_faithful(worker, save(tmp_path, CASES[name]), tmp_path)
