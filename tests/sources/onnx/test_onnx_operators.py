"""Every small model converts and computes what ONNX Runtime computes, or is refused by name."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgekit.engine.worker import Worker
from edgekit.errors import Unsupported
from tests.sources.onnx.onnx_cases import CASES, build, f32, save
from tests.sources.onnx.onnx_proof import assert_faithful, convert

REFUSED = {"conv_dynamic_weights": "Conv"}
"""Case → the operator that the refusal names."""


TYPICAL = {"conv_bn", "einsum_attention", "layer_norm", "matmul_add"}
"""What is converted even if slow tests are left out."""

SIBLINGS = {
    "acos", "asin", "asinh", "atan", "atanh", "cosh", "log", "sin", "sinh", "tan", "arg_min", "average_pool",
    "average_pool_ceil", "batch_norm1d", "batch_norm_training_flat", "ceil", "celu", "clip_low", "concat_negative",
    "conv", "conv1d", "conv1d_depthwise", "conv1d_equal", "conv_relu", "conv_same_lower", "conv_transpose", "cumsum",
    "deform_conv", "deform_conv_strided", "depth_to_space", "einsum_four", "einsum_sum", "gather_scalar", "gelu",
    "gelu_erf", "gemm", "global_average_pool1d", "group_norm_18", "instance_norm1d", "lp_norm_1", "matmul",
    "matmul_batched", "matmul_square", "max_pool", "max_pool1d", "max_pool_ceil", "ms_attention", "ms_attention_causal",
    "ms_attention_ends", "ms_attention_rows", "ms_gelu", "ms_grouped", "ms_grouped_bias", "ms_grouped_past",
    "ms_inverse", "ms_inverse_large", "ms_multi_head", "ms_multi_head_bias", "outer_difference", "pad_constant",
    "pad_edge", "reduce_l1", "reduce_logsum", "reduce_max_20", "reduce_mean", "reduce_min", "reduce_prod",
    "reduce_sum_all", "reduce_sumsquare", "resize_1d", "resize_linear_aligned", "resize_linear_down",
    "resize_linear_half_pixel", "resize_nearest", "resize_nearest_half_pixel", "selu", "slice", "softmax",
    "softmax_channels", "split", "split_num_outputs", "sum_of_three", "swish", "top_k", "trilu", "where",
}  # fmt: skip
"""Cases whose kind another case shows; a study converts them."""


def kinds(model: onnx.ModelProto) -> set[str]:
    return {node.op_type for part in (model.graph, *model.functions) for node in part.node} - {"Constant"}


def test_every_operator_has_a_case_that_is_no_sibling() -> None:
    others = set().union(*(kinds(model) for name, model in CASES.items() if name not in SIBLINGS))
    assert {name: left for name in SIBLINGS if (left := kinds(CASES[name]) - others)} == {}


def marked(name: str) -> Any:
    return pytest.param(name, marks=[pytest.mark.study, pytest.mark.long] if name in SIBLINGS else [])


@pytest.mark.slow
@pytest.mark.parametrize("name", map(marked, sorted(set(CASES) - set(REFUSED) - TYPICAL)))
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


@pytest.mark.parametrize("name", sorted(TYPICAL))
def test_typical_models_convert_faithfully(name: str, worker: Worker, tmp_path: Path) -> None:
    assert_faithful(worker, save(tmp_path, CASES[name]), tmp_path)
