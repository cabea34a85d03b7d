"""Each operator of integers computes what LiteRT computes, to the last integer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.nouns.recipe import Qat
from edgekit.waist import graph
from tests.channels.generated import Layers
from tests.lazy import Lazy
from tests.passes.qat.integers import quantized, simulated, with_integer_weights
from tests.trainable import cases

agreement = Lazy("edgekit.passes.qat.agreement")
lifting, qat = Lazy("edgekit.trainable.lifting"), Lazy("edgekit.passes.qat")

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


WORDS = (
    "CONV_2D", "CONV_2D_groups", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV_same", "FULLY_CONNECTED", "ADD", "SUB", "MUL", "RELU6",
    "CONCATENATION", "RESHAPE",
)  # fmt: skip


@pytest.mark.parametrize("name", WORDS)
def test_an_operator_of_16_bits_computes_the_integers_of_its_kernel(name: str, tmp_path: Path) -> None:
    path = cases.write(name, tmp_path)
    content, values = quantized(path, "int16")
    simulation, seen = simulated(content), agreement.observed(content, values)
    assert not simulation.refused
    assert [share for share in agreement.alone(simulation, seen) if share.equal < 1] == []
    assert set(agreement.whole(simulation, seen).values()) == {1.0}


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize(
    "name", ["CONV_2D", "CONV_2D_valid_strides", "CONV_2D_dilated", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"]
)
def test_an_operator_with_integer_weights_computes_what_its_kernel_computes(
    name: str, bits: int, tmp_path: Path
) -> None:
    path = cases.write(name, tmp_path)
    content, values = with_integer_weights(path, bits)
    simulation, seen = simulated(content), agreement.observed(content, values)
    assert simulation.kernels
    assert not simulation.refused
    assert [share for share in agreement.alone(simulation, seen) if share.equal < 1] == []


@pytest.mark.parametrize(("taps", "outputs"), [(64, 8), (8, 16), (12, 7), (100, 3)])
def test_a_dense_layer_of_16_bits_rounds_once(taps: int, outputs: int, tmp_path: Path) -> None:
    """On many samples: what a second rounding, or a quotient in place of the inverse, changes is seldom seen."""
    layers = Layers(1, taps)
    content, _ = quantized(layers.save(tmp_path / "float.tflite", layers.dense(layers.x, outputs)), "int16")
    values = np.random.default_rng(outputs).standard_normal((256, 1, taps)).astype(np.float32)
    shares = agreement.alone(simulated(content), agreement.observed(content, {"x": values}))
    assert {share.name for share in shares} >= {"QUANTIZE", "FULLY_CONNECTED"}
    assert [share for share in shares if share.equal < 1] == []


HYBRID: dict[str, Any] = {
    "wide": lambda net: net.conv(net.x, 8),
    "pixels": lambda net: net.conv(net.x, 8, 1),
    "one channel": lambda net: net.conv(net.x, 1),
    "one pixel and channel": lambda net: net.conv(net.x, 1, 1),
    "depthwise": lambda net: net.depthwise(net.x),
    "transposed": lambda net: net.transposed(net.x, 5),
    "dense": lambda net: net.dense(net.reshape(net.x, 1, 192), 6),
}


@pytest.mark.parametrize("even", [False, True])
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("name", HYBRID)
def test_the_kernel_of_integer_weights_is_found_by_what_it_makes(
    name: str, bits: int, even: bool, tmp_path: Path
) -> None:
    """Clustered weights have one scale for all channels, for which LiteRT takes another kernel, as for single pixels."""
    layers = Layers(1, 8, 8, 3)
    path = layers.save(tmp_path / "float.tflite", HYBRID[name](layers))
    tree = graph.parse(with_integer_weights(path, bits)[0], path)
    (weights,) = (t for t in graph.describe(tree)[0].tensors if t.dtype in {"int4", "int8"})
    if even:
        tree.subgraphs[0].tensors[weights.index].quantization.scale = np.full(len(weights.scales), 0.05, np.float32)
    content = graph.pack(tree)
    given = {"x": np.random.default_rng(0).standard_normal((8, 1, 8, 8, 3)).astype(np.float32)}
    found = qat.proven(content, lifting.lift(path), given, Qat(precision="dynamic-int8"))
    assert found.by_litert == set()
    assert min(share.equal for share in agreement.alone(found, agreement.observed(content, given))) > 0.99
