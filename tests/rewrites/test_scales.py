"""Constants behind a layer: taken into its weights and bias, if they are one number for each channel."""

from pathlib import Path

import numpy as np
import pytest

from tests import networks
from tests.rewrites import rewriting

RELU6 = 3


def layer(net: networks.Network, kind: str, *, bias: bool = True) -> tuple[int, tuple[int, ...]]:
    options = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1, "padding": networks.SAME}
    if kind == "FULLY_CONNECTED":
        x, weights, shape, channels = net.input("x", (2, 6)), networks.weights(4, 6), (2, 4), 4
        held, options = "FullyConnectedOptions", {}
    elif kind == "CONV_2D":
        x, weights, shape, channels = net.input("x", (1, 5, 5, 3)), networks.weights(4, 3, 3, 3), (1, 5, 5, 4), 4
        held = "Conv2DOptions"
    else:
        x, weights, shape, channels = net.input("x", (1, 5, 5, 4)), networks.weights(1, 3, 3, 4), (1, 5, 5, 4), 4
        held, options["depthMultiplier"] = "DepthwiseConv2DOptions", 1
    inputs = [x, net.constant("w", weights), net.constant("b", networks.weights(channels)) if bias else -1]
    return net.operator(kind, inputs, shape, kind=held, **options), shape


@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"])
@pytest.mark.parametrize("size", [1, 4])
def test_factors_and_summands_go_into_a_layer(tmp_path: Path, kind: str, size: int) -> None:
    net = networks.Network()
    made, shape = layer(net, kind)
    factor = net.constant("f", np.linspace(0.2, 1.4, size).astype(np.float32))
    summand = net.constant("s", np.linspace(-0.5, 2, size).astype(np.float32))
    made = net.operator("MUL", [factor, made], shape, kind="MulOptions")
    made = net.operator("SUB", [made, summand], shape, kind="SubOptions", fusedActivationFunction=RELU6)
    path = net.save(tmp_path / "model.tflite", made)
    told, after = rewriting.rewritten(path, "scales")
    dense = kind == "FULLY_CONNECTED" and size > 1  # one scale for all weights of a dense layer
    assert rewriting.operators(after) == ({kind: 1, "MUL": 1, "SUB": 1} if dense else {kind: 1}), told.refused
    rewriting.assert_same(path, after)


@pytest.mark.parametrize("kind", ["CONV_2D", "FULLY_CONNECTED"])
def test_a_layer_without_bias_gets_one(tmp_path: Path, kind: str) -> None:
    net = networks.Network()
    made, shape = layer(net, kind, bias=kind == "CONV_2D")
    summand = net.constant("s", np.linspace(-0.5, 2, 4).astype(np.float32))
    path = net.save(tmp_path / "model.tflite", net.operator("ADD", [made, summand], shape, kind="AddOptions"))
    _, after = rewriting.rewritten(path, "scales")
    assert rewriting.operators(after) == {kind: 1}
    rewriting.assert_same(path, after)


def test_what_differs_within_a_channel_or_is_subtracted_from_stays(tmp_path: Path) -> None:
    net = networks.Network()
    made, shape = layer(net, "CONV_2D")
    map_ = net.constant("m", networks.weights(1, 5, 5, 1))
    path = net.save(tmp_path / "map.tflite", net.operator("ADD", [made, map_], shape, kind="AddOptions"))
    assert rewriting.rewritten(path, "scales")[1] == path
    net = networks.Network()
    made, shape = layer(net, "CONV_2D")
    one = net.constant("one", np.ones(1, np.float32))
    path = net.save(tmp_path / "from.tflite", net.operator("SUB", [one, made], shape, kind="SubOptions"))
    assert rewriting.rewritten(path, "scales")[1] == path


def test_a_hard_sigmoid_behind_a_layer_is_the_layer_and_a_product(tmp_path: Path) -> None:
    net = networks.Network()
    made, shape = layer(net, "CONV_2D")
    path = net.save(tmp_path / "model.tflite", net.operator("RELU_0_TO_1", [made], shape))
    told, after = rewriting.rewritten(path, "hard_sigmoid_parts", "scales")
    assert rewriting.operators(after) == {"CONV_2D": 1, "MUL": 1}, told.refused
    rewriting.assert_same(path, after)
