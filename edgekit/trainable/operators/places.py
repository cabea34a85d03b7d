"""What reads and writes at places: look-ups, scattering, resizing."""

from typing import Any

from edgekit.trainable.libraries import tf
from edgekit.trainable.operands import Call
from edgekit.trainable.operators.convolutions import images
from edgekit.trainable.operators.row import OperatorRow


def _gather(call: Call) -> Any:
    source, indices = call.operand(0), call.operand(1)
    axis, batch = call.options["axis"], call.options["batchDims"]
    axis %= max(1, len(source.shape))
    if not indices.sampled and not batch:
        return tf.gather(call.stacked(0), call.common(1), axis=axis + call.lead)
    if not source.sampled and not batch and axis == 0:
        return tf.gather(call.common(0), call.stacked(1))
    return tf.gather(call.stacked(0), call.stacked(1), axis=axis + call.lead, batch_dims=batch + call.lead)


def _look_up(call: Call) -> Any:
    """Indices first, then the table (TFLite, ``embedding_lookup.cc``)."""
    return tf.gather(call.common(1), call.stacked(0))


def _gather_nd(call: Call) -> Any:
    return tf.gather_nd(call.stacked(0), call.stacked(1), batch_dims=call.lead)


def _scatter_nd(call: Call) -> Any:
    shape = call.ints(2)
    indices, updates = call.stacked(0), call.stacked(1)
    if not call.sampled:
        return tf.scatter_nd(indices, updates, shape)
    size = call.operand(0).shape
    sample = tf.reshape(tf.range(call.count()), [-1, *[1] * len(size)])
    sample = tf.broadcast_to(sample, tf.concat([[call.count()], size[:-1], [1]], 0))
    whole = tf.concat([tf.cast(sample, indices.dtype), indices], -1)
    return tf.scatter_nd(whole, updates, tf.cast(tf.concat([[call.count()], shape], 0), indices.dtype))


def _one_hot(call: Call) -> Any:
    depth = call.ints(1)[0]
    rank = len(call.operand(0).shape) + 1
    axis = call.options["axis"] % rank + call.lead
    on, off = (tf.reshape(call.common(slot), ()) for slot in (2, 3))
    return tf.one_hot(call.stacked(0), depth, on, off, axis=axis, dtype=on.dtype)


def _update_slice(call: Call) -> Any:
    begin, size = call.ints(2), call.operand(1).shape
    whole = call.operand(0).shape
    begin = [max(0, min(at, n - m)) for at, n, m in zip(begin, whole, size, strict=True)]
    around = [
        *[[0, 0]] * call.lead,
        *([at, n - at - m] for at, n, m in zip(begin, whole, size, strict=True)),
    ]
    update = call.stacked(1)
    inside = tf.pad(tf.ones(size, tf.bool), around[call.lead :])
    return tf.where(inside, tf.pad(update, around), call.stacked(0))


def _resized(function: Any) -> Any:
    def resized(call: Call) -> Any:
        size, options = call.ints(1), call.options
        corners, centers = bool(options["alignCorners"]), bool(options["halfPixelCenters"])
        return images(call, lambda x: function(images=x, size=size, align_corners=corners, half_pixel_centers=centers))

    return resized


def _spectrum(call: Call) -> Any:
    return tf.signal.rfft2d(call.stacked(0), call.ints(1))


ROWS = (
    OperatorRow("GATHER", _gather, learnable=(0,)),
    OperatorRow("EMBEDDING_LOOKUP", _look_up, weights=(1,)),
    OperatorRow("GATHER_ND", _gather_nd, learnable=(0,)),
    OperatorRow("SCATTER_ND", _scatter_nd),
    OperatorRow("ONE_HOT", _one_hot, differentiable=False),
    OperatorRow("DYNAMIC_UPDATE_SLICE", _update_slice),
    OperatorRow("RESIZE_BILINEAR", _resized(tf.raw_ops.ResizeBilinear)),
    OperatorRow("RESIZE_NEAREST_NEIGHBOR", _resized(tf.raw_ops.ResizeNearestNeighbor)),
    OperatorRow("RFFT2D", _spectrum),
    OperatorRow("COMPLEX_ABS", lambda call: tf.abs(call.stacked(0))),
    OperatorRow("REAL", lambda call: tf.math.real(call.stacked(0))),
    OperatorRow("IMAG", lambda call: tf.math.imag(call.stacked(0))),
)
