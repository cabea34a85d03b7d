"""The levels that a tensor of integers has, and what becomes of real values on them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.waist.graph import Tensor
from edgekit.waist.tensors import Array, dequantize, quantize

INTEGERS = {"int8", "uint8", "int16"}


class Grid(NamedTuple):
    """Scale and zero point of an activation's dtype."""

    scale: float
    zero_point: int
    dtype: str

    @property
    def low(self) -> float:
        """The least value."""
        return (np.iinfo(self.dtype).min - self.zero_point) * self.scale

    @property
    def high(self) -> float:
        """The greatest value."""
        return (np.iinfo(self.dtype).max - self.zero_point) * self.scale

    def stored(self, values: Array) -> Array:
        """Real values as integers."""
        return quantize(values, self.scale, self.zero_point, self.dtype)

    def real(self, stored: Array) -> NDArray[np.float32]:
        """Integers as the values that they stand for."""
        return dequantize(stored, self.scale, self.zero_point)


def of_range(low: float, high: float, dtype: str) -> Grid:
    """The grid of a range: all of its levels in 8 bits, symmetric about 0 in 16 (TFLite quantization specification)."""
    low, high = min(low, 0.0), max(high, 0.0)
    if dtype == "int16":
        return Grid(max(-low, high, TINY) / 32767, 0, dtype)
    scale = max(high - low, TINY) / 255
    return Grid(scale, int(np.iinfo(dtype).min + round(-low / scale)), dtype)


TINY = 1e-20
"""The least width of a range."""


def grid(tensor: Tensor) -> Grid | None:
    """That of an activation; None if it is no integer that stands for a real value."""
    if tensor.dtype not in INTEGERS or len(tensor.scales) != 1:
        return None
    return Grid(tensor.scales[0], tensor.zero_points[0] if tensor.zero_points else 0, tensor.dtype)


def on(tensor: Tensor, values: Array) -> Array:
    """Real values as a file's tensor holds them."""
    found = grid(tensor)
    return values.astype(tensor.dtype, copy=False) if found is None else found.stored(values)


def real(tensor: Tensor, values: Array) -> Array:
    """What a file's tensor holds, as real values."""
    found = grid(tensor)
    return values if found is None else found.real(values)
