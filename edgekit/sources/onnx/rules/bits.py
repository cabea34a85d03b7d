"""Bits of integers, of which TFLite combines no others than those of an exclusive or."""

from typing import Any

import numpy as np
import onnx

from edgekit.sources.onnx.network import Builder

HALF = 1 << 16
"""Of 32 bits: what is below it, and how often it goes into the rest, add up without an overflow."""


def inverted(builder: Builder, node: onnx.NodeProto) -> bool:
    """BitwiseNot as an exclusive or with all bits."""
    dtype = builder.network.dtype(node.input[0])
    if dtype is None:
        return False
    builder.op("BitwiseXor", node.input[0], builder.const(~np.zeros((), dtype)), out=node.output[0])
    return True


def combined(builder: Builder, node: onnx.NodeProto) -> bool:
    """BitwiseAnd and BitwiseOr by sums: a + b = (a xor b) + 2 (a and b), and (a or b) = (a xor b) + (a and b).

    All in int32: what is narrower whole, int32 in two halves. Of int64 only an ``and`` with a constant of 31 bits,
    which drops what int32 does not hold.
    """
    dtypes = {builder.network.dtype(name) for name in node.input}
    dtype = dtypes.pop()
    if dtypes or dtype is None or dtype.kind not in "iu" or not (_narrow(dtype) or _fits(builder, node, dtype)):
        return False
    one, other = (builder.op("Cast", name, to=onnx.TensorProto.INT32) for name in node.input)
    both = _both(builder, one, other) if _narrow(dtype) else _both_in_halves(builder, one, other)
    made = both if node.op_type == "BitwiseAnd" else builder.op("Add", builder.op("BitwiseXor", one, other), both)
    builder.op("Cast", made, out=node.output[0], to=onnx.helper.np_dtype_to_tensor_dtype(dtype))
    return True


def _narrow(dtype: np.dtype[Any]) -> bool:
    return dtype.itemsize < 4


def _fits(builder: Builder, node: onnx.NodeProto, dtype: np.dtype[Any]) -> bool:
    """Whether int32 holds all bits of the result."""
    if dtype == np.int32:
        return True
    masks = (builder.network.constants.get(name) for name in node.input)
    masked = any(mask is not None and mask.min() >= 0 and mask.max() < 2**31 for mask in masks)
    return dtype == np.int64 and node.op_type == "BitwiseAnd" and masked


def _both(builder: Builder, one: str, other: str) -> str:
    """The bits that both have, of int32 whose sum overflows nowhere."""
    twice = builder.op("Sub", builder.op("Add", one, other), builder.op("BitwiseXor", one, other))
    return builder.op("Div", twice, builder.const(2, np.int32))


def _both_in_halves(builder: Builder, one: str, other: str) -> str:
    """The same of any int32: of the lower 16 bits, which are no negative number, and of the rest apart."""
    half = builder.const(HALF, np.int32)
    lows = [builder.op("Mod", value, half) for value in (one, other)]
    pairs = zip((one, other), lows, strict=True)
    highs = [builder.op("Div", builder.op("Sub", value, low), half) for value, low in pairs]
    high = builder.op("Mul", _both(builder, *highs), half)
    return builder.op("Add", high, _both(builder, *lows))
