"""Operators of two operands that are broadcast against one another."""

from typing import Any

from edgekit.passes.qat.call import IntegerCall
from edgekit.passes.qat.grids import TensorGrid
from edgekit.trainable.libraries import tf

BITS = 20
"""The bits of the greater factor of a sum (XNNPACK, ``xnn_init_qs8_add_minmax_*_params``)."""


def _both(step: IntegerCall) -> tuple[tuple[Any, TensorGrid], tuple[Any, TensorGrid]]:
    x, y = step.call.aligned((0, 1))
    return (x, step.grid(0)), (y, step.grid(1))


def _sum(sign: int) -> Any:
    """Both operands times factors of about 20 bits, and one rounding shift, in int32."""

    def made(step: IntegerCall) -> Any:
        """Steps of the result's grid: in float32 for gradients, and the kernel's integers as the value."""
        (x, one), (y, other) = _both(step)
        ratios = one.scale / step.result.scale, sign * other.scale / step.result.scale
        smooth = (x - one.zero_point) * ratios[0] + (y - other.zero_point) * ratios[1]
        most = tf.maximum(*map(tf.abs, ratios))
        shift = BITS - (tf.bitwise.right_shift(tf.bitcast(most, tf.int32), 23) - 127)
        power = tf.round(tf.exp(tf.cast(shift, tf.float64) * tf.math.log(tf.constant(2.0, tf.float64))))
        factors = [tf.cast(tf.round(tf.cast(ratio, tf.float64) * power), tf.int32) for ratio in ratios]
        bias = tf.bitwise.left_shift(1, shift - 1) - factors[0] * one.zero_point - factors[1] * other.zero_point
        total = tf.cast(x, tf.int32) * factors[0] + tf.cast(y, tf.int32) * factors[1] + bias
        return step.onto(smooth, tf.bitwise.right_shift(total, shift))

    return made


def _product(step: IntegerCall) -> Any:
    """The product of both, which float32 holds, times one float32 factor (XNNPACK, ``qs8_vmul_minmax_fp32``)."""
    (x, one), (y, other) = _both(step)
    factor = one.scale * other.scale / step.result.scale
    return step.onto((x - one.zero_point) * (y - other.zero_point) * factor)


ROWS = {"ADD": _sum(1), "SUB": _sum(-1), "MUL": _product}
