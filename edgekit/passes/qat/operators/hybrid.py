"""Operators with weights of integers that take and give floats; a file holds nothing of them but weights.

What comes in is quantized as it comes: its range gives it a scale and a zero point. Sums of integers are exact, and
become floats by both scales. LiteRT's own kernels run convolutions, image by image; XNNPACK FULLY_CONNECTED, by row.
Which kernel runs a convolution its integers tell: there are several `ways`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgekit.passes.qat.call import IntegerCall, IntegerFunction
from edgekit.passes.qat.operators.layers import LAYERS, SumOfProducts
from edgekit.passes.qat.rounding import away, through
from edgekit.trainable.libraries import tf
from edgekit.trainable.operands import Operand
from edgekit.trainable.operators.activations import FUNCTIONS, FUSED
from edgekit.waist import graph

LEAST, MOST = -128.0, 127.0

REACH = MOST - LEAST
"""The greatest magnitude of what was quantized, less its zero point."""


def by_image(values: Any, axes: Sequence[int]) -> tuple[Any, Any]:
    """Floats as integers less their zero point, with straight gradients, and the scale that these stand on.

    Source: ``PortableAsymmetricQuantizeFloats`` (TFLite, ``kernels/internal/reference/portable_tensor_utils.cc``).

    Args:
        values: float32.
        axes: over which a range is taken.
    """
    low, high = (tf.cast(bound, tf.float64) for bound in _range(values, axes))
    scale = tf.where(low == high, tf.ones_like(low), (high - low) / REACH)
    first, last = LEAST - low / scale, MOST - high / scale
    zero = tf.where(tf.abs(low / scale) - LEAST < tf.abs(high / scale) + MOST, first, last)
    zero = tf.cast(away(tf.clip_by_value(zero, LEAST, MOST)), tf.float32)
    scale = tf.cast(scale, tf.float32)
    steps = values * (1.0 / scale)
    return through(tf.clip_by_value(away(zero + steps), LEAST, MOST) - zero, steps), scale


def around_zero(values: Any, axes: Sequence[int]) -> tuple[Any, Any]:
    """The same on a scale whose zero point is 0.

    Source: ``PortableSymmetricQuantizeFloats``, as above; convolutions with one scale for all weights read so.
    """
    low, high = _range(values, axes)
    reach = tf.maximum(-low, high)
    reach = tf.where(reach > 0, reach, MOST)
    steps = values * (MOST / reach)
    return through(tf.clip_by_value(away(steps), -MOST, MOST), steps), reach / MOST


def by_row(values: Any, axes: Sequence[int]) -> tuple[Any, Any]:
    """The same as XNNPACK has it (``xnn_qd8_asymmetric_quantization_params``, ``xnn_f32_qs8_vcvt``)."""
    low, high = _range(values, axes)
    inverse = tf.where(low == high, tf.ones_like(low), REACH / (high - low))
    first, last = LEAST - low * inverse, MOST - high * inverse
    zero = tf.where((LEAST + low * inverse) + (MOST + high * inverse) > 0, first, last)
    zero = tf.round(tf.clip_by_value(zero, LEAST, MOST))
    steps = values * inverse
    return through(tf.clip_by_value(tf.round(steps) + zero, LEAST, MOST) - zero, steps), 1.0 / inverse


def _range(values: Any, axes: Sequence[int]) -> tuple[Any, Any]:
    """The least and the greatest of values, 0 among them, without a gradient."""
    values = tf.stop_gradient(values)
    return (
        tf.minimum(0.0, tf.reduce_min(values, axes, keepdims=True)),
        tf.maximum(0.0, tf.reduce_max(values, axes, keepdims=True)),
    )


Reading = Callable[[Any, Sequence[int]], tuple[Any, Any]]
"""Floats as integers, and the scale that these stand on: `by_image`, for one."""


def _convolved(layer: SumOfProducts, read: Reading) -> IntegerFunction:
    """What computes a convolution: floats."""

    def made(step: IntegerCall) -> Any:
        """Each image has a scale of its own; in which order scales are multiplied shows in the last bit."""
        source = step.call.operand(layer.source)
        values = tf.convert_to_tensor(source.values)
        integers, scale = read(values, range(int(source.sampled) + 1, len(values.shape)))
        total = tf.cast(layer.sums(step, Operand(integers, source.sampled)), tf.float32)
        channels = step.grid(layer.weights).scale
        depthwise = step.call.operator.name == "DEPTHWISE_CONV_2D"
        return _finished(step, total * channels * scale if depthwise else total * (scale * channels), layer.bias)

    return made


def _connected(step: IntegerCall) -> Any:
    layer, source = LAYERS[step.call.operator.name], step.call.operand(0)
    values = tf.convert_to_tensor(source.values)
    integers, scale = by_row(tf.reshape(values, [-1, step.call.operand(layer.weights).shape[-1]]), [1])
    total = tf.cast(layer.sums(step, Operand(tf.reshape(integers, tf.shape(values)), source.sampled)), tf.float32)
    rows = total * tf.reshape(scale, tf.concat([tf.shape(total)[:-1], [1]], 0))
    # The product by the weights' scale and the bias are rounded once (fused multiply-add).
    return _finished(step, tf.cast(rows, tf.float64) * tf.cast(step.grid(layer.weights).scale, tf.float64), layer.bias)


def _finished(step: IntegerCall, real: Any, bias: int) -> Any:
    """Floats with the bias of a slot, and the activation that is fused into the operator."""
    if step.call.has(bias):
        real += tf.cast(step.call.operand(bias).values, real.dtype)
    real = tf.cast(real, tf.float32)
    fused = FUSED.get(step.call.options["fusedActivationFunction"], "")
    return FUNCTIONS[fused](real) if fused else real


WAYS: Mapping[str, tuple[IntegerFunction, ...]] = {
    **{name: tuple(_convolved(layer, read) for read in (by_image, around_zero)) for name, layer in LAYERS.items()},
    "FULLY_CONNECTED": (_connected,),
}
"""By name what may compute an operator, the usual one first."""


def ways(operator: graph.Operator, tensors: Sequence[graph.Tensor]) -> tuple[IntegerFunction, ...]:
    """What may compute an operator, if anything; XNNPACK runs convolutions of single pixels as dense layers."""
    found = WAYS.get(operator.name, ())
    if operator.name != "CONV_2D" or set(tensors[operator.inputs[1]].shape[1:3]) != {1}:
        return found
    whole = operator.options["strideW"] == operator.options["strideH"] == 1
    return (*found, _connected) if whole else found
