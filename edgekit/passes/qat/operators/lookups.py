"""Operators that kernels look up in a table of all integers, and the softmax."""

from collections.abc import Callable
from typing import Any

from edgekit.passes.qat.call import IntegerCall
from edgekit.passes.qat.rounding import away, by_byte, looked_up
from edgekit.trainable.libraries import tf
from edgekit.trainable.operators.activations import hard_swish

Real = Callable[[Any], Any]


def _looked_up(function: Real, nearest: Real = tf.round) -> Callable[[IntegerCall], Any]:
    """A function of one operand, tabulated in float32 for all integers."""

    def made(step: IntegerCall) -> Any:
        """The function itself for gradients, its table's entry as the value."""
        x, grid = step.call.stacked(0), step.grid(0)
        real = tf.cast(grid.real(grid.codes()), tf.float64)
        table = tf.cast(function(real), tf.float32) * (1.0 / step.result.scale)
        exact = looked_up(nearest(table), x - float(grid.low))
        return step.onto(function(grid.real(x)) / step.result.scale, exact)

    return made


def _softmax(step: IntegerCall) -> Any:
    """Powers from a table in float32 (TFLite, ``optimized_ops::Softmax`` of int8)."""
    grid, beta = step.grid(0), step.call.options["beta"] or 1.0
    x = step.call.stacked(0)
    below = tf.reduce_max(x, -1, keepdims=True) - x
    steps = tf.cast(-grid.scale * beta, tf.float32) * tf.range(0, 256, dtype=tf.float32)
    table = tf.cast(tf.exp(tf.cast(steps, tf.float64)), tf.float32)
    powers = looked_up(table, below)
    shares = powers * (1.0 / (tf.reduce_sum(powers, -1, keepdims=True) * step.result.scale))
    return step.onto(tf.nn.softmax(grid.real(x) * beta) / step.result.scale, away(shares))


def _leaky(step: IntegerCall) -> Any:
    """Factors of 8 bits behind the point on both sides (XNNPACK, ``qs8_vlrelu``)."""
    x, grid = step.centred(0), step.grid(0)
    ratio = grid.scale / step.result.scale
    below = ratio * step.call.options["alpha"]
    factor = tf.where(x < 0, below, ratio)
    return step.onto(x * factor, by_byte(tf.cast(x, tf.int32), factor))


ROWS = {
    "LEAKY_RELU": _leaky,
    "LOGISTIC": _looked_up(tf.sigmoid),
    "TANH": _looked_up(tf.tanh),
    "HARD_SWISH": _looked_up(hard_swish),
    "ELU": _looked_up(tf.nn.elu),
    "EXP": _looked_up(tf.exp, away),
    "LOG": _looked_up(tf.math.log, away),
    "RSQRT": _looked_up(tf.math.rsqrt, away),
    "GELU": lambda step: _looked_up(lambda x: tf.nn.gelu(x, bool(step.call.options["approximate"])), away)(step),
    "SOFTMAX": _softmax,
}
