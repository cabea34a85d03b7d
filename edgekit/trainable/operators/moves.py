"""What moves values about: shapes, axes, slices, joins, borders."""

from collections.abc import Callable
from typing import Any

from edgekit.trainable.libraries import tf, tf_keras
from edgekit.trainable.operands import Call, NotLiftedError
from edgekit.trainable.operators.row import ALL_SLOTS, OperatorRow
from edgekit.trainable.stock import Stock, short


def _reshape(call: Call) -> Any:
    return call.reshaped(call.stacked(0))


def _reshape_layer(call: Call) -> Stock | None:
    shape = short(call.results[0].shape)
    return Stock(tf_keras.layers.Reshape(shape)) if shape else None


def _transpose(call: Call) -> Any:
    return tf.transpose(call.stacked(0), [*range(call.lead), *(call.axis(number) for number in call.ints(1))])


def _slice(call: Call) -> Any:
    begin, size = call.ints(1), call.ints(2)
    return tf.slice(call.stacked(0), [*[0] * call.lead, *begin], [*call.front, *size])


def _strided_slice(call: Call) -> Any:
    begin, end, strides = (call.ints(slot) for slot in (1, 2, 3))
    if call.options["offset"]:
        end = [start + size for start, size in zip(begin, end, strict=True)]
    masks = {
        name: call.options[key] << call.lead
        for name, key in (
            ("begin_mask", "beginMask"),
            ("end_mask", "endMask"),
            ("ellipsis_mask", "ellipsisMask"),
            ("new_axis_mask", "newAxisMask"),
            ("shrink_axis_mask", "shrinkAxisMask"),
        )
    }
    masks["begin_mask"] |= call.lead
    masks["end_mask"] |= call.lead
    front = [0] * call.lead
    return tf.strided_slice(call.stacked(0), front + begin, front + end, [1] * call.lead + strides, **masks)


def _split(call: Call) -> Any:
    return tf.split(call.stacked(1), call.options["numSplits"], call.axis(call.ints(0)[0], 1))


def _split_by_sizes(call: Call) -> Any:
    return tf.split(call.stacked(0), call.ints(1), call.axis(call.ints(2)[0]))


def _concatenation(call: Call) -> Any:
    parts = [call.stacked(slot) for slot in range(len(call.operands))]
    return tf.concat(parts, call.axis(call.options["axis"]))


def _concatenation_layer(call: Call) -> Stock | None:
    operands = [call.operand(slot) for slot in range(len(call.operands))]
    axis = call.axis(call.options["axis"]) - 1
    rows = all(operand.sampled and operand.shape[0] == 1 for operand in operands)
    if len(operands) < 2 or not rows or axis == 0:
        return None
    return Stock(tf_keras.layers.Concatenate(axis), given=tuple(range(len(operands))))


def _pack(call: Call) -> Any:
    rank = len(call.operand(0).shape) + 1
    parts = [call.stacked(slot) for slot in range(len(call.operands))]
    return tf.stack(parts, call.options["axis"] % rank + call.lead)


def _unpack(call: Call) -> Any:
    return tf.unstack(call.stacked(0), call.options["num"], call.axis(call.options["axis"]))


def _borders(call: Call) -> list[list[int]]:
    return [*[[0, 0]] * call.lead, *call.known(1).reshape(-1, 2).tolist()]


def _pad(call: Call) -> Any:
    value = tf.reshape(call.common(2), ()) if call.has(2) else 0
    return tf.pad(call.stacked(0), _borders(call), constant_values=value)


def _pad_layer(call: Call) -> Stock | None:
    """ZeroPadding2D of images."""
    source, (*outer, top, side, channels) = call.operand(0), call.known(1).reshape(-1, 2).tolist()
    images = source.sampled and len(outer) == 1 and source.shape[0] == 1 and outer == [[0, 0]] and channels == [0, 0]
    return Stock(tf_keras.layers.ZeroPadding2D((tuple(top), tuple(side)))) if images else None


def _mirror_pad(call: Call) -> Any:
    return tf.pad(call.stacked(0), _borders(call), "SYMMETRIC" if call.options["mode"] else "REFLECT")


def _tile(call: Call) -> Any:
    return tf.tile(call.stacked(0), [*[1] * call.lead, *call.ints(1)])


def _broadcast_to(call: Call) -> Any:
    values, shape = call.stacked(0), call.ints(1)
    if not call.sampled:
        return tf.broadcast_to(values, shape)
    wide = tf.reshape(values, [-1, *[1] * (len(shape) - len(call.operand(0).shape)), *call.operand(0).shape])
    return tf.broadcast_to(wide, tf.concat([[call.count()], shape], 0))


def _reverse(call: Call) -> Any:
    return tf.reverse(call.stacked(0), [call.axis(number) for number in call.ints(1)])


def _reverse_sequence(call: Call) -> Any:
    lengths = call.known(1)
    along, batch = call.axis(call.options["seqDim"]), call.axis(call.options["batchDim"])
    size = call.operand(0).shape[batch - call.lead]
    parts = tf.unstack(call.stacked(0), size, batch)
    along -= along > batch
    turned = [
        tf.concat([tf.reverse(head, [along]), tail], along)
        for head, tail in (
            tf.split(part, [int(length), part.shape[along] - int(length)], along)
            for part, length in zip(parts, lengths, strict=True)
        )
    ]
    return tf.stack(turned, batch)


def _blocks(function: Callable[..., Any]) -> Callable[[Call], Any]:
    def moved(call: Call) -> Any:
        shape = call.operand(0).shape
        return call.reshaped(function(tf.reshape(call.stacked(0), [-1, *shape[1:]]), call.options["blockSize"]))

    return moved


def _space_to_batch(call: Call) -> Any:
    """Of samples one by one: the file's batch grows, not that of the samples."""
    sizes, borders = call.ints(1), call.known(2).reshape(-1, 2).tolist()
    x = tf.pad(call.stacked(0), [*[[0, 0]] * (call.lead + 1), *borders, [0, 0]])
    batch, *space, channels = call.operand(0).shape
    space = [n + sum(border) for n, border in zip(space, borders, strict=True)]
    split = [part for n, block in zip(space, sizes, strict=True) for part in (n // block, block)]
    x = tf.reshape(x, [*call.front, batch, *split, channels])
    at, rank = call.lead, len(space)
    blocks = [at + 2 + 2 * axis for axis in range(rank)]
    places = [at + 1 + 2 * axis for axis in range(rank)]
    return call.reshaped(tf.transpose(x, [*range(at), *blocks, at, *places, at + 1 + 2 * rank]))


def _batch_to_space(call: Call) -> Any:
    sizes, crops = call.ints(1), call.known(2).reshape(-1, 2).tolist()
    batch, *space, channels = call.operand(0).shape
    rank, blocks = len(space), 1
    for size in sizes:
        blocks *= size
    x = tf.reshape(call.stacked(0), [*call.front, *sizes, batch // blocks, *space, channels])
    at = call.lead
    joined = [axis for number in range(rank) for axis in (at + rank + 1 + number, at + number)]
    x = tf.transpose(x, [*range(at), at + rank, *joined, at + 2 * rank + 1])
    whole = [n * size for n, size in zip(space, sizes, strict=True)]
    x = tf.reshape(x, [*call.front, batch // blocks, *whole, channels])
    kept = [slice(before, n - after) for n, (before, after) in zip(whole, crops, strict=True)]
    return x[(*[slice(None)] * (at + 1), *kept)]


def _shape(call: Call) -> Any:
    return tf.constant(call.operand(0).shape, call.results[0].dtype)


def _zeros_like(call: Call) -> Any:
    return tf.zeros(call.operand(0).shape, call.results[0].dtype)


def _filled(call: Call) -> Any:
    if not call.sampled:
        return tf.fill(call.ints(0), call.common(1))
    raise NotLiftedError("it fills with a value that depends on the input")


def _range(call: Call) -> Any:
    return tf.range(*(call.known(slot).reshape(()) for slot in range(3)))


ROWS = (
    OperatorRow("RESHAPE", _reshape, _reshape_layer),
    OperatorRow("SQUEEZE", _reshape, _reshape_layer),
    OperatorRow("EXPAND_DIMS", _reshape, _reshape_layer),
    OperatorRow("TRANSPOSE", _transpose),
    OperatorRow("SLICE", _slice),
    OperatorRow("STRIDED_SLICE", _strided_slice),
    OperatorRow("SPLIT", _split),
    OperatorRow("SPLIT_V", _split_by_sizes),
    OperatorRow("CONCATENATION", _concatenation, _concatenation_layer, learnable=ALL_SLOTS),
    OperatorRow("PACK", _pack),
    OperatorRow("UNPACK", _unpack),
    OperatorRow("PAD", _pad, _pad_layer),
    OperatorRow("PADV2", _pad),
    OperatorRow("MIRROR_PAD", _mirror_pad),
    OperatorRow("TILE", _tile),
    OperatorRow("BROADCAST_TO", _broadcast_to),
    OperatorRow("REVERSE_V2", _reverse),
    OperatorRow("REVERSE_SEQUENCE", _reverse_sequence),
    OperatorRow("SPACE_TO_DEPTH", _blocks(tf.nn.space_to_depth)),
    OperatorRow("DEPTH_TO_SPACE", _blocks(tf.nn.depth_to_space)),
    OperatorRow("SPACE_TO_BATCH_ND", _space_to_batch),
    OperatorRow("BATCH_TO_SPACE_ND", _batch_to_space),
    OperatorRow("SHAPE", _shape, of_shapes=True),
    OperatorRow("RANK", lambda call: tf.constant(len(call.operand(0).shape), tf.int32), of_shapes=True),
    OperatorRow("ZEROS_LIKE", _zeros_like, of_shapes=True),
    OperatorRow("FILL", _filled),
    OperatorRow("RANGE", _range),
)
