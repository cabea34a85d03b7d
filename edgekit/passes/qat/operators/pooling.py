"""Means and maxima."""

from typing import Any

from edgekit.passes.qat.call import IntegerCall
from edgekit.passes.qat.grids import LIMITS
from edgekit.passes.qat.rounding import away
from edgekit.trainable.libraries import tf
from edgekit.trainable.operators.convolutions import images, padding

BELOW = float(LIMITS["int8"][0])


def _average(step: IntegerCall) -> Any:
    """Of the raw integers, of two the one away from 0 (TFLite, ``reference_integer_ops::AveragePool``)."""
    options = step.call.options
    size, strides = (options["filterHeight"], options["filterWidth"]), (options["strideH"], options["strideW"])

    def pooled(x: Any) -> Any:
        ones = tf.ones_like(x[:1, :, :, :1])
        window = {"ksize": size, "strides": strides, "padding": padding(options)}
        counts = tf.round(tf.nn.avg_pool2d(tf.pad(ones, [[0, 0]] * 4), **window) * 0 + _counts(ones, window))
        sums = tf.round(tf.nn.avg_pool2d(x, **window) * counts)
        return sums / counts

    means = images(step.call, pooled)
    zero = step.result.zero_point
    return step.onto(means - zero, away(means) - zero)


def _counts(ones: Any, window: dict[str, Any]) -> Any:
    """How many values each window holds."""
    high, wide = window["ksize"]
    kernel = tf.ones((high, wide, 1, 1))
    return tf.nn.conv2d(ones, kernel, window["strides"], window["padding"])


def _mean(step: IntegerCall) -> Any:
    """The sum less its zero points, times one float32 factor (XNNPACK, ``qs8_rsum`` with ``fp32`` requantization)."""
    call = step.call
    axes = [call.axis(number) for number in call.ints(1)]
    x = step.centred(0)
    count = 1
    for axis in axes:
        count *= x.shape[axis]
    factor = step.grid(0).scale / step.result.scale / float(count)
    return step.onto(tf.reduce_sum(x, axes, keepdims=bool(call.options["keepDims"])) * factor)


ROWS = {"AVERAGE_POOL_2D": _average, "MEAN": _mean}
