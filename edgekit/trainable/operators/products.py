"""Products of matrices."""

from typing import Any

from edgekit.trainable.libraries import tf, tf_keras
from edgekit.trainable.operands import Call
from edgekit.trainable.operators.convolutions import biased, constant
from edgekit.trainable.operators.row import OperatorRow
from edgekit.trainable.stock import Held, Layout, Stock, short


def _fully_connected(call: Call) -> Any:
    taps = call.operand(1).shape[-1]
    if call.operand(1).sampled:
        made = tf.matmul(
            tf.reshape(call.stacked(0), [tf.shape(call.stacked(0))[0], -1, taps]), call.stacked(1), transpose_b=True
        )
    else:
        made = tf.matmul(tf.reshape(call.stacked(0), [-1, taps]), call.common(1), transpose_b=True)
    return call.reshaped(biased(call, made, 2))


def _dense(call: Call) -> Stock | None:
    """Dense, behind a Reshape if the operator makes rows of what it reads."""
    source, (outputs, taps) = call.operand(0), call.operand(1).shape
    made = short(call.results[0].shape)
    if not source.sampled or not constant(call, 1, 2) or not made or made[-1] != outputs:
        return None
    rows = (*made[:-1], taps)
    held = [Held(1, "kernel", Layout((1, 0), (taps, outputs)))]
    if call.has(2):
        held.append(Held(2, "bias", Layout.plain(call.operand(2).shape)))
    layer = tf_keras.layers.Dense(outputs, use_bias=call.has(2))
    return Stock(layer, held=tuple(held), before=tf_keras.layers.Reshape(rows) if rows != short(source.shape) else None)


def _batch_matmul(call: Call) -> Any:
    x, y = call.aligned()
    turned = bool(call.options["adjX"]), bool(call.options["adjY"])
    if not call.operand(1).sampled and _single(y):
        return rows_times(tf.linalg.matrix_transpose(x) if turned[0] else x, _matrix(y, turned=turned[1]))
    if not call.operand(0).sampled and _single(x):  # x y = (yT xT)T
        rows = y if turned[1] else tf.linalg.matrix_transpose(y)
        return tf.linalg.matrix_transpose(rows_times(rows, _matrix(x, turned=not turned[0])))
    return tf.matmul(x, y, transpose_a=turned[0], transpose_b=turned[1])


def _single(values: Any) -> bool:
    """Whether a stack holds one matrix."""
    return all(size == 1 for size in values.shape[:-2])


def _matrix(values: Any, *, turned: bool) -> Any:
    """The one that it holds."""
    matrix = tf.reshape(values, values.shape[-2:])
    return tf.transpose(matrix) if turned else matrix


def rows_times(stack: Any, matrix: Any) -> Any:
    """A stack of matrices ``[N, …, rows, inner]`` times one ``[inner, columns]``, all rows at once.

    In TensorFlow 2.21 with oneDNN the gradient of the product of ``[N, 1, rows, inner]`` with a single matrix writes
    past its memory.
    """
    made = tf.matmul(tf.reshape(stack, [-1, stack.shape[-1]]), matrix)
    return tf.reshape(made, [-1, *stack.shape[1:-1], matrix.shape[-1]])


ROWS = (
    OperatorRow("FULLY_CONNECTED", _fully_connected, _dense, weights=(1, 2)),
    OperatorRow("BATCH_MATMUL", _batch_matmul, weights=(0, 1)),
)
