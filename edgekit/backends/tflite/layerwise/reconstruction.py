"""One walk through the network: each layer is fitted to what it will really read, the errors before it in place.

The samples run operator after operator. Activations take a trip through integers, and each layer that is reached gets
its new weights and bias before it runs. A bias takes up the shift of its output's mean that the rounded weights cause:
"Data-Free Quantization Through Weight Equalization and Bias Correction" (Nagel et al., 2019), here with the means of
real samples. It leaves alone what clipped activations shift: a few samples cause that, and all would be shifted.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.backends.tflite.layerwise import grid
from edgekit.backends.tflite.layerwise.grid import Scheme
from edgekit.backends.tflite.ranges import Range
from edgekit.equalization.layers import Layer, layer
from edgekit.host import events
from edgekit.waist import edit, graph
from edgekit.waist.stepwise import Stepwise, last_uses
from edgekit.waist.tensors import Array

ROWS = 1 << 15
"""The most patches from which means are taken."""

ROWS_PER_TAP = 8
"""Patches from which the products of taps are taken, for each tap, and `LEAST_ROWS` at least."""

LEAST_ROWS = 2048

PIECE = 1 << 16
"""Values that are rounded together: 256 KiB."""

PATCH_VALUES = 1 << 25
"""The most values of all patches of a layer: 128 MiB."""


def reconstruct(
    path: Path,
    inputs: Mapping[str, Array],
    schemes: Mapping[int, Scheme],
    ranges: Mapping[int, Range],
    last: int = 255,
) -> tuple[Any, tuple[str, ...]]:
    """Give the layers of a float network weights and biases that make up for quantization.

    Args:
        path: a float TFLite file without state.
        inputs: samples, for each input's name ``[N, *shape]``.
        schemes: how weights are stored, by operator; layers without one are left alone.
        ranges: of the activations that will be integers, by tensor index.
        last: these have the levels 0 to this.

    Returns:
        The object tree of the changed file, and the names of layers whose samples hold NaN or infinity: these keep
        what they had.

    Raises:
        Unsupported: LiteRT cannot run an operator alone.
    """
    model = graph.load(path)
    stepwise = Stepwise(model)
    main, uses = stepwise.graph, last_uses(stepwise.graph)
    values = _coarse({index: inputs[main.tensors[index].name] for index in main.inputs}, ranges, last)
    left = []
    for operator in main.operators:
        events.progress(operator.index / len(main.operators), "fitting the layers to their samples")
        scheme = schemes.get(operator.index)
        found = None if scheme is None else layer(model, main, operator)
        if scheme is not None and found is not None and _own(main, found):
            fitted = layer_constants(model, found, values[found.source], scheme)
            for tensor, constant in fitted.items():
                edit.set_constant(model, tensor, constant)
            if not fitted:
                left.append(main.tensors[operator.outputs[0]].name)
        values |= _coarse(stepwise.run(operator, values), ranges, last)
        for tensor in dict.fromkeys(operator.inputs):
            if uses.get(tensor) == operator.index:
                values.pop(tensor, None)
    return model, tuple(left)


def _own(main: graph.Graph, found: Layer) -> bool:
    """Whether nothing else reads a layer's weights and bias."""
    constants = {found.kernel, found.bias} - {-1}
    return sum(tensor in constants for operator in main.operators for tensor in operator.inputs) == len(constants)


def _coarse(values: Mapping[int, Array], ranges: Mapping[int, Range], last: int) -> dict[int, Array]:
    """Activations as integers would hold them."""
    return {
        tensor: _stepped(found, *ranges[tensor], last) if tensor in ranges else found
        for tensor, found in values.items()
    }


def _stepped(values: Array, low: float, high: float, last: int) -> NDArray[np.float32]:
    """What `edgekit.backends.tflite.ranges.rounded` gives, in float32, by pieces that a CPU's cache holds."""
    scale = max((high - low) / last, 1e-30)
    zero = round(-low / scale)
    made = np.empty(values.shape, np.float32)
    given, found = np.ascontiguousarray(values).reshape(-1), made.reshape(-1)
    for start in range(0, len(found), PIECE):
        piece = found[start : start + PIECE]
        # Masks are too large to be divided.
        np.clip(given[start : start + PIECE], low - scale, high + scale, out=piece, casting="same_kind")
        piece /= scale
        np.rint(piece, out=piece)
        np.clip(piece, -zero, last - zero, out=piece)
        piece *= scale
    return made


def layer_constants(model: Any, found: Layer, values: Array, scheme: Scheme) -> Mapping[int, Array]:
    """A layer's new constants by tensor index, fitted to what it reads; none if these values are not finite."""
    weights = found.matrices().astype(np.float64)
    most = max(1, min(ROWS, PATCH_VALUES // (weights.shape[0] * weights.shape[2])))
    reads = found.patches(values, most)
    mean = reads.mean(1, dtype=np.float64)
    if not np.isfinite(mean).all():
        return {}
    removed = 0 if found.bias < 0 else mean[:, None]  # a bias takes up all means
    if scheme.learned:
        gram = _products(reads, removed)
        scale = grid.scales(weights, scheme, np.einsum("gtt->gt", gram))
        levels = grid.learned(weights, gram, scale, scheme.top)
    else:
        energy = np.mean((reads - removed) ** 2, 1) if scheme.bits == 4 else None
        levels = grid.nearest(weights, grid.scales(weights, scheme, energy), scheme.top)
    constants = {found.kernel: found.as_weights(levels)}
    if found.bias >= 0:
        shift = np.einsum("got,gt->go", weights - levels, mean)
        bias = graph.constant(model, 0, found.bias)
        if bias is not None:
            constants[found.bias] = (bias + shift.reshape(bias.shape)).astype(np.float32)
    return constants


def _products(reads: NDArray[np.float32], removed: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """The mean of ``x·xᵀ`` over patches ``[groups, rows, taps]``, from which something is taken off first."""
    taken = reads[:, :: max(1, reads.shape[1] // max(LEAST_ROWS, ROWS_PER_TAP * reads.shape[2]))]
    less = np.broadcast_to(np.asarray(removed, np.float32), (len(taken), 1, taken.shape[2]))
    found = np.empty((len(taken), taken.shape[2], taken.shape[2]), np.float32)
    for one, off, product in zip(taken, less, found, strict=True):  # group by group: all at once may be 128 MiB
        centred = np.subtract(one, off, order="C")
        np.matmul(centred.T, centred, out=product)  # of a matrix and itself BLAS computes one half
    mean: NDArray[np.float64] = found.astype(np.float64) / taken.shape[1]
    return mean
