"""Weights of two layers in a row brought to one scale, channel by channel, without changing what the network computes.

A channel that the first layer makes may be divided by any positive number if the second layer's weights for it are
multiplied by the same, as long as nothing in between but a ReLU, a pool or a change of shape sees it. With that, the
channel's largest weights become equal in both layers, so that one scale for all weights of a layer serves them all:
cross-layer equalization, "Data-Free Quantization Through Weight Equalization and Bias Correction" (Nagel et al., 2019).

A ReLU6 is no part of it: its cap would need a value for each channel.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgekit.backends.tflite.layerwise.layers import Layer, layer
from edgekit.waist import edit, graph
from edgekit.waist.exact import Wiring

Floats = NDArray[np.float64]

SWEEPS = 50
"""The most walks over all pairs; in a chain each pair changes its neighbours."""

SETTLED = 0.01
"""A walk that changes no channel by more than this part is the last."""

LARGEST_FACTOR = 2.0**20
"""Of a channel in one step, so that weights stay normal float32 numbers."""

_HOMOGENEOUS = {"RELU", "LEAKY_RELU", "MAX_POOL_2D", "AVERAGE_POOL_2D", "MEAN", "PAD", "RESHAPE"}
"""Operators for which a channel times a positive number is the result's channel times that number."""

_ACTIVATIONS = {schema.ActivationFunctionType.NONE, schema.ActivationFunctionType.RELU}
"""What may be fused with any of them, and with the first layer."""


class Pair(NamedTuple):
    """Two layers, the second of which reads what the first makes and nobody else does."""

    first: Layer
    second: Layer


def equalize(model: Any, kept: frozenset[int] = frozenset()) -> int:
    """Equalize the weights of all pairs of layers in a float network, in place.

    Args:
        model: object tree of a TFLite file.
        kept: operators that stay float, which are left alone.

    Returns:
        How many pairs there are.
    """
    rows = Rows(model, kept)
    for _ in range(SWEEPS):
        factors = [_balancing(rows, pair) for pair in rows.pairs]
        if all(np.abs(np.log(each)).max() < SETTLED for each in factors):
            break
    rows.store()
    return len(rows.pairs)


class Rows:
    """The layers in a row of a float network, whose channels may be divided.

    ``pairs`` in the order of execution; ``layers`` and ``weights`` (as `Layer.matrices`, float64) by operator.

    Args:
        model: object tree of a TFLite file.
        kept: operators that are left alone.
    """

    def __init__(self, model: Any, kept: frozenset[int] = frozenset()) -> None:
        self._model = model
        self.pairs = tuple(_pairs(model, graph.describe(model)[0], kept))
        self.layers = {found.operator.index: found for pair in self.pairs for found in pair}
        self.weights = {index: found.matrices().astype(np.float64) for index, found in self.layers.items()}
        self._divisors: dict[int, Floats] = {}

    def read(self, pair: Pair) -> Floats:
        """The second layer's weights for each channel of the first ``[groups, outputs, taps, channels]``."""
        second = self.weights[pair.second.operator.index]
        first = self.weights[pair.first.operator.index]
        return second.reshape(*second.shape[:2], -1, first.shape[0] * first.shape[1] // len(second))

    def divide(self, pair: Pair, factors: Floats) -> None:
        """Divide the first layer's channels by numbers > 0 ``[channels]``, multiply what the second has for it."""
        first, second = (found.operator.index for found in pair)
        scaled = self.read(pair) * factors.reshape(len(self.weights[second]), 1, 1, -1)
        self.weights[second] = scaled.reshape(self.weights[second].shape)
        self.weights[first] = self.weights[first] / factors.reshape(*self.weights[first].shape[:2], 1)
        self._divisors[first] = self._divisors.get(first, np.ones(1)) * factors

    def store(self) -> None:
        """Write the weights, and the biases that belong to them, into the network."""
        for index, found in self.layers.items():
            edit.set_constant(self._model, found.kernel, found.as_weights(self.weights[index]))
            bias = None if found.bias < 0 or index not in self._divisors else graph.constant(self._model, 0, found.bias)
            if bias is not None:
                divided = bias / self._divisors[index].reshape(bias.shape)
                edit.set_constant(self._model, found.bias, divided.astype(np.float32))


def _balancing(rows: Rows, pair: Pair) -> Floats:
    """Divide channels so that their largest weights are equal in both layers; by what ``[channels]``."""
    made = np.abs(rows.weights[pair.first.operator.index]).max(2).ravel()
    read = np.abs(rows.read(pair)).max((1, 2)).ravel()
    alive = (made > 0) & (read > 0)
    factors: Floats = np.sqrt(np.where(alive, made, 1) / np.where(alive, read, 1))
    factors = np.clip(factors, 1 / LARGEST_FACTOR, LARGEST_FACTOR)
    rows.divide(pair, factors)
    return factors


def _pairs(model: Any, main: graph.Graph, kept: frozenset[int]) -> Iterator[Pair]:
    wiring = Wiring(main)
    for operator in main.operators:
        first = None if operator.index in kept else _own(model, main, operator)
        if first is None or operator.options.get("fusedActivationFunction", 0) not in _ACTIVATIONS:
            continue
        reader = _reader(model, wiring, operator)
        second = None if reader is None or reader.index in kept else _own(model, main, reader)
        if second is not None and reader is not None and _fits(first, second, main):
            yield Pair(first, second)


def _own(model: Any, main: graph.Graph, operator: graph.Operator) -> Layer | None:
    """An operator as a layer if nothing else reads its weights and bias."""
    found = None if operator.name == "BATCH_MATMUL" else layer(model, main, operator)  # which may have no channels
    constants = set() if found is None else {found.kernel, found.bias} - {-1}
    uses = sum(tensor in constants for other in main.operators for tensor in other.inputs)
    return found if uses == len(constants) else None


def _reader(model: Any, wiring: Wiring, operator: graph.Operator) -> graph.Operator | None:
    """The one layer behind an operator, with only homogeneous operators in between."""
    while True:
        made = operator.outputs[0]
        readers = wiring.readers.get(made, [])
        if len(readers) != 1 or made in wiring.graph.outputs:
            return None
        operator = readers[0]
        if operator.name not in _HOMOGENEOUS:
            return operator
        if operator.options.get("fusedActivationFunction", 0) not in _ACTIVATIONS:
            return None
        if not _keeps_channels(model, wiring.graph, operator):
            return None


def _keeps_channels(model: Any, main: graph.Graph, operator: graph.Operator) -> bool:
    """Whether the last axis still counts the channels, or several places of all of them one after another."""
    before, after = (main.tensors[tensor].shape for tensor in (operator.inputs[0], operator.outputs[0]))
    if not before or not after:
        return False
    if operator.name == "RESHAPE":
        return after[-1] % before[-1] == 0
    if operator.name == "MEAN":
        axes = graph.constant(model, 0, operator.inputs[1])
        if axes is None or any(int(axis) % len(before) == len(before) - 1 for axis in axes.ravel()):
            return False
    return before[-1] == after[-1]


def _fits(first: Layer, second: Layer, main: graph.Graph) -> bool:
    """Whether what the second reads are the first's channels, in whole rows."""
    channels = main.tensors[first.operator.outputs[0]].shape[-1]
    width = main.tensors[second.source].shape[-1]
    if second.operator.name == "FULLY_CONNECTED":
        return bool(second.weights.shape[-1] % channels == 0 and width % channels == 0)
    return width == channels
