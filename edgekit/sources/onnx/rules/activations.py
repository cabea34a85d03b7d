"""Bounds and activations that the converter gets wrong at the edges: near zero, or far from it."""

import math

import numpy as np
import onnx

from edgekit.sources.onnx.network import Builder, attributes

TOLERANCE = 1e-5
"""More than the converter's own: it takes bounds within 1e-6 of an activation's for that activation."""

ACTIVATIONS = ((0.0, math.inf), (0.0, 6.0), (-1.0, 1.0))
"""Bounds of RELU, RELU6 and RELU_N1_TO_1."""


def clip(builder: Builder, node: onnx.NodeProto) -> bool:
    """Clip by bounds that are nearly, but not exactly, an activation's: as Max and Min.

    ``Clip(norm, 1e-12)`` guards a division by zero; as RELU it does not.
    """
    low, high = (_bound(builder, node, place) for place in (1, 2))
    if low is None or high is None or builder.network.dtype(node.input[0]) != np.float32:
        return False
    near = any(_near(low, least) and _near(high, most) for least, most in ACTIVATIONS)
    if not near or (low, high) in ACTIVATIONS:
        return False
    value = node.input[0]
    for kind, bound in (("Max", low), ("Min", high)):
        if math.isfinite(bound):
            value = builder.op(kind, value, builder.const(np.float32(bound)))
    builder.same(value, node.output[0])
    return True


def _bound(builder: Builder, node: onnx.NodeProto, place: int) -> float | None:
    """The lower (1) or upper (2) bound, infinite if there is none; None if it is computed."""
    name = node.input[place] if place < len(node.input) else ""
    if not name:
        return -math.inf if place == 1 else math.inf
    value = builder.network.constants.get(name)
    return None if value is None or value.size != 1 else float(value.reshape(-1)[0])


def _near(value: float, other: float) -> bool:
    return value == other or abs(value - other) <= TOLERANCE


def elu(builder: Builder, node: onnx.NodeProto) -> bool:
    """An Elu with another slope than 1, which TFLite lacks: from its two halves."""
    alpha = attributes(node).get("alpha", 1.0)
    if alpha == 1:
        return False
    below = builder.op("Elu", builder.op("Neg", builder.op("Relu", builder.op("Neg", node.input[0]))))
    scaled = builder.op("Mul", below, builder.const(np.float32(alpha)))
    builder.op("Add", builder.op("Relu", node.input[0]), scaled, out=node.output[0])
    return True


def asinh(builder: Builder, node: onnx.NodeProto) -> bool:
    """Asinh as sign(x) · log(|x| + √(x² + 1)): without the sign, the sum cancels far below zero."""
    x = node.input[0]
    absolute = builder.op("Abs", x)
    root = builder.op("Sqrt", builder.op("Add", builder.op("Mul", x, x), builder.const(np.float32(1))))
    grown = builder.op("Log", builder.op("Add", absolute, root))
    builder.op("Mul", builder.op("Sign", x), grown, out=node.output[0])
    return True


def softplus(builder: Builder, node: onnx.NodeProto) -> bool:
    """log(1 + eˣ) as max(x, 0) + log(1 + e^−|x|), which is finite for every x."""
    x = node.input[0]
    decay = builder.op("Exp", builder.op("Neg", builder.op("Abs", x)))
    rest = builder.op("Log", builder.op("Add", decay, builder.const(np.float32(1))))
    builder.op("Add", builder.op("Relu", x), rest, out=node.output[0])
    return True


def log_sum_exp(builder: Builder, node: onnx.NodeProto) -> bool:
    """Log Σ eˣ as m + log Σ e^(x − m) with m = max x, which is finite for every x."""
    x, attrs = node.input[0], attributes(node)
    shape, result = builder.network.shape(x), builder.network.shape(node.output[0])
    given = builder.network.constants.get(node.input[1]) if len(node.input) > 1 and node.input[1] else None
    if shape is None or result is None or (given is None and len(node.input) > 1 and node.input[1]):
        return False
    axes = attrs.get("axes", []) if given is None else given.reshape(-1).tolist()
    if not axes:
        if attrs.get("noop_with_empty_axes", 0):
            return False
        axes = list(range(len(shape)))
    largest = builder.max(x, axes)
    total = builder.sum(builder.op("Exp", builder.op("Sub", x, largest)), axes)
    builder.reshape(builder.op("Add", largest, builder.op("Log", total)), result, out=node.output[0])
    return True


def prelu(builder: Builder, node: onnx.NodeProto) -> bool:
    """PRelu with a slope per element as relu(x) − slope · relu(−x); TFLite's knows one per channel."""
    shape, slope = builder.network.shape(node.input[0]), builder.network.shape(node.input[1])
    if shape is None or slope is None:
        return False
    if node.input[1] in builder.network.constants and _per_channel(slope, len(shape)):
        return False
    x = node.input[0]
    below = builder.op("Mul", node.input[1], builder.op("Relu", builder.op("Neg", x)))
    builder.op("Sub", builder.op("Relu", x), below, out=node.output[0])
    return True


def _per_channel(slope: tuple[int, ...], rank: int) -> bool:
    """One slope for all, or one for each place of axis 1."""
    aligned = [1] * (rank - len(slope)) + list(slope)
    return all(size == 1 for axis, size in enumerate(aligned) if axis != 1)
