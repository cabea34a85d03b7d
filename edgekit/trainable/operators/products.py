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
    return tf.matmul(x, y, transpose_a=bool(call.options["adjX"]), transpose_b=bool(call.options["adjY"]))


ROWS = (
    OperatorRow("FULLY_CONNECTED", _fully_connected, _dense, weights=(1, 2)),
    OperatorRow("BATCH_MATMUL", _batch_matmul, weights=(0, 1)),
)
