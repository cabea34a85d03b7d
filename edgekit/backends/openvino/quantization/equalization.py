"""Weights of two layers in a row brought to one scale, channel by channel: what one scale for all weights needs.

Cross-layer equalization ("Data-Free Quantization Through Weight Equalization and Bias Correction", Nagel et al., 2019):
a channel that the first layer makes may be divided by any positive number if the second layer's weights for it are
multiplied by the same, as long as nothing in between but a bias, a ReLU or a pool sees it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.backends.openvino.libraries import ov
from edgekit.equalization import balancing

Floats = NDArray[np.float32]

AXES = {"Convolution": (0, 1), "GroupConvolution": (0, 0), "ConvolutionBackpropData": (1, 0)}
"""Which axes of weights count the channels that a layer makes, and those that it reads."""

POOLS = {"Relu", "AvgPool", "MaxPool"}
"""Operators for which a channel times a positive number is the result's channel times that number."""

MOVES = {"Reshape", "Squeeze", "Transpose", "Unsqueeze"}
"""The same if there is one value for each channel."""


@dataclass
class _Layer:
    """A layer with constant weights, and the axes that count what it makes and what it reads."""

    node: Any
    weights: Floats
    made: int
    read: int

    def largest(self, axis: int) -> Floats:
        """The largest weight of each channel."""
        found: Floats = np.abs(self.weights).max(tuple(k for k in range(self.weights.ndim) if k != axis))
        return found

    def times(self, factors: Floats, axis: int) -> None:
        """Multiply the weights of each channel."""
        shape = [-1 if k == axis else 1 for k in range(self.weights.ndim)]
        self.weights = self.weights * factors.reshape(shape)


@dataclass
class _Pair:
    """Two layers, the second of which alone reads what the first makes; ``biases`` are added in between."""

    first: _Layer
    second: _Layer
    biases: tuple[Any, ...]


def equalized(model: Any) -> tuple[Any, int]:
    """A copy of a float ``openvino.Model`` that computes the same by equalized weights, and how many pairs it has."""
    copy = model.clone()
    layers: dict[str, _Layer] = {}
    for node in copy.get_ordered_ops():
        if (found := _layer(node)) is not None:
            layers[node.get_friendly_name()] = found
    pairs = [pair for layer in layers.values() if (pair := _pair(layer, layers)) is not None]
    balancing.settle(pairs, _balanced)
    for layer in layers.values():
        _store(layer.node, 1, layer.weights)
    return copy, len(pairs)


def _layer(node: Any) -> _Layer | None:
    kind = node.get_type_name()
    constant = node.input_value(1).get_node() if kind in {*AXES, "MatMul"} else None
    if constant is None or constant.get_type_name() != "Constant":
        return None
    if len(constant.output(0).get_target_inputs()) > 1 or constant.get_element_type().get_type_name() != "f32":
        return None
    weights: Floats = np.array(constant.data, np.float32)
    if kind == "MatMul":
        transposed = node.get_attributes()["transpose_b"]
        plain = weights.ndim == 2 and not node.get_attributes()["transpose_a"]
        return _Layer(node, weights, *((0, 1) if transposed else (1, 0))) if plain else None
    depthwise = kind == "GroupConvolution" and weights.shape[1:3] == (1, 1)
    return None if kind == "GroupConvolution" and not depthwise else _Layer(node, weights, *AXES[kind])


def _pair(layer: _Layer, layers: dict[str, _Layer]) -> _Pair | None:
    """The layer behind another, if nobody else reads what is in between."""
    value, channels, biases = layer.node.output(0), layer.weights.shape[layer.made], list[Any]()
    while True:
        (*others, reader) = value.get_target_inputs()
        node = reader.get_node()
        if others:
            return None
        other = layers.get(node.get_friendly_name())
        if other is not None:
            fits = reader.get_index() == 0 and other.weights.shape[other.read] == channels
            return _Pair(layer, other, tuple(biases)) if fits else None
        kind, size = node.get_type_name(), int(np.prod(node.get_output_shape(0))) if node.get_output_size() else 0
        if kind == "Add" and (bias := _bias(node, channels, value)) is not None:
            biases.append(bias)
        elif kind not in POOLS and not (kind in MOVES and size == channels):
            return None
        value = node.output(0)


def _bias(node: Any, channels: int, value: Any) -> Any | None:
    """The input of a sum at which a constant for each channel is added; None if something else is."""
    axis = 1 if len(value.get_shape()) > 2 else len(value.get_shape()) - 1
    for port in node.inputs():
        constant = port.get_source_output().get_node()
        shape = list(constant.get_output_shape(0))
        counted = [1] * (len(value.get_shape()) - len(shape)) + shape
        if constant.get_type_name() == "Constant" and constant.get_element_type().get_type_name() == "f32":
            whole = len(counted) == len(value.get_shape()) and counted[axis] == channels
            return port if whole and int(np.prod(shape)) == channels else None
    return None


def _balanced(pair: _Pair) -> Floats:
    """Divide the channels between two layers so that both have weights of one size, and tell by what."""
    own, behind = pair.first.largest(pair.first.made), pair.second.largest(pair.second.read)
    factors: Floats = balancing.factors(own, behind).astype(np.float32)
    pair.first.times(np.float32(1) / factors, pair.first.made)
    pair.second.times(factors, pair.second.read)
    for port in pair.biases:
        node = port.get_node()
        values = np.array(port.get_source_output().get_node().data, np.float32)
        _store(node, port.get_index(), values / factors.reshape([-1 if n > 1 else 1 for n in values.shape]))
    return factors


def _store(node: Any, place: int, values: Floats) -> None:
    constant = ov.op.Constant(np.ascontiguousarray(values, np.float32))
    constant.set_friendly_name(node.input_value(place).get_node().get_friendly_name())
    node.input(place).replace_source_output(constant.output(0))
