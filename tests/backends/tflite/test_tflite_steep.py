"""Layers that make their whole output of less than one level of their input: XNNPACK has no such factors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.backends.tflite import ready
from edgekit.equalization.layers import KINDS
from edgekit.waist import graph
from tests import networks
from tests.backends.integers import Quantized, normal
from tests.equalization.spread import COUNT, DILATION, OPTIONS, Net

SIZES = np.array([1.0] * (COUNT - 1) + [1e-6])
"""Of the channels that a layer reads, the last one a millionth of the others; its weights make up for that."""


def convolution(net: Net, x: int) -> int:
    return net.conv(x, 4)


def depthwise(net: Net, x: int) -> int:
    kernel = net.constant("w", (networks.weights(1, 3, 3, COUNT) / SIZES).astype("f"))
    bias = net.constant("wb", np.zeros(COUNT, "f"))
    fixed: dict[str, Any] = OPTIONS | DILATION | {"depthMultiplier": 1}
    return net.operator(
        "DEPTHWISE_CONV_2D", [x, kernel, bias], (1, 8, 8, COUNT), kind="DepthwiseConv2DOptions", **fixed
    )


def transposed(net: Net, x: int) -> int:
    kernel = net.constant("w", (networks.weights(4, 2, 2, COUNT) / SIZES).astype("f"))
    size = net.constant("size", np.array([1, 16, 16, 4], np.int32))
    fixed: dict[str, Any] = {"strideH": 2, "strideW": 2, "padding": networks.VALID}
    return net.operator("TRANSPOSE_CONV", [size, kernel, x], (1, 16, 16, 4), kind="TransposeConvOptions", **fixed)


def dense(net: Net, x: int) -> int:
    kernel = net.constant("w", (networks.weights(4, 64 * COUNT) / np.tile(SIZES, 64)).astype("f"))
    flat = net.reshaped(x, (1, 64 * COUNT))
    return net.operator("FULLY_CONNECTED", [flat, kernel], (1, 4), kind="FullyConnectedOptions")


def steep_network(path: Path, layer: Callable[[Net, int], int], *, sizes: Any = SIZES) -> Path:
    """A layer with channels of these sizes, and one that reads them and makes values near 1 of each."""
    net = Net(0)
    net.sizes[-1] = sizes
    return net.save(path, layer(net, net.conv(net.input("x", (1, 8, 8, 3)), like=-1)))


@pytest.mark.parametrize("layer", [convolution, depthwise, transposed, dense])
def test_a_layer_that_xnnpack_would_refuse_stays_float(layer: Callable[[Net, int], int], tmp_path: Path) -> None:
    waist = steep_network(tmp_path / "waist.tflite", layer)
    settings = {"weights": "nearest", "equalization": "off", "ranges": "minmax"}
    made = Quantized(waist, normal(waist, 24), tmp_path / "made", settings=settings)
    main = graph.read(made.artifact)[0]
    last = [operator for operator in main.operators if operator.name in KINDS][-1]
    assert main.tensors[last.outputs[0]].dtype == "float32"
    assert ready.steep.STEEP in made.floats()


@pytest.mark.parametrize("layer", [convolution])
def test_a_layer_that_counts_with_levels_does_not(layer: Callable[[Net, int], int], tmp_path: Path) -> None:
    waist = steep_network(tmp_path / "waist.tflite", layer, sizes=np.ones(COUNT))
    assert "stays" not in Quantized(waist, normal(waist, 24), tmp_path / "made").floats()


def test_what_a_join_of_floats_reads_has_a_range_of_its_own(tmp_path: Path) -> None:
    """Such a join has the range of its largest operand, with which the tiny one would not be steep."""
    net = Net(0)
    net.sizes |= {-1: np.full(4, 1e-7), -2: np.ones(4), -3: SIZES}
    x = net.conv(net.input("x", (1, 8, 8, 3)), like=-3)
    tiny, plain = (net.conv(x, 4, activation=0, like=like) for like in (-1, -2))
    waist = net.save(tmp_path / "waist.tflite", net.join(tiny, plain))
    settings = {"weights": "nearest", "equalization": "off", "ranges": "minmax"}
    made = Quantized(waist, normal(waist, 24), tmp_path / "made", settings=settings)
    assert "they join outputs of different ranges" in made.floats()
    assert ready.steep.STEEP in made.floats()
    assert "LiteRT dies of their integer form" not in made.floats()
