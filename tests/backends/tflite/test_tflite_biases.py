"""Channels that compute next to nothing, and yet have a bias: what they add must not turn over."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.backends.tflite import biases
from edgekit.waist import edit, graph
from edgekit.waist.tensors import sqnr_db
from tests import networks
from tests.backends.integers import Quantized, normal

SIZES = np.array([1, 1e-7, 1, 1e-12, 0, 1], np.float32)
"""How large the weights of each channel are; its bias is 1 or -1 whatever they are."""

BIAS = np.array([1, -1, 1, 1, -1, -1], np.float32)


def convolution(net: networks.Network) -> int:
    x = net.input("x", (1, 4, 4, 8))
    kernel = net.constant("k", networks.weights(6, 1, 1, 8) * SIZES.reshape(6, 1, 1, 1))
    stride = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1, "padding": networks.SAME}
    return net.operator("CONV_2D", [x, kernel, net.constant("b", BIAS)], (1, 4, 4, 6), kind="Conv2DOptions", **stride)


def depthwise(net: networks.Network) -> int:
    x = net.input("x", (1, 4, 4, 6))
    kernel = net.constant("k", networks.weights(1, 3, 3, 6) * SIZES)
    stride = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1, "padding": networks.SAME}
    options = {"kind": "DepthwiseConv2DOptions", "depthMultiplier": 1} | stride
    return net.operator("DEPTHWISE_CONV_2D", [x, kernel, net.constant("b", BIAS)], (1, 4, 4, 6), **options)


def dense(net: networks.Network) -> int:
    x = net.input("x", (1, 8))
    kernel = net.constant("k", networks.weights(6, 8) * SIZES[:, None])
    return net.operator("FULLY_CONNECTED", [x, kernel, net.constant("b", BIAS)], (1, 6), kind="FullyConnectedOptions")


@pytest.mark.parametrize("layer", [convolution, depthwise, dense])
def test_each_channel_gives_its_bias(layer: Any, tmp_path: Path) -> None:
    net = networks.Network()
    path = net.save(tmp_path / "net.tflite", layer(net))
    made = Quantized(path, normal(path), tmp_path / "out", io="float32")
    assert min(channels(made)) > 25
    cut_off(made.artifact)
    assert min(channels(made)) < 10, "a bias at the end of int32 must be what goes wrong"
    tree = graph.load(made.artifact)
    assert biases.fit(tree, path) == 3
    made.artifact.write_bytes(graph.pack(tree))
    assert min(channels(made)) > 25
    assert biases.fit(tree, path) == 0


def channels(made: Quantized) -> list[float]:
    """SQNR of each channel of the only output."""
    wanted, found = made.wanted(made.samples), made.outputs(made.samples)
    ((name, values),) = wanted.items()
    return [sqnr_db(values[..., channel], found[name][..., channel]) for channel in range(len(BIAS))]


def cut_off(file: Path) -> None:
    """Give channels of small weights a hundredth of their scale, and cut their biases off at the ends of int32."""
    tree = graph.load(file)
    main = graph.describe(tree)[0]
    (operator,) = (one for one in main.operators if one.name in biases.SLOTS)
    _, weights, bias = (operator.inputs[slot] for slot in biases.SLOTS[operator.name])
    by = np.where(SIZES < 1e-3, 0.01, 1.0)
    for tensor in (weights, bias):
        quantization = tree.subgraphs[0].tensors[tensor].quantization
        quantization.scale = (np.array(quantization.scale) * by).astype(np.float32)
    stored = graph.constant(tree, 0, bias)
    ends = np.iinfo(np.int32)
    edit.set_constant(tree, bias, np.clip(stored / by, ends.min, ends.max).astype(np.int32))
    file.write_bytes(graph.pack(tree))
