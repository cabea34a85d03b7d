"""Trained constants of an integer file: variables of real numbers, and the integers that they are rounded to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.passes.qat.grids import TensorGrid
from edgekit.passes.qat.operators.layers import EXACT
from edgekit.passes.qat.rounding import through
from edgekit.trainable.libraries import tf
from edgekit.waist.tensors import Array

INSIDE = 0.25
"""How far a weight may lie from its integer when training begins, in steps.

Learned rounding takes many weights to the farther integer. If these began just within it (0.49), the first steps of any
learning rate would undo it all at once: ResNet-8 then trained at 1e-5 and not at 1e-4, with 0.25 it does.
"""


PRUNED = 0.02
"""From this share on zeros among all weights of a network are no chance: somebody has pruned it."""

CLUSTERS = 256
"""The most values that weights share which were clustered."""

DISTINCT = 0.75
"""The greatest share of different ones among weights that were clustered; 16 values of a kernel of 24 weights are
less. Float32 weights that were not have none in common, those that float16 held hardly any."""

WIDEST = 2.0**40
"""The greatest bias of 64 bits: sums beyond 2^47 are not multiplied right (TFLite, ``kernels/internal/common.cc``)."""


def pruned(real: Array) -> bool:
    """Whether some weights are zero, which trained ones never are by chance: however few, they stay."""
    return bool((real == 0).any())


def clusters(real: Array) -> tuple[Array, Array] | None:
    """The values that clustered weights share, and the place of each weight's among them; None if they are not.

    Zeros do not count as shared: kernels that are pruned and not clustered have as many.
    """
    values, places = np.unique(real, return_inverse=True)
    some = int((values != 0).sum())
    if not 1 < values.size <= CLUSTERS or some > DISTINCT * np.count_nonzero(real):
        return None
    return values.astype(np.float32), places.astype(np.int32)


def worked_on(kernels: Sequence[Array]) -> bool:
    """Whether kernels of a network share values or have zeros, which quantizing it anew would not keep."""
    zeros = sum(int((kernel == 0).sum()) for kernel in kernels)
    if zeros >= max(1, PRUNED * sum(kernel.size for kernel in kernels)):
        return True
    return any(clusters(kernel) is not None for kernel in kernels)


def damped(values: Any, factor: float) -> Any:
    """The same values, with a gradient times a factor."""
    return through(values, values * factor)


class Scale:
    """A scale that is learned: the one of the file times the exponential of a variable that starts at 0.

    So Adam's steps are relative, and the file's scale is the first to the last bit.

    Args:
        start: of the file, a scalar or ``[channels]``.
        count: how many values stand on the grid of one scale.
        levels: how many integers it has above its zero point.
        name: of the variable.
        one: all channels have the same.
    """

    def __init__(self, start: Array, count: int, levels: int, name: str, *, one: bool = False) -> None:
        self.start = tf.constant(start, tf.float32)
        self.variable = tf.Variable(tf.zeros([] if one else self.start.shape), name=f"{name}_scale")
        self._damping = float(1 / np.sqrt(max(1, count) * max(1, levels)))  # Esser et al. (2020), section 2.2

    def now(self) -> Any:
        """The scale, float32."""
        return self.start * tf.exp(damped(self.variable, self._damping))


@dataclass
class Kernel:
    """Weights: numbers that are clipped to a grid and rounded to it.

    The variable is in a ``unit``, the range of each channel at first, so that a step of Adam's moves all of them alike,
    however large a layer's weights are. ``assignment`` and ``mask`` keep what went before: weights that share values,
    and weights that are zero.
    """

    variable: Any
    unit: Any
    lowest: int
    assignment: Any = None
    mask: Any = None

    @classmethod
    def of(cls, integers: Array, grid: TensorGrid, real: Array | None, name: str) -> "Kernel":
        """Weights that are rounded to given integers at first.

        Args:
            integers: of the file.
            grid: of the file.
            real: what they were rounded from, if it is known; how near they were to the next integer is kept.
            name: of the variable.
        """
        scale = np.asarray(grid.lying())
        levels = integers.astype(np.float64) - grid.zero_point
        narrow = grid.zero_point == 0 and integers.min(initial=0) > grid.low
        lowest = grid.low + 1 if narrow else grid.low
        unit = np.asarray(scale * float(grid.high), np.float32)
        if real is None:
            return cls(tf.Variable((levels / grid.high).astype(np.float32), name=name), unit, lowest)
        mask = tf.constant((real != 0).astype(np.float32).reshape(levels.shape)) if pruned(real) else None
        if (found := clusters(real)) is not None:
            values, places = found
            unit = unit.max()
            return cls(
                tf.Variable(values / unit, name=name), unit, lowest, tf.constant(places.reshape(levels.shape)), mask
            )
        apart = real.reshape(levels.shape) / np.where(scale == 0, 1, scale) - levels
        inner = (levels + np.clip(np.nan_to_num(apart), -INSIDE, INSIDE)) / grid.high
        return cls(tf.Variable(inner.astype(np.float32), name=name), unit, lowest, mask=mask)

    def integers(self, grid: TensorGrid) -> Any:
        """Integers as float32, zero point included."""
        values = self.variable
        if self.assignment is not None:
            values = tf.gather(values, self.assignment)
        if self.mask is not None:
            values = values * self.mask
        levels = tf.clip_by_value(
            values * (self.unit / grid.lying()),
            float(self.lowest - grid.zero_point),
            float(grid.high - grid.zero_point),
        )
        return through(tf.round(levels), levels) + grid.zero_point


@dataclass
class Floats:
    """Weights that stay floats; values that they share and zeros are kept as those of a `Kernel`."""

    variable: Any
    assignment: Any = None
    mask: Any = None

    @classmethod
    def of(cls, values: Array, name: str, *, kernel: bool) -> "Floats":
        """Weights of the file, those of a ``kernel`` or others; ``name`` is that of the variable."""
        if not kernel:  # biases of zeros were not pruned
            return cls(tf.Variable(values, name=name))
        mask = tf.constant((values != 0).astype(np.float32)) if pruned(values) else None
        if (found := clusters(values)) is None:
            return cls(tf.Variable(values, name=name), mask=mask)
        shared, places = found
        return cls(tf.Variable(shared, name=name), tf.constant(places.reshape(values.shape)), mask)

    def now(self) -> Any:
        """The weights, float32."""
        values = tf.convert_to_tensor(self.variable)
        if self.assignment is not None:
            values = tf.gather(values, self.assignment)
        return values if self.mask is None else values * self.mask


@dataclass
class Bias:
    """A bias: what the file has, in float64, and what training adds to it, in a ``unit``, the range of the results."""

    start: Array
    variable: Any
    unit: float
    wide: bool
    limits: tuple[float, float]

    @classmethod
    def of(cls, integers: Array, scale: Array, unit: float, name: str) -> "Bias":
        """A bias that is rounded to given integers at first; ``scale`` is the product of both factors' scales."""
        wide = bool(np.abs(integers.astype(np.int64)).max(initial=0) >= EXACT / 8)
        limits = (-(2.0**31), 2.0**31 - 1) if integers.dtype == np.int32 else (-WIDEST, WIDEST)
        start = integers.astype(np.float64) * scale.astype(np.float64)
        return cls(start, tf.Variable(np.zeros(integers.shape, np.float32), name=name), unit, wide, limits)

    def integers(self, scale: Any) -> Any:
        """Integers as float32, or as float64 if they are large."""
        real = tf.constant(self.start) + tf.cast(self.variable * self.unit, tf.float64)
        levels = tf.clip_by_value(real / tf.cast(scale, tf.float64), *self.limits)
        found = through(tf.round(levels), levels)
        return found if self.wide else tf.cast(found, tf.float32)
