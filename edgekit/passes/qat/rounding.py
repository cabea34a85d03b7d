"""How kernels round, with gradients that go straight through.

Integers are carried as float32, in their own unit. A function computes what a kernel computes, exactly, and beside it
the same without roundings, whose gradient is taken: "Estimating or Propagating Gradients Through Stochastic Neurons
for Conditional Computation" (Bengio et al., 2013). Since scales take part in both, the gradients that they get are
those of "Learned Step Size Quantization" (Esser et al., 2020), without any code of their own.
"""

import math
from typing import Any

from edgekit.passes.qat.grids import TensorGrid
from edgekit.trainable.libraries import tf


def through(exact: Any, smooth: Any) -> Any:
    """The values of the one to the last bit, with the gradient of the other."""
    return tf.stop_gradient(tf.cast(exact, smooth.dtype)) + (smooth - tf.stop_gradient(smooth))


def rounded(values: Any) -> Any:
    """The nearest integer, of two the even one."""
    return through(tf.round(values), values)


def away(values: Any) -> Any:
    """The nearest integer, of two the one that lies away from 0; without a gradient."""
    magnitude = tf.abs(values)
    whole = tf.floor(magnitude)  # half of one added beforehand would lift the number below a half to 1
    return tf.sign(values) * (whole + tf.cast(magnitude - whole >= 0.5, values.dtype))


def looked_up(table: Any, places: Any) -> Any:
    """Entries of a table of float32, without a gradient.

    Args:
        table: ``[entries]``.
        places: in it, as float32. Where training has diverged one may be no number, and so is its entry then: the loss
            tells, as it does of all networks without a table.
    """
    known = tf.math.is_finite(places)
    found = tf.gather(table, tf.cast(tf.where(known, places, 0.0), tf.int32))
    return tf.where(known, found, math.nan)


def onto(grid: TensorGrid, values: Any, exact: Any = None, limits: tuple[Any, Any] | None = None) -> Any:
    """Integers on a grid.

    Args:
        grid: the grid.
        values: reals over its scale, before the zero point is added; their gradient is taken.
        exact: the same as integers; by default those that are nearest to ``values``, of two the even one.
        limits: what the integers are clipped to; by default the grid's own.
    """
    low, high = limits or (float(grid.low), float(grid.high))
    found = tf.round(values) if exact is None else tf.cast(exact, tf.float32)
    return through(
        tf.clip_by_value(found + grid.zero_point, low, high),
        tf.clip_by_value(values + grid.zero_point, low, high),
    )


def by_byte(values: Any, factor: Any) -> Any:
    """Integers times a factor of 8 bits behind the point, rounded once (XNNPACK, ``qs8_vcvt`` and ``qs8_vlrelu``).

    Args:
        values: int32.
        factor: float32, a scalar or broadcast.

    Returns:
        int32, without a gradient.
    """
    return tf.bitwise.right_shift(values * tf.cast(tf.round(factor * 256.0), tf.int32) + 128, 8)


def fixed_point(values: Any, factor: Any) -> Any:
    """Integers times a factor as LiteRT's own kernels have it: 31 bits of it, and two roundings.

    Source: ``MultiplyByQuantizedMultiplier`` and ``QuantizeMultiplier`` (TFLite, ``kernels/internal/common.h`` and
    ``quantization_util.cc``), which are gemmlowp's ``SaturatingRoundingDoublingHighMul`` and ``RoundingDivideByPOT``.

    Args:
        values: int64.
        factor: float64, above 0, a scalar or broadcast.

    Returns:
        int64, without a gradient.
    """
    return shifted(*quantized_factor(factor), values)


def rounded_once(values: Any, factor: Any) -> Any:
    """Integers times a factor of 31 bits, rounded half up; the arguments and the result are those of `fixed_point`."""
    bits, shift = quantized_factor(factor)
    right = 31 - shift
    half = tf.bitwise.left_shift(tf.ones_like(right), right - 1)
    return tf.bitwise.right_shift(values * bits + half, right)


def quantized_factor(factor: Any) -> tuple[Any, Any]:
    """A factor as 31 bits and a shift to the left (to the right, if negative); int64 both."""
    exponent = tf.floor(tf.math.log(factor) / tf.math.log(tf.constant(2.0, tf.float64))) + 1
    # The logarithm may be off by a bit where the factor is a power of 2.
    exponent = tf.where(factor >= 2.0**exponent, exponent + 1, exponent)
    exponent = tf.where(factor < 2.0 ** (exponent - 1), exponent - 1, exponent)
    bits = away(factor / 2.0**exponent * 2.0**31)
    full = bits >= 2.0**31
    return (
        tf.cast(tf.where(full, bits / 2, bits), tf.int64),
        tf.cast(tf.where(full, exponent + 1, exponent), tf.int64),
    )


def shifted(bits: Any, shift: Any, values: Any) -> Any:
    """Integers times ``bits · 2^(shift − 31)``, rounded twice."""
    zero = tf.zeros_like(shift)
    left, right = tf.maximum(shift, zero), tf.maximum(-shift, zero)
    product = tf.bitwise.left_shift(values, left) * bits
    nudge = tf.where(product >= 0, tf.constant(1 << 30, tf.int64), tf.constant(1 - (1 << 30), tf.int64))
    high = tf.truncatediv(product + nudge, tf.constant(1 << 31, tf.int64))
    return divided(high, right)


def divided(values: Any, shift: Any) -> Any:
    """Integers over a power of 2, the nearest, of two the one that lies away from 0; int64."""
    one = tf.ones_like(shift)
    mask = tf.bitwise.left_shift(one, shift) - 1
    rest = tf.bitwise.bitwise_and(values, mask)
    half = tf.bitwise.right_shift(mask, one) + tf.cast(values < 0, tf.int64)
    return tf.bitwise.right_shift(values, shift) + tf.cast(rest > half, tf.int64)
