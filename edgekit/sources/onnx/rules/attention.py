"""Microsoft's contributed attention, which ONNX Runtime's transformer optimizer writes, by products and a softmax.

Source of the operands and of what masks mean:
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md, and ``PrepareMask`` in
onnxruntime/contrib_ops/cpu/bert/attention_helper.h.
"""

from dataclasses import dataclass, replace

import numpy as np
import onnx

from edgekit.sources.onnx.network import Builder, attributes

FILTER = -10000.0
"""What is added to the scores of masked positions, if no attribute says otherwise."""


@dataclass(frozen=True)
class _Sizes:
    """Of one attention: ``wide`` for queries and keys, ``narrow`` for values; ``past`` columns come before the others.

    ``kept`` holds past keys and values ``[batch, heads, past, size]``, if there are any.
    """

    batch: int
    rows: int
    columns: int
    wide: int
    narrow: int
    past: int = 0
    kept: tuple[str, ...] = ()


def attention(builder: Builder, node: onnx.NodeProto) -> bool:
    """Attention: one product gives queries, keys and values; keys and values of the past are one tensor."""
    x, weights, bias, mask, past, extra, *shared = [*node.input, *[""] * 7][:7]
    told, shape, held = attributes(node), builder.network.shape(x), builder.network.shape(weights)
    before = builder.network.shape(past) if past else None
    if shape is None or held is None or any(shared) or told.get("do_rotary") or bool(past) != (before is not None):
        return False
    wide, _, narrow = told.get("qkv_hidden_sizes") or [held[-1] // 3] * 3
    sizes = _Sizes(shape[0], shape[1], shape[1], wide, narrow, before[3] if before else 0)
    masks = _masks(builder, node, mask, sizes)
    if masks is None:
        return False
    joined = builder.op("MatMul", x, weights)
    joined = builder.op("Add", joined, bias) if bias else joined
    if before:
        kept = [builder.reshape(part, [before[1], *before[2:]]) for part in builder.split(past, 0, [1, 1])]
        sizes = replace(sizes, kept=tuple(kept))
    present = _attend(builder, node, builder.split(joined, 2, [wide, wide, narrow]), sizes, [*masks, extra])
    if any(node.output[1:]):
        leading = builder.const([0], np.int64)
        stacked = [builder.op("Unsqueeze", value, leading) for value in present]
        builder.op("Concat", *stacked, axis=0, out=node.output[1])
    return True


def multi_head(builder: Builder, node: onnx.NodeProto) -> bool:
    """MultiHeadAttention of queries, keys and values that were projected before, the latter two perhaps by head."""
    query, key, value, bias, mask, extra, *kept = [*node.input, *[""] * 10][:10]
    shapes = [builder.network.shape(name) if name else None for name in (query, key, value)]
    before = builder.network.shape(kept[0]) if kept[0] else None
    if any(kept[2:]) or any(node.output[3:]) or not bool(kept[0]) == bool(kept[1]) == (before is not None):
        return False
    if any(shape is None or len(shape) not in {3, 4} for shape in shapes):
        return False
    (batch, rows, wide), keys, values = (shape for shape in shapes if shape is not None)
    if len(keys) != len(values) or (len(keys) == 4 and bias):
        return False
    narrow = values[1] * values[3] if len(values) == 4 else values[2]
    sizes = _Sizes(batch, rows, keys[-2], wide, narrow, before[2] if before else 0, tuple(filter(None, kept)))
    masks = _masks(builder, node, mask, sizes)
    if masks is None:
        return False
    parts = [query, key, value]
    if bias:
        biases = builder.split(bias, 0, [wide, wide, narrow])
        parts = [builder.op("Add", *pair) for pair in zip(parts, biases, strict=True)]
    present = _attend(builder, node, parts, sizes, [*masks, extra])
    for name, made in zip(node.output[1:], present, strict=False):
        if name:
            builder.same(made, name)
    return True


def rotary(builder: Builder, node: onnx.NodeProto) -> bool:
    """RotaryEmbedding: pairs of values turn by the angles of their positions.

    Source: ``RunRotaryEmbedding`` in onnxruntime/contrib_ops/cpu/bert/rotary_embedding.cc.
    """
    x, positions, cosines, sines = node.input[:4]
    told, shape, held = attributes(node), builder.network.shape(x), builder.network.shape(cosines)
    places = builder.network.shape(positions)
    if shape is None or held is None or places is None or told.get("is_packed_batching"):
        return False
    batch, rows = (shape[0], shape[2]) if len(shape) == 4 else shape[:2]
    size = shape[3] if len(shape) == 4 else shape[2] // (told.get("num_heads") or shape[2] // (2 * held[1]))
    by_head = x if len(shape) == 4 else builder.transpose(builder.reshape(x, [batch, rows, -1, size]), [0, 2, 1, 3])
    if places != (batch, rows):  # the first position
        steps = builder.const(np.arange(rows).reshape(1, -1), np.int64)
        positions = builder.op("Add", builder.reshape(positions, [-1, 1]), steps)
    whole = turn(
        builder, by_head, positions, [cosines, sines], (batch, rows, size), interleaved=bool(told.get("interleaved"))
    )
    if len(shape) == 3:
        whole = builder.reshape(builder.transpose(whole, [0, 2, 1, 3]), list(shape))
    builder.same(whole, node.output[0])
    return True


def turn(
    builder: Builder,
    by_head: str,
    positions: str,
    tables: list[str],
    sizes: tuple[int, int, int],
    *,
    interleaved: bool,
) -> str:
    """Values ``[batch, heads, rows, size]`` turned by the angles of positions ``[batch, rows]``, or ``[1, rows]``.

    Args:
        builder: takes the nodes.
        by_head: the values; those beyond twice the tables' width stay.
        positions: rows of the tables.
        tables: cosines and sines.
        sizes: batch, rows and size.
        interleaved: pairs are neighbours, else from either half.
    """
    batch, rows, size = sizes
    turned = 2 * (builder.network.shape(tables[0]) or (0, 0))[1]
    angles = [builder.op("Gather", table, positions, axis=0) for table in tables]
    cosine, sine = (builder.reshape(angle, [-1, 1, rows, turned // 2]) for angle in angles)
    moving, *still = builder.split(by_head, 3, [turned, size - turned]) if turned < size else [by_head]
    even, odd = _halves(builder, moving, (batch, rows, turned), interleaved=interleaved)
    first = builder.op("Sub", builder.op("Mul", even, cosine), builder.op("Mul", odd, sine))
    second = builder.op("Add", builder.op("Mul", even, sine), builder.op("Mul", odd, cosine))
    found = [first, second]
    if interleaved:
        last = builder.const([-1], np.int64)
        pairs = builder.op("Concat", *(builder.op("Unsqueeze", part, last) for part in found), axis=-1)
        found = [builder.reshape(pairs, [batch, -1, rows, turned])]
    return builder.op("Concat", *found, *still, axis=3) if len([*found, *still]) > 1 else found[0]


def _halves(builder: Builder, value: str, sizes: tuple[int, int, int], *, interleaved: bool) -> list[str]:
    """The two values of every pair: neighbours if ``interleaved``, else from either half."""
    batch, rows, turned = sizes
    if not interleaved:
        return builder.split(value, 3, [turned // 2, turned // 2])
    pairs = builder.reshape(value, [batch, -1, rows, turned // 2, 2])
    return [builder.reshape(part, [batch, -1, rows, turned // 2]) for part in builder.split(pairs, 4, [1, 1])]


def _masks(builder: Builder, node: onnx.NodeProto, mask: str, sizes: _Sizes) -> list[str] | None:
    """What is added to scores ``[batch, heads, rows, columns]``; None if the mask is of a form not known here."""
    told, batch, rows, columns = attributes(node), sizes.batch, sizes.rows, sizes.past + sizes.columns
    value, found = np.float32(told.get("mask_filter_value", FILTER)), []
    shape = builder.network.shape(mask) if mask else ()
    shapes = {(batch, columns): (batch, 1, 1, columns), (batch, rows, columns): (batch, 1, rows, columns)}
    lengths = {(batch,), (2 * batch,), (3 * batch + 2,)}
    if shape is None or (mask and shape not in {*shapes, *lengths}):
        return None
    if mask and shape in lengths:
        found.append(_hidden(builder, _between(builder, mask, batch, columns, starts=shape == (2 * batch,)), value))
    elif mask:
        flags = builder.op("Greater", builder.op("Cast", mask, to=onnx.TensorProto.FLOAT), builder.const(np.float32(0)))
        found.append(_hidden(builder, builder.reshape(flags, shapes[shape]), value))
    if told.get("unidirectional"):
        later = np.triu(np.ones((rows, columns), np.float32), columns - rows + 1)
        found.append(builder.const(later[None, None] * np.finfo(np.float32).min))
    return found


def _between(builder: Builder, mask: str, batch: int, columns: int, *, starts: bool) -> str:
    """Flags of columns before the ends that a mask begins with, and not before the starts that follow them, if any.

    Of a mask of 3·batch + 2 numbers ONNX Runtime's CPU kernel reads the first ones, too, which are ends.
    """
    places = builder.const(np.arange(columns, dtype=np.float32).reshape(1, 1, 1, -1))
    numbers = builder.op("Cast", mask, to=onnx.TensorProto.FLOAT)
    ends = builder.reshape(builder.slice(numbers, 0, 0, batch), [batch, 1, 1, 1])
    flags = builder.op("Less", places, ends)
    if not starts:
        return flags
    begin = builder.reshape(builder.slice(numbers, 0, batch, 2 * batch), [batch, 1, 1, 1])
    return builder.op("And", flags, builder.op("GreaterOrEqual", places, begin))


def _hidden(builder: Builder, flags: str, value: np.float32) -> str:
    """0 where a flag is set, and ``value`` elsewhere."""
    seen = builder.op("Cast", flags, to=onnx.TensorProto.FLOAT)
    return builder.op("Mul", builder.op("Sub", builder.const(np.float32(1)), seen), builder.const(value))


def _attend(
    builder: Builder, node: onnx.NodeProto, parts: list[str], sizes: _Sizes, masks: list[str]
) -> tuple[str, str]:
    """softmax(queries · keysᵀ · scale + masks) · values, head by head, under the node's output name.

    Returns:
        Keys and values ``[batch, heads, columns, size]``, those of the past first.
    """
    told, heads = attributes(node), attributes(node)["num_heads"]

    def by_head(value: str, length: int, size: int) -> str:
        """``[batch, length, heads * size]`` as ``[batch, heads, length, size]``; one of four axes is that already."""
        if len(builder.network.shape(value) or ()) == 4:
            return value
        return builder.transpose(builder.reshape(value, [sizes.batch, length, heads, size // heads]), [0, 2, 1, 3])

    queries = by_head(parts[0], sizes.rows, sizes.wide)
    keys, values = (
        by_head(part, sizes.columns, size) for part, size in zip(parts[1:], (sizes.wide, sizes.narrow), strict=True)
    )
    if sizes.kept:
        keys, values = (
            builder.op("Concat", old, new, axis=2) for old, new in zip(sizes.kept, (keys, values), strict=True)
        )
    scale = builder.const(np.float32(told.get("scale") or (sizes.wide / heads) ** -0.5))
    scores = builder.op("Mul", builder.op("MatMul", queries, builder.transpose(keys, [0, 1, 3, 2])), scale)
    for mask in filter(None, masks):
        scores = builder.op("Add", scores, mask)
    mixed = builder.op("MatMul", builder.op("Softmax", scores, axis=-1), values)
    joined = builder.transpose(mixed, [0, 2, 1, 3])
    builder.reshape(joined, [sizes.batch, sizes.rows, sizes.narrow], out=node.output[0])
    return keys, values
