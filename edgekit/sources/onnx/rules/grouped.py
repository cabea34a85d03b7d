"""Microsoft's GroupQueryAttention, which exporters of language models write, by products and a softmax.

Several heads of queries share one of keys. Past keys and values lie at the beginning of a buffer that may be longer;
``seqlens_k`` tells for each batch where those of this run end. Only what ONNX Runtime's CPU kernel defines is
written: with as many rows as columns the past is empty, and new ones begin at the buffer's first place.

Source: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md, and ``GQAAttentionBase`` in
onnxruntime/contrib_ops/cpu/bert/gqa_attention_base.h, tried with ONNX Runtime 1.26.
"""

from dataclasses import dataclass

import numpy as np
import onnx

from edgekit.sources.onnx.network import Builder, attributes
from edgekit.sources.onnx.rules.attention import turn

HIDDEN = np.float32(-1e9)
"""What is added to the scores of keys that a row does not see."""

KNOWN = 12
"""Operands whose meaning is known here; those behind them scale quantized keys and values."""


@dataclass(frozen=True)
class _Sizes:
    """Of one attention: ``columns`` of keys are seen, ``held`` lie in the buffer that comes in."""

    batch: int
    rows: int
    columns: int
    held: int
    heads: int
    shared: int
    size: int

    @property
    def whole(self) -> int:
        """Columns of the buffer that goes out."""
        return max(self.held, self.columns)

    @property
    def first(self) -> bool:
        """Whether there is no past."""
        return self.rows == self.columns


def grouped_query(builder: Builder, node: onnx.NodeProto) -> bool:
    """GroupQueryAttention with a number of columns that is known."""
    operands = [*node.input, *[""] * 14][: max(14, len(node.input))]
    told, sizes = attributes(node), _sizes(builder, node, operands)
    quantized = any(told.get(name) not in {None, "NONE", b"NONE"} for name in ("k_quant_type", "v_quant_type"))
    if sizes is None or quantized or any(operands[KNOWN:]) or any(node.output[3:]) or told.get("qk_output"):
        return False
    start = "" if sizes.first else _start(builder, operands[5], sizes)
    queries, keys, values = _by_head(builder, operands, sizes)
    if told.get("do_rotary"):
        tables, pairs = operands[7:9], bool(told.get("rotary_interleaved"))
        positions = operands[9] or _positions(builder, start, sizes)
        shape = sizes.batch, sizes.rows, sizes.size
        queries, keys = (turn(builder, one, positions, tables, shape, interleaved=pairs) for one in (queries, keys))
    kept = [_kept(builder, old, new, start, sizes) for old, new in zip(operands[3:5], (keys, values), strict=True)]
    _attend(builder, node, [queries, *kept], (start, *operands[10:12]), sizes)
    for made, name in zip(kept, node.output[1:], strict=False):
        if name:
            builder.same(made, name)
    return True


def _sizes(builder: Builder, node: onnx.NodeProto, operands: list[str]) -> _Sizes | None:
    """None if a shape is not known, or the number of columns is computed."""
    told, query = attributes(node), builder.network.shape(operands[0])
    past = builder.network.shape(operands[3]) if operands[3] else ()
    columns = builder.network.constants.get(operands[6])
    if query is None or len(query) != 3 or past is None or columns is None or bool(operands[1]) != bool(operands[2]):
        return None
    heads, shared = told["num_heads"], told["kv_num_heads"]
    size = query[2] // (heads if operands[1] else heads + 2 * shared)
    rows, seen = query[1], int(np.asarray(columns).ravel()[0])
    if bool(operands[3]) != bool(operands[4]) or seen < rows or (seen > rows and not past):
        return None
    return _Sizes(query[0], rows, seen, past[2] if past else 0, heads, shared, size)


def _start(builder: Builder, ends: str, sizes: _Sizes) -> str:
    """How many columns of the past there are, ``[batch, 1]``; "" if that is no more than what the shapes say.

    ``ends`` are the last columns of each batch.
    """
    told = builder.network.constants.get(ends)
    if told is not None and sizes.held == sizes.columns - sizes.rows and (np.asarray(told) == sizes.columns - 1).all():
        return ""
    last = builder.op("Cast", builder.reshape(ends, [sizes.batch, 1]), to=onnx.TensorProto.INT64)
    return builder.op("Sub", last, builder.const(np.int64(sizes.rows - 1)))


def _by_head(builder: Builder, operands: list[str], sizes: _Sizes) -> list[str]:
    """Queries ``[batch, heads, rows, size]``, keys and values ``[batch, shared, rows, size]``."""
    heads = [sizes.heads, sizes.shared, sizes.shared]
    parts = operands[:3] if operands[1] else builder.split(operands[0], 2, [n * sizes.size for n in heads])
    return [
        builder.transpose(builder.reshape(part, [sizes.batch, sizes.rows, n, sizes.size]), [0, 2, 1, 3])
        for part, n in zip(parts, heads, strict=True)
    ]


def _positions(builder: Builder, start: str, sizes: _Sizes) -> str:
    """Positions of the rows, ``[batch, rows]``."""
    past = 0 if sizes.first else sizes.columns - sizes.rows
    if start:
        return builder.op("Add", start, builder.const(np.arange(sizes.rows)[None], np.int64))
    return builder.const(np.arange(past, past + sizes.rows)[None].repeat(sizes.batch, 0), np.int64)


def _kept(builder: Builder, old: str, new: str, start: str, sizes: _Sizes) -> str:
    """The buffer with new columns in their place, and 0 behind them: ``[batch, shared, whole, size]``."""
    if sizes.first and sizes.whole == sizes.rows:
        return new
    if not start and not sizes.first:
        return builder.op("Concat", old, new, axis=2)
    if sizes.first:
        behind = np.zeros((sizes.batch, sizes.shared, sizes.whole - sizes.rows, sizes.size), np.float32)
        return builder.op("Concat", new, builder.const(behind), axis=2)
    both = builder.op("Concat", old, new, axis=2)
    if sizes.batch == 1:
        return _placed(builder, both, start, sizes)
    parts = zip(builder.split(both, 0, [1] * sizes.batch), builder.split(start, 0, [1] * sizes.batch), strict=True)
    return builder.op("Concat", *(_placed(builder, part, begin, sizes) for part, begin in parts), axis=0)


def _placed(builder: Builder, both: str, start: str, sizes: _Sizes) -> str:
    """Of an old buffer and new columns behind it, the latter at ``start``, and 0 behind them."""
    places = builder.const(np.arange(sizes.whole), np.int64)
    since = builder.op("Sub", places, builder.reshape(start, [1]))
    moved = builder.op("Add", since, builder.const(np.int64(sizes.held)))
    moved = builder.op("Min", moved, builder.const(np.int64(sizes.held + sizes.rows - 1)))
    past = builder.op("Less", since, builder.const(np.int64(0)))
    taken = builder.op("Gather", both, builder.op("Where", past, places, moved), axis=2)
    within = builder.op(
        "Cast", builder.op("Less", since, builder.const(np.int64(sizes.rows))), to=onnx.TensorProto.FLOAT
    )
    return builder.op("Mul", taken, builder.reshape(within, [1, 1, sizes.whole, 1]))


def _mask(builder: Builder, start: str, sizes: _Sizes, window: int) -> str:
    """What is added to scores: `HIDDEN` for columns that are later than a row's own, or before its window."""
    ahead = np.arange(sizes.columns)[None] - np.arange(sizes.rows)[:, None]
    if not start:
        ahead = ahead - (sizes.columns - sizes.rows)
        return builder.const(
            np.where((ahead > 0) | ((window >= 0) & (ahead <= -window)), HIDDEN, np.float32(0))[None, None]
        )
    past = builder.reshape(builder.op("Cast", start, to=onnx.TensorProto.FLOAT), [sizes.batch, 1, 1, 1])
    distance = builder.op("Sub", builder.const(ahead[None, None], np.float32), past)
    hidden = builder.op("Greater", distance, builder.const(np.float32(0)))
    if window >= 0:
        hidden = builder.op("Or", hidden, builder.op("LessOrEqual", distance, builder.const(np.float32(-window))))
    return builder.op("Mul", builder.op("Cast", hidden, to=onnx.TensorProto.FLOAT), builder.const(HIDDEN))


def _attend(
    builder: Builder, node: onnx.NodeProto, parts: list[str], what: tuple[str, str, str], sizes: _Sizes
) -> None:
    """softmax(queries · keysᵀ · scale + mask) · values, under the node's output name.

    ``what`` are starts, a bias of the scores and sinks of the heads, "" if there are none. Heads that share keys
    become rows of one product.
    """
    told, (start, bias, sinks) = attributes(node), what
    stacked = [sizes.batch, sizes.shared, sizes.heads // sizes.shared * sizes.rows]
    by_head = [sizes.batch, sizes.heads, sizes.rows]
    keys, values = (
        builder.slice(part, 2, 0, sizes.columns) if sizes.columns < sizes.whole else part for part in parts[1:]
    )
    scale = builder.const(np.float32(told.get("scale") or sizes.size**-0.5))
    queries = builder.reshape(builder.op("Mul", parts[0], scale), [*stacked, sizes.size])
    scores = builder.op("MatMul", queries, builder.transpose(keys, [0, 1, 3, 2]))
    scores = builder.reshape(scores, [*by_head, sizes.columns])
    if cap := told.get("softcap"):
        bounded = builder.op("Tanh", builder.op("Mul", scores, builder.const(np.float32(1 / cap))))
        scores = builder.op("Mul", bounded, builder.const(np.float32(cap)))
    if bias:
        scores = builder.op("Add", scores, bias)
    scores = builder.op("Add", scores, _mask(builder, start, sizes, told.get("local_window_size", -1)))
    shares = _shares(builder, scores, sinks, sizes, smooth=told.get("smooth_softmax") == 1)
    mixed = builder.op("MatMul", builder.reshape(shares, [*stacked, sizes.columns]), values)
    mixed = builder.transpose(builder.reshape(mixed, [*by_head, sizes.size]), [0, 2, 1, 3])
    builder.reshape(mixed, [sizes.batch, sizes.rows, sizes.heads * sizes.size], out=node.output[0])


def _shares(builder: Builder, scores: str, sinks: str, sizes: _Sizes, *, smooth: bool) -> str:
    """A softmax, with one more column, which nothing is taken from, if there are sinks or it is ``smooth``."""
    if not sinks and not smooth:
        return builder.op("Softmax", scores, axis=-1)
    level = (
        builder.reshape(sinks, [1, sizes.heads, 1, 1]) if sinks else builder.const(np.zeros((1, 1, 1, 1), np.float32))
    )
    column = builder.op("Expand", level, builder.const([sizes.batch, sizes.heads, sizes.rows, 1], np.int64))
    wider = builder.op("Softmax", builder.op("Concat", scores, column, axis=-1), axis=-1)
    return builder.slice(wider, 3, 0, sizes.columns)
