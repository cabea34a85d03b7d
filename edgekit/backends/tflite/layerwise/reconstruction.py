"""One walk through the network: each layer is fitted to what it will really read, the errors before it in place.

The samples run operator after operator. Activations take a trip through integers, and each layer that is reached gets
its new weights and bias before it runs. A bias takes up the shift of its output's mean that the rounded weights cause:
"Data-Free Quantization Through Weight Equalization and Bias Correction" (Nagel et al., 2019), here with the means of
real samples. It leaves alone what clipped activations shift: a few samples cause that, and all would be shifted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.backends.tflite.layerwise import grid
from edgekit.backends.tflite.layerwise.layers import Layer, layer
from edgekit.backends.tflite.ranges import Range, rounded
from edgekit.host import events
from edgekit.waist import edit, graph
from edgekit.waist.stepwise import Stepwise, last_uses
from edgekit.waist.tensors import Array

ROWS = 1 << 15
"""The most patches from which means are taken."""

ROWS_PER_TAP = 8
"""Patches from which the products of taps are taken, for each tap, and `LEAST_ROWS` at least."""

LEAST_ROWS = 2048

PATCH_VALUES = 1 << 25
"""The most values of all patches of a layer: 128 MiB."""


@dataclass(frozen=True)
class Scheme:
    """How weights are stored, and whether they are learned or rounded to the nearest level.

    ``last``: activations have the levels 0 to this.
    """

    bits: int = 8
    per_channel: bool = True
    learned: bool = True
    last: int = 255


def reconstruct(
    path: Path, inputs: Mapping[str, Array], ranges: Mapping[int, Range], kept: frozenset[int], scheme: Scheme
) -> tuple[Any, tuple[str, ...]]:
    """Give the layers of a float network weights and biases that make up for quantization.

    Args:
        path: a float TFLite file without state.
        inputs: samples, for each input's name ``[N, *shape]``.
        ranges: of the activations that will be integers, by tensor index.
        kept: operators that stay float; they are left alone.
        scheme: of the weights.

    Returns:
        The object tree of the changed file, and the names of layers whose samples hold NaN or infinity: these keep
        what they had.

    Raises:
        Unsupported: LiteRT cannot run an operator alone.
    """
    model = graph.load(path)
    stepwise = Stepwise(model)
    main, last = stepwise.graph, last_uses(stepwise.graph)
    values = _coarse({index: inputs[main.tensors[index].name] for index in main.inputs}, ranges, scheme)
    left = []
    for operator in main.operators:
        events.progress(operator.index / len(main.operators), "fitting the layers to their samples")
        found = None if operator.index in kept else layer(model, main, operator)
        if found is not None and _own(main, found):
            fitted = layer_constants(model, found, values[found.source], scheme)
            for tensor, constant in fitted.items():
                edit.set_constant(model, tensor, constant)
            if not fitted:
                left.append(main.tensors[operator.outputs[0]].name)
        made = stepwise.run(operator, values)
        values |= made if operator.index in kept else _coarse(made, ranges, scheme)
        for tensor in dict.fromkeys(operator.inputs):
            if last.get(tensor) == operator.index:
                values.pop(tensor, None)
    return model, tuple(left)


def _own(main: graph.Graph, found: Layer) -> bool:
    """Whether nothing else reads a layer's weights and bias."""
    constants = {found.kernel, found.bias} - {-1}
    return sum(tensor in constants for operator in main.operators for tensor in operator.inputs) == len(constants)


def _coarse(values: Mapping[int, Array], ranges: Mapping[int, Range], scheme: Scheme) -> dict[int, Array]:
    """Activations as integers would hold them."""
    return {
        tensor: rounded(found.astype(np.float32), *ranges[tensor], scheme.last).astype(np.float32)
        if tensor in ranges
        else found
        for tensor, found in values.items()
    }


def layer_constants(model: Any, found: Layer, values: Array, scheme: Scheme) -> Mapping[int, Array]:
    """A layer's new constants by tensor index, fitted to what it reads; none if these values are not finite."""
    weights = found.matrices().astype(np.float64)
    most = max(1, min(ROWS, PATCH_VALUES // (weights.shape[0] * weights.shape[2])))
    reads = found.patches(values, most)
    mean = reads.mean(1, dtype=np.float64)
    if not np.isfinite(mean).all():
        return {}
    if scheme.learned:
        centred = reads if found.bias < 0 else reads - mean[:, None].astype(np.float32)  # a bias takes up all means
        centred = centred[:, :: max(1, centred.shape[1] // max(LEAST_ROWS, ROWS_PER_TAP * centred.shape[2]))]
        gram = (centred.transpose(0, 2, 1) @ centred).astype(np.float64) / centred.shape[1]
        levels = grid.learned(weights, gram, scheme.bits, per_channel=scheme.per_channel)
    else:
        levels = grid.nearest(weights, scheme.bits, per_channel=scheme.per_channel)
    constants = {found.kernel: found.as_weights(levels)}
    if found.bias >= 0:
        shift = np.einsum("got,gt->go", weights - levels, mean)
        bias = graph.constant(model, 0, found.bias)
        if bias is not None:
            constants[found.bias] = (bias + shift.reshape(bias.shape)).astype(np.float32)
    return constants
