"""Each operator of integers computes what LiteRT computes, to the last integer."""

from pathlib import Path

import pytest

from tests.lazy import Lazy
from tests.passes.qat.integers import quantized, simulated
from tests.trainable import cases

agreement = Lazy("edgekit.passes.qat.agreement")

SIMULATED = (
    "CONV_2D", "CONV_2D_valid_strides", "CONV_2D_dilated", "CONV_2D_places", "CONV_2D_groups", "DEPTHWISE_CONV_2D",
    "DEPTHWISE_CONV_2D_multiplier", "DEPTHWISE_CONV_2D_odd_strides", "TRANSPOSE_CONV_same", "TRANSPOSE_CONV_valid",
    "FULLY_CONNECTED", "ADD", "SUB", "MUL", "AVERAGE_POOL_2D", "MAX_POOL_2D", "LOGISTIC", "TANH", "SOFTMAX", "LEAKY_RELU",
    "RELU", "RELU6", "ELU", "GELU", "EXP", "HARD_SWISH", "MEAN_of_two", "PAD", "CONCATENATION", "RESIZE_BILINEAR",
    "RESIZE_NEAREST_NEIGHBOR", "SPACE_TO_BATCH_ND", "DEPTH_TO_SPACE", "STRIDED_SLICE", "SPLIT", "PACK", "TRANSPOSE", "RESHAPE",
)  # fmt: skip

BY_LITERT = ("ABS", "LOG_SOFTMAX", "L2_NORMALIZATION", "SQUARED_DIFFERENCE", "PRELU", "LSTM")


@pytest.mark.parametrize("name", [name for name in SIMULATED if name in cases.CASES])
def test_an_operator_computes_the_integers_of_its_kernel(name: str, tmp_path: Path) -> None:
    path = cases.write(name, tmp_path)
    content, values = quantized(path)
    simulation, seen = simulated(content), agreement.observed(content, values)
    shares = agreement.alone(simulation, seen)
    assert not simulation.refused
    assert [share for share in shares if share.equal < 1] == []
    assert set(agreement.whole(simulation, seen).values()) == {1.0}


@pytest.mark.parametrize("name", BY_LITERT)
def test_what_is_not_simulated_is_computed_by_litert(name: str, tmp_path: Path) -> None:
    path = cases.write(name, tmp_path)
    content, values = quantized(path)
    simulation, seen = simulated(content), agreement.observed(content, values)
    assert simulation.refused
    assert set(agreement.whole(simulation, seen).values()) == {1.0}
