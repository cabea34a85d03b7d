"""Operators of 16-bit activations, which LiteRT's own kernels run (XNNPACK has none).

Sums are int64, in float64 here. Their factor has 15 bits (31 in FULLY_CONNECTED), and its product is rounded half up.
"""

from typing import Any

from edgekit.passes.qat.call import BOUNDS, IntegerCall
from edgekit.passes.qat.operators import moves
from edgekit.passes.qat.operators.layers import LAYERS, SumOfProducts
from edgekit.passes.qat.operators.pooling import average
from edgekit.passes.qat.rounding import fixed_point, quantized_factor, rounded_once
from edgekit.trainable.libraries import tf
from edgekit.trainable.operands import Operand

SHIFT = 15
"""How far operands of a sum are shifted to the left (TFLite, ``add.cc``, ``general_scale_int16``)."""


def by_15_bits(values: Any, factor: Any) -> Any:
    """Integers times a factor of 15 bits, rounded half up.

    Source: ``MultiplyByQuantizedMultiplier`` of int64 (TFLite, ``kernels/internal/common.cc``).

    Args:
        values: int64, below 2^47.
        factor: float64, above 0, a scalar or broadcast.

    Returns:
        int64, without a gradient.
    """
    bits, shift = quantized_factor(factor)
    reduced = tf.where(bits < 0x7FFF0000, tf.bitwise.right_shift(bits + (1 << 15), 16), 0x7FFF)
    right = 15 - shift
    half = tf.bitwise.left_shift(tf.ones_like(right), right - 1)
    return tf.bitwise.right_shift(values * reduced + half, right)


def _made(layer: SumOfProducts, scaled: Any) -> Any:
    """What computes an operator with weights; ``scaled`` multiplies its sums."""

    def made(step: IntegerCall) -> Any:
        """Float32 for gradients; the value from float64, which holds the kernel's 64-bit sums up to 2**53."""
        given, kernel = step.zeroed(layer.source), step.zeroed(layer.weights)
        smooth = layer.product(step, given, kernel)
        wide = [Operand(tf.cast(tf.stop_gradient(one.values), tf.float64), one.sampled) for one in (given, kernel)]
        exact = layer.product(step, *wide)
        if step.call.has(layer.bias):
            bias = tf.convert_to_tensor(step.call.operand(layer.bias).values)
            smooth += tf.cast(bias, tf.float32)
            exact += tf.cast(bias, tf.float64)
        scales = step.grid(layer.source).scale, step.grid(layer.weights).scale, step.result.scale
        one, other, result = (tf.cast(scale, tf.float64) for scale in scales)
        integers = scaled(tf.cast(exact, tf.int64), one * other / result)
        return step.onto(smooth * (scales[0] * scales[1] / scales[2]), integers)

    return made


def _sum(sign: int) -> Any:
    """Both operands by 31-bit factors of twice the larger scale, and their sum by another (TFLite, ``add.cc``)."""

    def made(step: IntegerCall) -> Any:
        x, y = step.call.aligned((0, 1))
        one, other, result = (tf.cast(grid.scale, tf.float64) for grid in (step.grid(0), step.grid(1), step.result))
        twice = 2 * tf.maximum(one, other)
        shifted = [tf.bitwise.left_shift(tf.cast(values, tf.int64), tf.constant(SHIFT, tf.int64)) for values in (x, y)]
        both = [rounded_once(v, scale / twice) for v, scale in zip(shifted, (one, other), strict=True)]
        exact = fixed_point(both[0] + sign * both[1], twice / (result * 2.0**SHIFT))
        smooth = x * (step.grid(0).scale / step.result.scale) + sign * y * (step.grid(1).scale / step.result.scale)
        return step.onto(smooth, exact)

    return made


def _product(step: IntegerCall) -> Any:
    """The product of both by one 31-bit factor (``reference_integer_ops::Mul``)."""
    x, y = step.call.aligned((0, 1))
    one, other, result = (tf.cast(grid.scale, tf.float64) for grid in (step.grid(0), step.grid(1), step.result))
    exact = fixed_point(tf.cast(x, tf.int64) * tf.cast(y, tf.int64), one * other / result)
    return step.onto(x * y * (step.grid(0).scale * step.grid(1).scale / step.result.scale), exact)


def _quantized(step: IntegerCall) -> Any:
    """From float32, by the scale's inverse and to even (``AffineQuantize``), or from another grid (``Requantize``)."""
    x, made = step.call.stacked(0), step.result
    if step.read[0] is None:
        return step.onto(x * (1 / made.scale))
    one, other = (tf.cast(grid.scale, tf.float64) for grid in (step.grid(0), made))
    exact = fixed_point(tf.cast(step.centred(0), tf.int64), one / other)
    return step.onto(step.centred(0) * (step.grid(0).scale / made.scale), exact)


def _real(step: IntegerCall) -> Any:
    return step.grid(0).real(step.call.stacked(0))


ROWS = {
    **{name: _made(layer, by_15_bits) for name, layer in LAYERS.items()},
    "FULLY_CONNECTED": _made(LAYERS["FULLY_CONNECTED"], rounded_once),
    **dict.fromkeys(moves.MOVES, moves.moved), "PAD": moves.moved,
    "ADD": _sum(1), "SUB": _sum(-1), "MUL": _product, "AVERAGE_POOL_2D": average, "DEQUANTIZE": _real,
    "QUANTIZE": _quantized, **{name: moves.ROWS[name] for name in BOUNDS},
}  # fmt: skip
"""By name; the zero point is always 0."""
