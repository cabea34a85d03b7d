"""Convolutions and pooling that the converter lacks, by those that it has."""

from typing import Any

import numpy as np
import onnx

from edgekit.sources.onnx.network import Builder, attributes

MAX_WINDOW = 64
"""Largest dilated pooling window that becomes that many slices."""


def explicit_padding(builder: Builder, node: onnx.NodeProto) -> bool:
    """``auto_pad=SAME_LOWER`` as explicit pads (the formula is that of ONNX's Conv-11)."""
    attrs = attributes(node)
    shape = builder.network.shape(node.input[0])
    if attrs.get("auto_pad") != "SAME_LOWER" or shape is None:
        return False
    kernel = attrs.get("kernel_shape") or list((builder.network.shape(node.input[1]) or ())[2:])
    rank = len(shape) - 2
    before, after = [], []
    for size, k, stride, dilation in zip(
        shape[2:], kernel, attrs.get("strides", [1] * rank), attrs.get("dilations", [1] * rank), strict=True
    ):
        total = max((-(-size // stride) - 1) * stride + (k - 1) * dilation + 1 - size, 0)
        before.append(total - total // 2)
        after.append(total // 2)
    kept = {key: value for key, value in attrs.items() if key != "auto_pad"}
    builder.ops(node.op_type, *node.input, outs=list(node.output), **{**kept, "pads": before + after})
    return True


def _as_2d(attrs: dict[str, Any]) -> dict[str, Any]:
    """Attributes of an operator on [N, C, L] for the same on [N, C, 1, L]."""
    lead = {"kernel_shape": [1], "strides": [1], "dilations": [1], "output_padding": [0], "output_shape": [1]}
    made = dict(attrs)
    for key, first in lead.items():
        if key in attrs:
            made[key] = first + list(attrs[key])
    if "pads" in attrs:
        made["pads"] = [0, attrs["pads"][0], 0, attrs["pads"][1]]
    return made


def transposed_1d(builder: Builder, node: onnx.NodeProto) -> bool:
    """ConvTranspose on [N, C, L] by the same on [N, C, 1, L]."""
    shape, weights = builder.network.shape(node.input[0]), builder.network.constants.get(node.input[1])
    result = builder.network.shape(node.output[0])
    if shape is None or weights is None or result is None or len(shape) != 3:
        return False
    image = builder.reshape(node.input[0], [shape[0], shape[1], 1, shape[2]])
    inputs = [image, builder.const(weights[:, :, None, :]), *node.input[2:]]
    builder.reshape(builder.op("ConvTranspose", *inputs, **_as_2d(attributes(node))), result, out=node.output[0])
    return True


def dilated_pooling(builder: Builder, node: onnx.NodeProto) -> bool:
    """MaxPool with dilation as the maximum of strided slices, one for each place in the window."""
    attrs = attributes(node)
    shape, result = builder.network.shape(node.input[0]), builder.network.shape(node.output[0])
    dilations, kernel = attrs.get("dilations", [1]), attrs["kernel_shape"]
    known = shape is not None and result is not None and len(node.output) == 1
    if all(d == 1 for d in dilations) or not known or np.prod(kernel) > MAX_WINDOW or attrs.get("ceil_mode"):
        return False
    if attrs.get("auto_pad", "NOTSET") not in {"NOTSET", "VALID"}:
        return False
    rank = len(kernel)
    pads, strides = attrs.get("pads", [0] * 2 * rank), attrs.get("strides", [1] * rank)
    value = node.input[0]
    if any(pads):
        around = [0, 0, *pads[:rank], 0, 0, *pads[rank:]]
        lowest = builder.const(np.float32(np.finfo(np.float32).min))
        value = builder.op("Pad", value, builder.const(around, np.int64), lowest)
    axes, steps = builder.const(list(range(2, rank + 2)), np.int64), builder.const(strides, np.int64)
    slices = []
    for place in np.ndindex(*kernel):
        starts = [p * d for p, d in zip(place, dilations, strict=True)]
        ends = [s + (size - 1) * t + 1 for s, size, t in zip(starts, (result or ())[2:], strides, strict=True)]
        bounds = (builder.const(starts, np.int64), builder.const(ends, np.int64))
        slices.append(builder.op("Slice", value, *bounds, axes, steps))
    builder.op("Max", *slices, out=node.output[0])
    return True
