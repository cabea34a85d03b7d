"""Reductions along axes, and what finds or sums up along one."""

from collections.abc import Callable
from typing import Any

from edgekit.trainable.libraries import tf
from edgekit.trainable.operands import Call
from edgekit.trainable.operators.row import OperatorRow


def _reduce(name: str, function: Callable[..., Any], *, differentiable: bool = True) -> OperatorRow:
    def reduced(call: Call) -> Any:
        axes = [call.axis(number) for number in call.ints(1)]
        return function(call.stacked(0), axes, keepdims=bool(call.options["keepDims"]))

    return OperatorRow(name, reduced, differentiable=differentiable)


def _position(function: Callable[..., Any]) -> Callable[[Call], Any]:
    return lambda call: function(call.stacked(0), call.axis(call.ints(1)[0]), output_type=call.results[0].dtype)


def _cumulative_sum(call: Call) -> Any:
    options = call.options
    axis = call.axis(call.ints(1)[0])
    return tf.cumsum(call.stacked(0), axis, exclusive=bool(options["exclusive"]), reverse=bool(options["reverse"]))


def _largest(call: Call) -> Any:
    values, indices = tf.math.top_k(call.stacked(0), call.ints(1)[0])
    return [values, tf.cast(indices, call.results[1].dtype)]


ROWS = (
    _reduce("SUM", tf.reduce_sum),
    _reduce("MEAN", tf.reduce_mean),
    _reduce("REDUCE_MAX", tf.reduce_max),
    _reduce("REDUCE_MIN", tf.reduce_min),
    _reduce("REDUCE_PROD", tf.reduce_prod),
    _reduce("REDUCE_ANY", tf.reduce_any, differentiable=False),
    _reduce("REDUCE_ALL", tf.reduce_all, differentiable=False),
    OperatorRow("ARG_MAX", _position(tf.argmax), differentiable=False),
    OperatorRow("ARG_MIN", _position(tf.argmin), differentiable=False),
    OperatorRow("CUMSUM", _cumulative_sum),
    OperatorRow("TOPK_V2", _largest),
)
