"""Element by element: of one operand, of two that are broadcast, of three."""

from collections.abc import Callable
from typing import Any

import numpy as np

from edgekit.trainable.libraries import tf, tf_keras
from edgekit.trainable.operands import Call
from edgekit.trainable.operators.row import OperatorRow
from edgekit.trainable.stock import Stock
from edgekit.waist import graph


def _one(name: str, function: Callable[[Any], Any], *, differentiable: bool = True) -> OperatorRow:
    return OperatorRow(name, lambda call: function(call.stacked(0)), differentiable=differentiable)


def _two(
    name: str, function: Callable[[Any, Any], Any], layer: Any = None, *, differentiable: bool = True
) -> OperatorRow:
    return OperatorRow(
        name,
        lambda call: function(*call.aligned()),
        None if layer is None else lambda call: _joining(call, layer),
        learnable=(0, 1) if differentiable else (),
        differentiable=differentiable,
    )


def _joining(call: Call, layer: Any) -> Stock | None:
    """A layer of tf-keras of two activations, if nothing is broadcast."""
    first, second = call.operand(0), call.operand(1)
    same = first.sampled and second.sampled and first.shape == second.shape and len(first.shape) > 1
    return Stock(layer(), given=(0, 1)) if same and call.results[0].dtype == "float32" else None


def _division(x: Any, y: Any) -> Any:
    return x / y if x.dtype.is_floating else tf.truncatediv(x, y)


def _select(call: Call) -> Any:
    """By a condition of the operands' shape, or of their first axis alone."""
    condition, rank = call.operand(0), len(call.operand(1).shape)
    if len(condition.shape) == 1 and rank > 1:
        wide = tf.reshape(condition.values, [*([-1] * condition.sampled), *condition.shape, *[1] * (rank - 1)])
        return tf.where(wide, *call.aligned((1, 2)))
    return tf.where(*call.aligned())


def _cast(call: Call) -> Any:
    return tf.cast(call.stacked(0), call.results[0].dtype)


def _grid(tensor: graph.Tensor, lead: int) -> tuple[Any, Any]:
    """Scales and zero points of a tensor, in a shape that is broadcast against its values."""
    shape = [1] * (lead + len(tensor.shape))
    if len(tensor.scales) > 1:
        shape[lead + tensor.axis] = len(tensor.scales)
    zero_points = tensor.zero_points or (0,) * len(tensor.scales)
    return tf.reshape(tf.constant(tensor.scales), shape), tf.reshape(tf.constant(zero_points, tf.float32), shape)


def _quantize(call: Call) -> Any:
    """Integers, carried as float32; the gradient goes straight through where nothing is clipped."""
    made, x = call.results[0], call.stacked(0)
    scale, zero_point = _grid(made, call.lead)
    limits = np.iinfo(made.dtype)
    found = tf.clip_by_value(x / scale + zero_point, float(limits.min), float(limits.max))
    return found + tf.stop_gradient(tf.round(found) - found)


def _dequantize(call: Call) -> Any:
    """From float16, or from integers with scales."""
    source = call.described(0)
    values = tf.cast(call.stacked(0), tf.float32)
    if not source.scales:
        return values
    scale, zero_point = _grid(source, call.lead)
    return (values - zero_point) * scale


def _fake_quantized(call: Call) -> Any:
    limits = call.options["min"], call.options["max"], call.options["numBits"], call.options["narrowRange"]
    return tf.quantization.fake_quant_with_min_max_args(call.stacked(0), *limits)


ROWS = (
    _one("ABS", tf.abs),
    _one("NEG", tf.negative),
    _one("EXP", tf.exp),
    _one("LOG", tf.math.log),
    _one("SQRT", tf.sqrt),
    _one("RSQRT", tf.math.rsqrt),
    _one("SQUARE", tf.square),
    _one("SIN", tf.sin),
    _one("COS", tf.cos),
    _one("FLOOR", tf.floor, differentiable=False),
    _one("CEIL", tf.math.ceil, differentiable=False),
    _one("ROUND", tf.round, differentiable=False),
    _one("SIGN", tf.sign, differentiable=False),
    _one("LOGICAL_NOT", tf.logical_not, differentiable=False),
    _two("ADD", tf.add, tf_keras.layers.Add),
    _two("SUB", tf.subtract, tf_keras.layers.Subtract),
    _two("MUL", tf.multiply, tf_keras.layers.Multiply),
    _two("DIV", _division),
    _two("POW", tf.pow),
    _two("MAXIMUM", tf.maximum, tf_keras.layers.Maximum),
    _two("MINIMUM", tf.minimum, tf_keras.layers.Minimum),
    _two("SQUARED_DIFFERENCE", tf.math.squared_difference),
    _two("ATAN2", tf.atan2),
    _two("FLOOR_MOD", tf.math.floormod),
    _two("FLOOR_DIV", tf.math.floordiv, differentiable=False),
    _two("LESS", tf.less, differentiable=False),
    _two("LESS_EQUAL", tf.less_equal, differentiable=False),
    _two("GREATER", tf.greater, differentiable=False),
    _two("GREATER_EQUAL", tf.greater_equal, differentiable=False),
    _two("EQUAL", tf.equal, differentiable=False),
    _two("NOT_EQUAL", tf.not_equal, differentiable=False),
    _two("LOGICAL_AND", tf.logical_and, differentiable=False),
    _two("LOGICAL_OR", tf.logical_or, differentiable=False),
    _two("BITWISE_XOR", tf.bitwise.bitwise_xor, differentiable=False),
    _two("RIGHT_SHIFT", tf.bitwise.right_shift, differentiable=False),
    OperatorRow("ADD_N", lambda call: tf.add_n([call.stacked(i) for i in range(len(call.operands))])),
    OperatorRow("SELECT", _select, learnable=(1, 2)),
    OperatorRow("SELECT_V2", _select, learnable=(1, 2)),
    OperatorRow("CAST", _cast),
    OperatorRow("DEQUANTIZE", _dequantize),
    OperatorRow("QUANTIZE", _quantize),
    OperatorRow("FAKE_QUANT", _fake_quantized),
)
