"""Layers as matrix products: each output value is a row of weights times a patch of the input, plus a bias."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edgekit.waist import graph, padding
from edgekit.waist.ordering import evenly
from edgekit.waist.tensors import Array

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
            return vectors[evenly(len(vectors), most)][None].astype(np.float32)
        if self.operator.name == "BATCH_MATMUL":
            tables = values if self._taps_last(1) else values.swapaxes(-1, -2)
            grouped = tables.reshape(-1, self.groups, *tables.shape[-2:]).swapaxes(0, 1)
            rows = grouped.reshape(self.groups, -1, tables.shape[-1])
            return rows[:, evenly(rows.shape[1], most)].astype(np.float32)
        images = values.reshape(-1, *values.shape[-3:]).astype(np.float32)
        windows = self._windows(images, self.result[-3:-1])
        places = evenly(int(np.prod(windows.shape[:3])), most)
        taken = windows[np.unravel_index(places, windows.shape[:3])]  # [rows, channels, height, width]
        count, channels = len(taken), taken.shape[1]
        if self.operator.name == "DEPTHWISE_CONV_2D":
            return taken.reshape(count, channels, -1).transpose(1, 0, 2)
        parts = taken.transpose(0, 2, 3, 1).reshape(count, -1, self.groups, channels // self.groups)
        return parts.transpose(2, 0, 1, 3).reshape(self.groups, count, -1)

    def _windows(self, images: Floats, result: tuple[int, ...]) -> Floats:
        """``[N, height, width, channels, kernel height, kernel width]``: what each place of the result reads."""
        options, kernel = self.operator.options, self.weights.shape[1:3]
        strides = options["strideH"], options["strideW"]
        if self.operator.name == "TRANSPOSE_CONV":
            return _transposed_windows(images, kernel, strides, result, same=_same(options))
        steps = options["dilationHFactor"], options["dilationWFactor"]
        reach = [(size - 1) * step + 1 for size, step in zip(kernel, steps, strict=True)]
        around = padding.same(options, kernel, images.shape[1:3], result) if _same(options) else np.zeros((4, 2), int)
        windows = _sliding(np.pad(images, around), (reach[0], reach[1]))
        return windows[:, :: strides[0], :: strides[1], :, :: steps[0], :: steps[1]]


def _same(options: dict[str, Any]) -> bool:
    return bool(options["padding"] == schema.Padding.SAME)


def _transposed_windows(
    images: Floats, kernel: tuple[int, ...], strides: tuple[int, int], result: tuple[int, ...], *, same: bool
) -> Floats:
    """Those of a transposed convolution: of the input with zeros between its values, the kernel turned round."""
    count, *size, channels = images.shape
    spread = np.zeros((count, *(n * stride for n, stride in zip(size, strides, strict=True)), channels), np.float32)
    spread[:, :: strides[0], :: strides[1]] = images
    around = [(0, 0)] * 4
    for axis, (n, stride, wide, after) in enumerate(zip(size, strides, kernel, result, strict=True), start=1):
        cut = max((n - 1) * stride + wide - after, 0) // 2 if same else 0
        before = wide - 1 - cut
        around[axis] = before, max(0, after + wide - 1 - before - n * stride)
    windows = _sliding(np.pad(spread, around), (kernel[0], kernel[1]))
    return windows[:, : result[0], : result[1], :, ::-1, ::-1]


def _sliding(images: Floats, window: tuple[int, int]) -> Floats:
    slide: Any = sliding_window_view  # its stub knows no more than one axis
    found: Floats = slide(images, window, axis=(1, 2))
    return found


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


def _matmul(main: graph.Graph, operator: graph.Operator, source: int, kernel: int, weights: Floats) -> Layer | None:
    """A BATCH_MATMUL by one constant matrix, or by one for each place of the source's leading axes."""
    groups = int(np.prod(weights.shape[:-2]))
    leading = tuple(size for size in main.tensors[source].shape[:-2] if size > 1)
    alike = leading == tuple(size for size in weights.shape[:-2] if size > 1)
    if groups > 1 and not alike:
        return None
    result = main.tensors[operator.outputs[0]].shape
    return Layer(operator, source, kernel, -1, weights, groups, result)
