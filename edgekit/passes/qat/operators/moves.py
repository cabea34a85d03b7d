"""Operators that move integers about and leave them as they are, and those that bring them onto another grid."""

from typing import Any

import numpy as np

from edgekit.passes.qat.call import BOUNDS, IntegerCall, IntegerFunction, bounds
from edgekit.passes.qat.rounding import by_byte, fixed_point, onto, through
from edgekit.trainable.computing import compute
from edgekit.trainable.libraries import tf
from edgekit.trainable.operators.convolutions import images
from edgekit.waist.tensors import Array


def moved(step: IntegerCall) -> Any:
    """The same integers at other places."""
    made = [operand.values for operand in compute(step.call, fused=False)]
    return made[0] if len(made) == 1 else made


def _padded(step: IntegerCall) -> Any:
    """What is added around is 0, which the zero point stands for."""
    (made,) = compute(step.ready({0: step.zeroed(0)}), fused=False)
    return made.values + step.grid(0).zero_point


def _requantized(step: IntegerCall) -> Any:
    """From float32, or from another grid by a factor of 8 bits behind the point (XNNPACK, ``qs8_vcvt``)."""
    x, made = step.call.stacked(0), step.result
    if step.read[0] is None:
        return step.onto(x / made.scale, tf.round(x * (1.0 / made.scale)))
    x, ratio = step.centred(0), step.grid(0).scale / made.scale
    return step.onto(x * ratio, by_byte(tf.cast(x, tf.int32), ratio))


def _real(step: IntegerCall) -> Any:
    return step.grid(0).real(step.call.stacked(0))


def _clipped(low: float | None, high: float | None) -> IntegerFunction:
    """RELU and its siblings, onto another grid by LiteRT's own fixed point (TFLite, ``ReluX``)."""

    def made(step: IntegerCall) -> Any:
        x, grid, result = step.centred(0), step.grid(0), step.result
        ratio = grid.scale / result.scale
        exact = fixed_point(tf.cast(x, tf.int64), tf.cast(grid.scale, tf.float64) / tf.cast(result.scale, tf.float64))
        return onto(result, x * ratio, exact, bounds(result, low, high))

    return made


def _resized(step: IntegerCall) -> Any:
    """Between four neighbours, with weights of 11 bits (XNNPACK, ``s8_ibilinear``)."""
    options, size = step.call.options, step.call.ints(1)
    corners, centers = bool(options["alignCorners"]), bool(options["halfPixelCenters"])

    def resized(x: Any) -> Any:
        """Images ``[N, H, W, C]`` of integers as floats, to ``[N, *size, C]``."""
        rows, columns = (
            _between(x.shape[axis], made, corners=corners, centers=centers)
            for axis, made in zip((1, 2), size, strict=True)
        )
        smooth = tf.raw_ops.ResizeBilinear(images=x, size=size, align_corners=corners, half_pixel_centers=centers)
        integers = tf.cast(x, tf.int32)
        upper, lower = (tf.gather(integers, rows[side], axis=1) for side in (0, 1))
        wide = [_mixed(half, columns, 2) for half in (upper, lower)]
        down = tf.constant(rows[2].reshape(-1, 1, 1))
        total = wide[0] * (1 << 11) + (wide[1] - wide[0]) * down + (1 << 21)
        return through(tf.bitwise.right_shift(total, 22), smooth)

    return images(step.call, resized)


def _mixed(values: Any, places: tuple[Array, Array, Array], axis: int) -> Any:
    left, right = (tf.gather(values, places[side], axis=axis) for side in (0, 1))
    return left * (1 << 11) + (right - left) * tf.constant(places[2].reshape(-1, 1))


def _between(before: int, after: int, *, corners: bool, centers: bool) -> tuple[Array, Array, Array]:
    """For each place of the result its neighbours, and how far it lies towards the second, in 1/2048; in float32."""
    f32 = np.float32
    scale = f32(before - 1) / f32(after - 1) if corners and after > 1 else f32(before) / f32(after)
    half = f32(0.5 if centers else 0)
    places = np.clip((np.arange(after, dtype=f32) + half) * scale - half, 0, before - 1).astype(f32)
    first = places.astype(np.int32)
    share = np.rint((places - first.astype(f32)) * f32(2048)).astype(np.int32)
    return first, np.minimum(first + 1, before - 1), share


MOVES = (
    "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "SPLIT", "SPLIT_V",
    "CONCATENATION", "PACK", "UNPACK", "MIRROR_PAD", "TILE", "BROADCAST_TO", "REVERSE_V2", "SPACE_TO_DEPTH",
    "DEPTH_TO_SPACE", "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", "GATHER", "GATHER_ND", "MAX_POOL_2D",
    "RESIZE_NEAREST_NEIGHBOR", "PADV2", "REDUCE_MAX", "REDUCE_MIN", "MAXIMUM", "MINIMUM", "SELECT", "SELECT_V2",
    "DYNAMIC_UPDATE_SLICE", "REVERSE_SEQUENCE", "EQUAL", "NOT_EQUAL",
)  # fmt: skip

ROWS: dict[str, IntegerFunction] = dict.fromkeys(MOVES, moved) | {
    "PAD": _padded, "SPACE_TO_BATCH_ND": _padded, "QUANTIZE": _requantized, "DEQUANTIZE": _real,
    "RESIZE_BILINEAR": _resized,
    **{name: _clipped(*limits) for name, limits in BOUNDS.items()},
}  # fmt: skip
"""What moves integers, and what brings them onto another grid."""

SHARING = frozenset({*MOVES, "PAD", "RESIZE_BILINEAR", "AVERAGE_POOL_2D"})
"""Operators whose operands and results stand on one grid."""
