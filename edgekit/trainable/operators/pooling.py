"""Pooling, and normalization over neighbours and channels."""

from collections.abc import Callable
from typing import Any

from edgekit.trainable.libraries import tf, tf_keras
from edgekit.trainable.operands import Call
from edgekit.trainable.operators.convolutions import images, padding
from edgekit.trainable.operators.row import OperatorRow
from edgekit.trainable.stock import Stock


def window(call: Call) -> tuple[tuple[int, int], tuple[int, int], str]:
    """The size of a window, its strides, and the padding."""
    options = call.options
    size, strides = (options["filterHeight"], options["filterWidth"]), (options["strideH"], options["strideW"])
    return size, strides, padding(options)


def _pool(function: Callable[..., Any]) -> Callable[[Call], Any]:
    return lambda call: images(call, lambda x: function(x, *window(call)))


def _pool_layer(layer: Any) -> Callable[[Call], Stock | None]:
    def made(call: Call) -> Stock | None:
        size, strides, around = window(call)
        return Stock(layer(size, strides, around.lower())) if call.operand(0).shape[0] == 1 else None

    return made


def _root_mean_square(x: Any, *around: Any) -> Any:
    return tf.sqrt(tf.nn.avg_pool2d(tf.square(x), *around))


L2_EPSILON = 1e-6
"""The least length that L2_NORMALIZATION divides by (TFLite, ``reference/l2normalization.h``)."""


def _unit_length(call: Call) -> Any:
    x = call.stacked(0)
    squared = tf.reduce_sum(tf.square(x), -1, keepdims=True)
    return x * tf.math.rsqrt(tf.maximum(squared, L2_EPSILON**2))


def _local_response(call: Call) -> Any:
    options = call.options
    return images(call, lambda x: tf.nn.lrn(x, options["radius"], options["bias"], options["alpha"], options["beta"]))


ROWS = (
    OperatorRow("AVERAGE_POOL_2D", _pool(tf.nn.avg_pool2d), _pool_layer(tf_keras.layers.AveragePooling2D)),
    OperatorRow("MAX_POOL_2D", _pool(tf.nn.max_pool2d), _pool_layer(tf_keras.layers.MaxPooling2D)),
    OperatorRow("L2_POOL_2D", _pool(_root_mean_square)),
    OperatorRow("L2_NORMALIZATION", _unit_length),
    OperatorRow("LOCAL_RESPONSE_NORMALIZATION", _local_response),
)
