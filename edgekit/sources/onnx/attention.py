"""Microsoft's contributed attention, which ONNX Runtime's transformer optimizer writes, by products and a softmax.

Source of the operands and of what masks mean:
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md, and ``PrepareMask`` in
onnxruntime/contrib_ops/cpu/bert/attention_helper.h.
"""

from typing import Any

import numpy as np
import onnx

from edgekit.sources.onnx.network import Builder, attributes

FILTER = -10000.0
"""What is added to the scores of masked positions, if no attribute says otherwise."""


def attention(builder: Builder, node: onnx.NodeProto) -> bool:
    """Attention: one product gives queries, keys and values."""
    x, weights, bias, mask, past, extra = [*node.input, *[""] * 6][:6]
    told, shape, held = attributes(node), builder.network.shape(x), builder.network.shape(weights)
    if shape is None or held is None or past or told.get("do_rotary") or any(node.output[1:]):
        return False
    masks = _masks(builder, node, mask, (shape[0], shape[1], shape[1]))
    if masks is None:
        return False
    joined = builder.op("MatMul", x, weights)
    joined = builder.op("Add", joined, bias) if bias else joined
    sizes = told.get("qkv_hidden_sizes") or [held[-1] // 3] * 3
    _attend(builder, node, builder.split(joined, 2, sizes), ((shape[0], shape[1], shape[1]), sizes, [*masks, extra]))
    return True


def multi_head(builder: Builder, node: onnx.NodeProto) -> bool:
    """MultiHeadAttention of queries, keys and values that were projected before."""
    query, key, value, bias, mask, extra, *past = [*node.input, *[""] * 8][:8]
    shapes = [builder.network.shape(name) if name else None for name in (query, key, value)]
    if any(shape is None or len(shape) != 3 for shape in shapes) or any(past) or any(node.output[1:]):
        return False
    (batch, rows, wide), (_, columns, _), (_, _, narrow) = (shape for shape in shapes if shape is not None)
    masks = _masks(builder, node, mask, (batch, rows, columns))
    if masks is None:
        return False
    parts = [query, key, value]
    if bias:
        biases = builder.split(bias, 0, [wide, wide, narrow])
        parts = [builder.op("Add", *pair) for pair in zip(parts, biases, strict=True)]
    _attend(builder, node, parts, ((batch, rows, columns), [wide, wide, narrow], [*masks, extra]))
    return True


def _masks(builder: Builder, node: onnx.NodeProto, mask: str, sizes: tuple[int, int, int]) -> list[str] | None:
    """What is added to scores ``[batch, heads, rows, columns]``; None if the mask is of a form not known here."""
    told, (batch, rows, columns) = attributes(node), sizes
    value, found = np.float32(told.get("mask_filter_value", FILTER)), []
    shape = builder.network.shape(mask) if mask else ()
    shapes = {(batch, columns): (batch, 1, 1, columns), (batch, rows, columns): (batch, 1, rows, columns)}
    if shape is None or (mask and shape not in {*shapes, (batch,)}):
        return None
    if mask and shape == (batch,):  # how many columns there are
        places = builder.const(np.arange(columns, dtype=np.float32).reshape(1, 1, 1, -1))
        lengths = builder.reshape(builder.op("Cast", mask, to=onnx.TensorProto.FLOAT), [batch, 1, 1, 1])
        flags = builder.op("Less", places, lengths)
        found.append(_hidden(builder, flags, value))
    elif mask:
        flags = builder.op("Greater", builder.op("Cast", mask, to=onnx.TensorProto.FLOAT), builder.const(np.float32(0)))
        found.append(_hidden(builder, builder.reshape(flags, shapes[shape]), value))
    if told.get("unidirectional"):
        later = np.triu(np.ones((rows, columns), np.float32), columns - rows + 1)
        found.append(builder.const(later[None, None] * np.finfo(np.float32).min))
    return found


def _hidden(builder: Builder, flags: str, value: np.float32) -> str:
    """0 where a flag is set, and ``value`` elsewhere."""
    seen = builder.op("Cast", flags, to=onnx.TensorProto.FLOAT)
    return builder.op("Mul", builder.op("Sub", builder.const(np.float32(1)), seen), builder.const(value))


def _attend(
    builder: Builder, node: onnx.NodeProto, parts: list[str], shapes: tuple[tuple[int, int, int], Any, list[str]]
) -> None:
    """softmax(queries · keysᵀ · scale + masks) · values, head by head, under the node's output name."""
    (batch, rows, columns), (wide, _, narrow), masks = shapes
    told = attributes(node)
    heads = told["num_heads"]

    def by_head(value: str, length: int, size: int, order: list[int]) -> str:
        return builder.transpose(builder.reshape(value, [batch, length, heads, size // heads]), order)

    queries = by_head(parts[0], rows, wide, [0, 2, 1, 3])
    keys = by_head(parts[1], columns, wide, [0, 2, 3, 1])
    values = by_head(parts[2], columns, narrow, [0, 2, 1, 3])
    scale = builder.const(np.float32(told.get("scale") or (wide / heads) ** -0.5))
    scores = builder.op("Mul", builder.op("MatMul", queries, keys), scale)
    for mask in filter(None, masks):
        scores = builder.op("Add", scores, mask)
    mixed = builder.op("MatMul", builder.op("Softmax", scores, axis=-1), values)
    builder.reshape(builder.transpose(mixed, [0, 2, 1, 3]), [batch, rows, narrow], out=node.output[0])
