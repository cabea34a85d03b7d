"""Weights of two layers in a row brought to one scale, channel by channel, without changing what the network computes.

A channel that the first layer makes may be divided by any positive number if the second layer's weights for it are
multiplied by the same, as long as nothing in between but a ReLU, a pool or a change of shape sees it. With that, the
channel's largest weights become equal in both layers, so that one scale for all weights of a layer serves them all:
cross-layer equalization, "Data-Free Quantization Through Weight Equalization and Bias Correction" (Nagel et al., 2019).

A ReLU6 caps every channel at the same value, whatever it was divided by. The paper replaces it by a ReLU. Here it
stays: a channel that samples drive to its cap, or near it, is not divided, and no other one so that it gets there.
So the network is what it was on all of them, and beyond them a cap does what the end of an integer range does anyway.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.equalization import balancing
from edgekit.equalization.homogeneous import CAP, HEADROOM, HOMOGENEOUS, SCALABLE, is_capped, keeps_channels
from edgekit.equalization.layers import Layer, own_layer
from edgekit.waist import edit, graph
from edgekit.waist.exact import Wiring
from edgekit.waist.tensors import Array

Floats = NDArray[np.float64]


class Pair(NamedTuple):
    """Two layers, the second of which alone reads what the first makes; ``capped`` are tensors in between."""

    first: Layer
    second: Layer
    capped: tuple[int, ...] = ()


def equalize(model: Any, kept: frozenset[int] = frozenset(), peaks: Mapping[int, Array] | None = None) -> int:
    """Equalize the weights of all pairs of layers in a float network, in place.

    Args:
        model: object tree of a TFLite file.
        kept: operators that stay float, which are left alone.
        peaks: the largest value of each channel ``[channels]`` in samples, for tensors that are `capped`; pairs around
            others of these are left alone.

    Returns:
        How many pairs there are.
    """
    rows = Rows(model, kept, peaks or {})
    balancing.settle(rows.pairs, partial(_balanced, rows))
    rows.store()
    return len(rows.pairs)


class Rows:
    """The layers in a row of a float network, whose channels may be divided.

    ``pairs`` in the order of execution; ``layers`` and ``weights`` (as `Layer.matrices`, float64) by operator.

    Args:
        model: object tree of a TFLite file.
        kept: operators that are left alone.
        peaks: see `equalize`.
    """

    def __init__(
        self, model: Any, kept: frozenset[int] = frozenset(), peaks: Mapping[int, Array] | None = None
    ) -> None:
        self._model, self._peaks = model, peaks or {}
        found = pairs(model, graph.describe(model)[0], kept)
        self.pairs = tuple(pair for pair in found if self._peaks.keys() >= set(pair.capped))
        self.layers = {layer.operator.index: layer for pair in self.pairs for layer in pair[:2]}
        self.weights = {index: found.matrices().astype(np.float64) for index, found in self.layers.items()}
        self._divisors: dict[int, Floats] = {}

    def read(self, pair: Pair) -> Floats:
        """The second layer's weights for each channel of the first ``[groups, outputs, taps, channels]``."""
        second = self.weights[pair.second.operator.index]
        first = self.weights[pair.first.operator.index]
        return second.reshape(*second.shape[:2], -1, first.shape[0] * first.shape[1] // len(second))

    def divide(self, pair: Pair, factors: Floats) -> None:
        """Divide the first layer's channels by numbers > 0 ``[channels]``, multiply what the second has for it."""
        first, second = (found.operator.index for found in pair[:2])
        scaled = self.read(pair) * factors.reshape(len(self.weights[second]), 1, 1, -1)
        self.weights[second] = scaled.reshape(self.weights[second].shape)
        self.weights[first] = self.weights[first] / factors.reshape(*self.weights[first].shape[:2], 1)
        self._divisors[first] = self._divisors.get(first, np.ones(1)) * factors

    def allowed(self, pair: Pair, factors: Floats) -> Floats:
        """Factors ``[channels]`` with which no sample drives a channel to a cap that did not before."""
        before = self._divisors.get(pair.first.operator.index, np.ones(1))
        for tensor in pair.capped:
            least = np.asarray(self._peaks[tensor], np.float64) * HEADROOM / CAP
            factors = np.where(least <= 1, np.maximum(before * factors, least) / before, 1.0)
        return factors

    def store(self) -> None:
        """Write the weights, and the biases that belong to them, into the network."""
        for index, found in self.layers.items():
            edit.set_constant(self._model, found.kernel, found.as_weights(self.weights[index]))
            bias = None if found.bias < 0 or index not in self._divisors else graph.constant(self._model, 0, found.bias)
            if bias is not None:
                divided = bias / self._divisors[index].reshape(bias.shape)
                edit.set_constant(self._model, found.bias, divided.astype(np.float32))


def _balanced(rows: Rows, pair: Pair) -> Floats:
    """Divide channels so that their largest weights are equal in both layers; by what ``[channels]``."""
    made = np.abs(rows.weights[pair.first.operator.index]).max(2).ravel()
    read = np.abs(rows.read(pair)).max((1, 2)).ravel()
    factors = rows.allowed(pair, balancing.factors(made, read))
    rows.divide(pair, factors)
    return factors


def pairs(model: Any, main: graph.Graph, kept: frozenset[int] = frozenset()) -> Iterator[Pair]:
    """The layers in a row of a float network, in the order of execution, but for operators that are ``kept``."""
    wiring = Wiring(main)
    for operator in main.operators:
        first = None if operator.index in kept else own_layer(model, main, operator)
        if first is None or operator.options.get("fusedActivationFunction", 0) not in SCALABLE:
            continue
        between = _between(model, wiring, operator)
        reader = _reader(wiring, between[-1])
        second = None if reader is None or reader.index in kept else own_layer(model, main, reader)
        if second is not None and _fits(first, second, main):
            yield Pair(first, second, tuple(one.outputs[0] for one in between if is_capped(one)))


def _between(model: Any, wiring: Wiring, operator: graph.Operator) -> list[graph.Operator]:
    """An operator and the homogeneous ones behind it, each of which alone reads the one before."""
    found = [operator]
    while True:
        reader = _reader(wiring, found[-1])
        if reader is None or reader.name not in HOMOGENEOUS:
            return found
        fused = reader.options.get("fusedActivationFunction", 0)
        width = wiring.graph.tensors[reader.outputs[0]].shape[-1:]
        if fused not in SCALABLE or not keeps_channels(model, wiring.graph, reader):
            return found
        if is_capped(reader) and width != wiring.graph.tensors[operator.outputs[0]].shape[-1:]:
            return found
        found.append(reader)


def _reader(wiring: Wiring, operator: graph.Operator) -> graph.Operator | None:
    """The operator that alone reads what another one makes."""
    readers = wiring.readers.get(operator.outputs[0], [])
    return readers[0] if len(readers) == 1 and operator.outputs[0] not in wiring.graph.outputs else None


def _fits(first: Layer, second: Layer, main: graph.Graph) -> bool:
    """Whether what the second reads are the first's channels, in whole rows."""
    channels = main.tensors[first.operator.outputs[0]].shape[-1]
    width = main.tensors[second.source].shape[-1]
    if second.operator.name == "FULLY_CONNECTED":
        return bool(second.weights.shape[-1] % channels == 0 and width % channels == 0)
    return width == channels
