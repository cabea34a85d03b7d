"""Convolutions and pooling that the converter lacks, by those that it has."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from edgekit.sources.onnx.network import Builder, attributes, kind

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


def grouped_1d(builder: Builder, node: onnx.NodeProto) -> bool:
    """Conv on [N, C, L] in groups of several channels by the same on [N, C, 1, L]."""
    shape = builder.network.shape(node.input[0])
    group = attributes(node).get("group", 1)
    return shape is not None and len(shape) == 3 and 1 < group < shape[1] and on_image(builder, node)


def on_image(builder: Builder, node: onnx.NodeProto) -> bool:
    """A convolution or pooling on [N, C, L] by the same on [N, C, 1, L]."""
    shape, result = builder.network.shape(node.input[0]), builder.network.shape(node.output[0])
    if shape is None or result is None or len(shape) != 3:
        return False
    inputs = [builder.reshape(node.input[0], [shape[0], shape[1], 1, shape[2]]), *node.input[1:]]
    if len(inputs) > 1:
        weights = builder.network.constants.get(inputs[1])
        if weights is None:
            return False
        inputs[1] = builder.const(weights[:, :, None, :])
    builder.reshape(builder.op(node.op_type, *inputs, **_as_2d(attributes(node))), result, out=node.output[0])
    return True


def by_activations(builder: Builder, node: onnx.NodeProto) -> bool:
    """Conv whose weights are computed (a tracker's correlation) as a product of them with the windows of the image.

    One image at a time; ``[C / group · taps, places]`` for each group are gathered by a slice for each tap.
    """
    attrs = attributes(node)
    shape, weights, result = (builder.network.shape(name) for name in (*node.input[:2], node.output[0]))
    if node.input[1] in builder.network.constants or shape is None or weights is None or result is None:
        return False
    rank, group, taps = len(shape) - 2, attrs.get("group", 1), int(np.prod(weights[2:]))
    plain, maker = attrs.get("auto_pad", "NOTSET") in {"NOTSET", "VALID"}, builder.uses.makers.get(node.input[1])
    if shape[0] != 1 or taps > MAX_WINDOW or not plain or (maker is not None and kind(maker) == "DequantizeLinear"):
        return False
    pads, value = attrs.get("pads", [0] * 2 * rank), node.input[0]
    if any(pads):
        value = builder.op("Pad", value, builder.const([0, 0, *pads[:rank], 0, 0, *pads[rank:]], np.int64))
    slices = windows(builder, value, attrs, weights[2:], result[2:])
    places = int(np.prod(result[2:]))
    each = [builder.reshape(part, [group, weights[1], 1, places]) for part in slices]
    stacked = builder.op("Concat", *each, axis=2) if taps > 1 else each[0]
    columns = builder.reshape(stacked, [group, weights[1] * taps, places])
    rows = builder.reshape(node.input[1], [group, weights[0] // group, weights[1] * taps])
    made = builder.reshape(builder.op("MatMul", rows, columns), result)
    if len(node.input) > 2 and node.input[2]:
        made = builder.op("Add", made, builder.reshape(node.input[2], [1, weights[0], *[1] * rank]))
    builder.same(made, node.output[0])
    return True


def windows(
    builder: Builder, value: str, attrs: dict[str, Any], kernel: Sequence[int], sizes: Sequence[int]
) -> list[str]:
    """For each place in a window the slice of an image (padded already) that all windows have there."""
    dilations, strides = (attrs.get(key, [1] * len(kernel)) for key in ("dilations", "strides"))
    axes = builder.const(list(range(2, len(kernel) + 2)), np.int64)
    steps, slices = builder.const(list(strides), np.int64), []
    for place in np.ndindex(*kernel):
        starts = [p * d for p, d in zip(place, dilations, strict=True)]
        ends = [s + (size - 1) * t + 1 for s, size, t in zip(starts, sizes, strides, strict=True)]
        bounds = (builder.const(starts, np.int64), builder.const(ends, np.int64))
        slices.append(builder.op("Slice", value, *bounds, axes, steps))
    return slices


def padded_lp(builder: Builder, node: onnx.NodeProto) -> bool:
    """LpPool with pads, which count as zeros, behind a Pad."""
    attrs, shape = attributes(node), builder.network.shape(node.input[0])
    pads = attrs.get("pads", [])
    if shape is None or not any(pads) or attrs.get("ceil_mode"):
        return False
    rank = len(shape) - 2
    around = builder.const([0, 0, *pads[:rank], 0, 0, *pads[rank:]], np.int64)
    kept = {key: value for key, value in attrs.items() if key != "pads"}
    builder.op("LpPool", builder.op("Pad", node.input[0], around), out=node.output[0], **kept)
    return True


def sized_transposed(builder: Builder, node: onnx.NodeProto) -> bool:
    """ConvTranspose with ``output_shape`` as one with the pads that lead to it (the formula is that of ONNX's)."""
    attrs, shape = attributes(node), builder.network.shape(node.input[0])
    sizes = attrs.get("output_shape")
    if not sizes or shape is None or (kernel := builder.network.shape(node.input[1])) is None:
        return False
    rank = len(shape) - 2
    each = (attrs.get(key, [first] * rank) for key, first in (("strides", 1), ("dilations", 1), ("output_padding", 0)))
    before, after = [], []
    for size, wanted, k, stride, dilation, more in zip(shape[2:], sizes[-rank:], kernel[2:], *each, strict=True):
        total = stride * (size - 1) + more + (k - 1) * dilation + 1 - wanted
        if total < 0:
            return False
        small, large = total // 2, total - total // 2
        upper = attrs.get("auto_pad") == "SAME_UPPER"
        before.append(small if upper else large)
        after.append(large if upper else small)
    kept = {key: value for key, value in attrs.items() if key not in {"auto_pad", "output_shape", "pads"}}
    builder.op("ConvTranspose", *node.input, out=node.output[0], **{**kept, "pads": before + after})
    return True


def dilated_pooling(builder: Builder, node: onnx.NodeProto) -> bool:
    """Pooling with dilation as the maximum (or the mean) of strided slices, one for each place in the window."""
    attrs = attributes(node)
    shape, result = builder.network.shape(node.input[0]), builder.network.shape(node.output[0])
    dilations, kernel = attrs.get("dilations", [1]), attrs["kernel_shape"]
    known = shape is not None and result is not None and len(node.output) == 1
    if all(d == 1 for d in dilations) or not known or np.prod(kernel) > MAX_WINDOW or attrs.get("ceil_mode"):
        return False
    if attrs.get("auto_pad", "NOTSET") not in {"NOTSET", "VALID"}:
        return False
    rank, largest = len(kernel), node.op_type == "MaxPool"
    pads = attrs.get("pads", [0] * 2 * rank)
    if any(pads) and not largest and not attrs.get("count_include_pad"):
        return False  # windows at the border have fewer places
    value = node.input[0]
    if any(pads):
        around = [0, 0, *pads[:rank], 0, 0, *pads[rank:]]
        lowest = builder.const(np.float32(np.finfo(np.float32).min if largest else 0))
        value = builder.op("Pad", value, builder.const(around, np.int64), lowest)
    slices = windows(builder, value, attrs, kernel, (result or ())[2:])
    builder.op("Max" if largest else "Mean", *slices, out=node.output[0])
    return True


def deformable(builder: Builder, node: onnx.NodeProto) -> bool:
    """DeformConv (2D) by sampling: all taps of the kernel as one tall GridSample, then a 1×1 convolution.

    Both take zeros outside of the image and interpolate linearly between its pixels.
    """
    x, weights, offset, bias, mask = [*node.input, "", ""][:5]
    shape, kernel, moved = (builder.network.shape(name) for name in (x, weights, offset))
    if shape is None or kernel is None or moved is None or len(shape) != 4:
        return False
    attrs, (height, width), taps = attributes(node), moved[2:], kernel[2] * kernel[3]
    groups, (batch, channels) = attrs.get("offset_group", 1), shape[:2]
    own, samples = channels // groups, batch * groups
    grid = _grid(builder, node, offset, (shape, kernel, moved))
    image = builder.reshape(x, [samples, own, *shape[2:]])
    mode = "linear" if builder.network.opset >= 20 else "bilinear"
    taken = builder.op("GridSample", image, grid, mode=mode, padding_mode="zeros", align_corners=0)
    if mask:
        tall = [samples, 1, taps * height, width]
        taken = builder.op("Mul", taken, builder.reshape(mask, tall))
    rows = builder.reshape(taken, [batch, channels * taps, height, width])
    flat = builder.reshape(weights, [kernel[0], kernel[1] * taps, 1, 1])
    inputs = [rows, flat, bias] if bias else [rows, flat]
    builder.op("Conv", *inputs, out=node.output[0], group=attrs.get("group", 1))
    return True


def _grid(builder: Builder, node: onnx.NodeProto, offset: str, shapes: Sequence[tuple[int, ...]]) -> str:
    """Where each tap of each place samples, [batch · groups, taps · height, width, (x, y)], in GridSample's −1..1."""
    attrs, (image, kernel, moved) = attributes(node), shapes
    (height, width), taps = moved[2:], kernel[2] * kernel[3]
    pads, strides, dilations = attrs.get("pads", [0] * 4), attrs.get("strides", [1, 1]), attrs.get("dilations", [1, 1])
    ticks = [np.arange(size) * stride - pad for size, stride, pad in zip(moved[2:], strides, pads, strict=False)]
    steps = [np.arange(size) * dilation for size, dilation in zip(kernel[2:], dilations, strict=True)]
    tap = np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(taps, 1, 1, 2)
    places = tap + np.stack(np.meshgrid(*ticks, indexing="ij"), -1)[None]  # [taps, height, width, (y, x)]
    samples = image[0] * attrs.get("offset_group", 1)
    by_tap = builder.transpose(builder.reshape(offset, [samples, taps, 2, height * width]), [0, 1, 3, 2])
    shifts = builder.reshape(by_tap, [samples, taps * height, width, 2])
    at = builder.op("Add", shifts, builder.const(places.reshape(1, taps * height, width, 2), np.float32))
    scale = 2 / np.asarray(image[2:], np.float32)
    scaled = builder.op("Add", builder.op("Mul", at, builder.const(scale)), builder.const(scale / 2 - 1))
    return builder.op("Gather", scaled, builder.const([1, 0], np.int64), axis=3)
