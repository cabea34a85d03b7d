"""Layers as matrix products: each output value is a row of weights times a patch of the input, plus a bias."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.waist import graph
from edgekit.waist.ordering import evenly
from edgekit.waist.tensors import Array
from edgekit.waist.windows import windows_of

Floats = NDArray[np.float32]

KINDS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL"})
"""Operators with a form as `Layer`."""


@dataclass(frozen=True)
class Layer:
    """An operator of `KINDS` with constant weights ``weights``, of which ``groups`` read channels of their own.

    ``source`` and ``kernel`` are the tensor indices of what it reads and of its weights; ``bias`` is that of the
    bias, -1 without. ``result`` is the shape of what it makes from one sample.
    """

    operator: graph.Operator
    source: int
    kernel: int
    bias: int
    weights: Floats
    groups: int
    result: tuple[int, ...]

    def matrices(self) -> Floats:
        """The weights as ``[groups, outputs of each, taps]``."""
        weights = self.weights
        if self.operator.name == "BATCH_MATMUL":
            tables = weights.reshape(self.groups, *weights.shape[-2:])
            return tables if self._taps_last(0) else tables.transpose(0, 2, 1)
        if self.operator.name == "DEPTHWISE_CONV_2D":  # [1, height, width, channels · multiplier]
            taps = weights.shape[1] * weights.shape[2]
            return weights.reshape(taps, self.groups, -1).transpose(1, 2, 0)
        return weights.reshape(self.groups, len(weights) // self.groups, -1)

    def as_weights(self, matrices: NDArray[np.float64]) -> Floats:
        """What `matrices` gave, in the operator's own shape, float32."""
        if self.operator.name == "DEPTHWISE_CONV_2D":
            matrices = matrices.transpose(2, 0, 1)
        if self.operator.name == "BATCH_MATMUL" and not self._taps_last(0):
            matrices = matrices.transpose(0, 2, 1)
        return matrices.reshape(self.weights.shape).astype(np.float32)

    def _taps_last(self, side: int) -> bool:
        """Whether the last axis of a BATCH_MATMUL's weights (0), or of its source (1), is what is summed over."""
        slot = (self.operator.inputs.index(self.kernel) + side) % 2
        return bool(self.operator.options["adjY"]) if slot else not self.operator.options["adjX"]

    def patches(self, values: Array, most: int) -> Floats:
        """What the layer multiplies its weights with.

        Args:
            values: what it reads in some samples, ``[N, *shape]``.
            most: rows, taken evenly if there are more.

        Returns:
            ``[groups, rows, taps]`` float32: row by row what gives one value of each output.
        """
        if self.operator.name == "FULLY_CONNECTED":
            vectors = values.reshape(-1, self.weights.shape[-1])
            return vectors[evenly(len(vectors), most)][None].astype(np.float32, copy=False)
        if self.operator.name == "BATCH_MATMUL":
            tables = values if self._taps_last(1) else values.swapaxes(-1, -2)
            grouped = tables.reshape(-1, self.groups, *tables.shape[-2:]).swapaxes(0, 1)
            rows = grouped.reshape(self.groups, -1, tables.shape[-1])
            return rows[:, evenly(rows.shape[1], most)].astype(np.float32, copy=False)
        images = values.reshape(-1, *values.shape[-3:]).astype(np.float32, copy=False)
        windows = windows_of(self.operator, images, self.weights.shape[1:3], self.result[-3:-1])
        places = evenly(int(np.prod(windows.shape[:3])), most)
        taken = windows[np.unravel_index(places, windows.shape[:3])]  # [rows, channels, height, width]
        count, channels = len(taken), taken.shape[1]
        if self.operator.name == "DEPTHWISE_CONV_2D":
            return taken.reshape(count, channels, -1).transpose(1, 0, 2)
        parts = taken.transpose(0, 2, 3, 1).reshape(count, -1, self.groups, channels // self.groups)
        return parts.transpose(2, 0, 1, 3).reshape(self.groups, count, -1)


def layer(model: Any, main: graph.Graph, operator: graph.Operator) -> Layer | None:
    """An operator as a layer; None if it is none, or if its weights are computed or no float32."""
    if operator.name not in KINDS or len(operator.inputs) < 2:
        return None
    transposed = operator.name == "TRANSPOSE_CONV"  # the shape of what it makes, weights, source, bias
    source, kernel = operator.inputs[2 if transposed else 0], operator.inputs[1]
    if operator.name == "BATCH_MATMUL" and main.tensors[source].constant_bytes:
        source, kernel = kernel, source
    weights = graph.constant(model, 0, kernel)
    if weights is None or weights.dtype != np.float32 or main.tensors[source].constant_bytes:
        return None
    if operator.name == "BATCH_MATMUL":
        return _matmul(main, operator, source, kernel, weights)
    bias = next(iter(operator.inputs[3 if transposed else 2 :]), -1)
    if bias >= 0 and graph.constant(model, 0, bias) is None:
        return None
    channels = main.tensors[source].shape[-1] if main.tensors[source].shape else 1
    groups = 1
    if operator.name == "DEPTHWISE_CONV_2D":
        groups = channels
    elif operator.name == "CONV_2D":
        groups = channels // weights.shape[-1]
    result = main.tensors[operator.outputs[0]].shape
    return Layer(operator, source, kernel, bias, weights, groups, result)


def own_layer(model: Any, main: graph.Graph, operator: graph.Operator) -> Layer | None:
    """An operator as a layer if nothing else reads its weights and bias."""
    found = None if operator.name == "BATCH_MATMUL" else layer(model, main, operator)  # which may have no channels
    constants = set() if found is None else {found.kernel, found.bias} - {-1}
    uses = sum(tensor in constants for other in main.operators for tensor in other.inputs)
    return found if uses == len(constants) else None


def _matmul(main: graph.Graph, operator: graph.Operator, source: int, kernel: int, weights: Floats) -> Layer | None:
    """A BATCH_MATMUL by one constant matrix, or by one for each place of the source's leading axes."""
    groups = int(np.prod(weights.shape[:-2]))
    leading = tuple(size for size in main.tensors[source].shape[:-2] if size > 1)
    alike = leading == tuple(size for size in weights.shape[:-2] if size > 1)
    if groups > 1 and not alike:
        return None
    result = main.tensors[operator.outputs[0]].shape
    return Layer(operator, source, kernel, -1, weights, groups, result)
