"""Layers of tf-keras that an operator is, and how the file's weights lie in them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.waist.tensors import Array


@dataclass(frozen=True)
class Layout:
    """How a constant of the file lies in a layer: its axes permuted, then reshaped."""

    permutation: tuple[int, ...]
    shape: tuple[int, ...]

    @classmethod
    def plain(cls, shape: tuple[int, ...]) -> "Layout":
        """As in the file."""
        return cls(tuple(range(len(shape))), shape)

    def to_layer(self, values: Array) -> Array:
        """The file's values as the layer has them."""
        return values.transpose(self.permutation).reshape(self.shape)

    def to_file(self, values: Array, shape: tuple[int, ...]) -> Array:
        """The layer's values in the file's shape."""
        permuted = tuple(shape[axis] for axis in self.permutation)
        return np.ascontiguousarray(values.reshape(permuted).transpose(np.argsort(self.permutation)))


@dataclass(frozen=True)
class Held:
    """A weight in a layer: the operator's slot, the layer's attribute, and the layout there."""

    slot: int
    attribute: str
    layout: Layout


@dataclass(frozen=True)
class Stock:
    """A layer of tf-keras, not built yet, that does what an operator does.

    Attributes:
        layer: takes one tensor or a list, ``[N, …]`` without the file's leading 1.
        given: slots of the operands that it is given.
        held: its weights.
        before: another layer that its only operand passes first; None: it comes as it is.
    """

    layer: Any
    given: tuple[int, ...] = (0,)
    held: tuple[Held, ...] = ()
    before: Any = None


def short(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of one sample in the model: a leading 1, the file's batch, is not there."""
    return shape[1:] if shape[:1] == (1,) else shape
