"""Means."""

from math import prod
from typing import Any

from edgekit.passes.qat.call import IntegerCall
from edgekit.passes.qat.rounding import away
from edgekit.trainable.libraries import tf
from edgekit.trainable.operators.convolutions import images
from edgekit.trainable.operators.pooling import window


def average(step: IntegerCall) -> Any:
    """Of the raw integers, of two the one away from 0 (TFLite, ``reference_integer_ops::AveragePool``)."""
    size, strides, around = window(step.call)

    def pooled(x: Any) -> Any:
        """Means ``[N, H, W, C]`` of the integers of each window, padding not counted; the sums are whole."""
        counts = tf.nn.conv2d(tf.ones_like(x[:1, :, :, :1]), tf.ones((*size, 1, 1)), strides, around)
        sums = tf.round(tf.nn.avg_pool2d(x, size, strides, around) * counts)
        return sums / counts

    means = images(step.call, pooled)
    zero = step.result.zero_point
    return step.onto(means - zero, away(means) - zero)


def _mean(step: IntegerCall) -> Any:
    """The sum less its zero points, times one float32 factor (XNNPACK, ``qs8_rsum`` with ``fp32`` requantization)."""
    call = step.call
    axes = [call.axis(number) for number in call.ints(1)]
    x = step.centred(0)
    factor = step.grid(0).scale / step.result.scale / float(prod(x.shape[axis] for axis in axes))
    return step.onto(tf.reduce_sum(x, axes, keepdims=bool(call.options["keepDims"])) * factor)


ROWS = {"AVERAGE_POOL_2D": average, "MEAN": _mean}
