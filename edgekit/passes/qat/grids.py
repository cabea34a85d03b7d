"""The grid that integers of a tensor stand on: a scale and a zero point, real = scale · (integer − zero point)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.trainable.libraries import tf
from edgekit.waist import graph

LIMITS = {"int4": (-8, 7)} | {
    name: (int(np.iinfo(name).min), int(np.iinfo(name).max)) for name in ("int8", "uint8", "int16", "int32", "int64")
}
"""The least and the greatest integer of each dtype that a tensor with a scale may have."""


@dataclass(frozen=True)
class TensorGrid:
    """A tensor's grid.

    Attributes:
        scale: float32, a scalar, or ``[channels]`` along an axis of weights.
        zero_point: of all channels.
        low: the least integer.
        high: the greatest.
        shape: in which the scales of channels lie beside the tensor's values; empty if there is one.
    """

    scale: Any
    zero_point: int
    low: int
    high: int
    shape: tuple[int, ...] = ()

    @classmethod
    def of(cls, tensor: graph.Tensor, scale: Any = None) -> "TensorGrid":
        """The grid of a tensor that has one, with another scale, if one is given."""
        low, high = LIMITS[tensor.dtype]
        held = tf.constant(tensor.scales, tf.float32) if scale is None else scale
        flat = held[0] if len(tensor.scales) == 1 and held.shape.rank == 1 else held
        shape = [1] * len(tensor.shape)
        if len(tensor.scales) > 1:
            shape[tensor.axis] = len(tensor.scales)
        return cls(flat, tensor.zero_points[0] if tensor.zero_points else 0, low, high, tuple(shape))

    def lying(self) -> Any:
        """The scale as it lies beside the tensor's values."""
        return self.scale if self.scale.shape.rank == 0 else tf.reshape(self.scale, self.shape)

    def real(self, integers: Any) -> Any:
        """What integers stand for."""
        return (integers - self.zero_point) * self.lying()

    @property
    def reach(self) -> int:
        """The greatest magnitude of an integer less the zero point."""
        return max(self.high - self.zero_point, self.zero_point - self.low)

    def codes(self) -> Any:
        """All integers of it, as float32."""
        return tf.range(self.low, self.high + 1, dtype=tf.float32)


def same(one: TensorGrid | None, other: TensorGrid | None) -> bool:
    """Whether two tensors are on one grid."""
    return one is not None and other is not None and one.scale is other.scale and one.zero_point == other.zero_point
