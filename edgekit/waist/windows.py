"""What each place of a convolution's result reads."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edgekit.waist import padding
from edgekit.waist.graph import Operator

Floats = NDArray[np.float32]


def windows_of(operator: Operator, images: Floats, kernel: Sequence[int], result: Sequence[int]) -> Floats:
    """What each place of a result reads: ``[N, height, width, channels, kernel height, kernel width]``, a view.

    Args:
        operator: CONV_2D, DEPTHWISE_CONV_2D or TRANSPOSE_CONV.
        images: ``[N, height, width, channels]``.
        kernel: its height and width.
        result: those of what it makes.
    """
    options = operator.options
    strides, same = (options["strideH"], options["strideW"]), options["padding"] == schema.Padding.SAME
    if operator.name == "TRANSPOSE_CONV":
        return _transposed_windows(images, kernel, strides, result, same=same)
    steps = options["dilationHFactor"], options["dilationWFactor"]
    reach = [(size - 1) * step + 1 for size, step in zip(kernel, steps, strict=True)]
    around = padding.same(options, kernel, images.shape[1:3], result) if same else np.zeros((4, 2), int)
    padded = np.pad(images, around) if np.any(around) else images
    windows = _sliding(padded, (reach[0], reach[1]))
    return windows[:, :: strides[0], :: strides[1], :, :: steps[0], :: steps[1]]


def _transposed_windows(
    images: Floats, kernel: Sequence[int], strides: tuple[int, int], result: Sequence[int], *, same: bool
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
