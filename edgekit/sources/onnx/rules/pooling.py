"""MaxPool that also says where each maximum lies."""

from typing import Any

import numpy as np
import onnx

from edgekit.sources.onnx.network import Builder, attributes
from edgekit.sources.onnx.rules.convolution import MAX_WINDOW, windows


def located(builder: Builder, node: onnx.NodeProto) -> bool:
    """MaxPool with indices: the maximum by itself, its place by ArgMax over a slice for each place in the window.

    A place is counted over the whole tensor, the first of equal ones. A second output that nobody reads goes away.
    """
    if len(node.output) < 2 or not node.output[1]:
        return False
    attrs, network = attributes(node), builder.network
    plain = {key: value for key, value in attrs.items() if key != "storage_order"}
    if not builder.uses.readers[node.output[1]] and node.output[1] not in network.outputs:
        builder.op("MaxPool", node.input[0], out=node.output[0], **plain)
        return True
    dtype, shape, result = network.dtype(node.input[0]), network.shape(node.input[0]), network.shape(node.output[1])
    if shape is None or result is None or dtype is None or dtype.kind != "f":
        return False
    before, after = _pads(attrs, shape, result)
    if np.prod(attrs["kernel_shape"]) > MAX_WINDOW or _beyond(attrs, shape, result, before):
        return False
    padded = node.input[0]
    if any((*before, *after)):
        around = builder.const([0, 0, *before, 0, 0, *after], np.int64)
        padded = builder.op("Pad", padded, around, builder.const(np.finfo(dtype).min, dtype))
    slices = windows(builder, padded, attrs, attrs["kernel_shape"], result[2:])
    stacked = builder.op("Concat", *(builder.reshape(part, [1, int(np.prod(result))]) for part in slices), axis=0)
    _places(builder, node, builder.op("ArgMax", stacked, axis=0, keepdims=0), (shape, result, before))
    if any(wide > 1 for wide in attrs.get("dilations", [])):  # which the converter has not
        builder.reshape(builder.max(stacked, [0]), result, out=node.output[0])
    else:
        builder.op("MaxPool", node.input[0], out=node.output[0], **plain)
    return True


def _beyond(attrs: dict[str, Any], shape: tuple[int, ...], result: tuple[int, ...], before: list[int]) -> bool:
    """Whether a window lies in what is added behind: ONNX's shape inference counts it, ONNX Runtime does not."""
    strides = attrs.get("strides", [1] * len(before))
    each = zip(result[2:], strides, shape[2:], before, strict=True)
    return any((made - 1) * step >= size + pad for made, step, size, pad in each)


def _pads(attrs: dict[str, Any], shape: tuple[int, ...], result: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """What is added before and after each axis, so that all windows of the result are whole."""
    rank, auto = len(shape) - 2, attrs.get("auto_pad", "NOTSET")
    strides, dilations = (attrs.get(key, [1] * rank) for key in ("strides", "dilations"))
    each = zip(attrs["kernel_shape"], dilations, strides, shape[2:], result[2:], strict=True)
    lacking = [(made - 1) * step + (k - 1) * wide + 1 - size for k, wide, step, size, made in each]
    said = attrs.get("pads", [0] * 2 * rank)[:rank] if auto == "NOTSET" else [0] * rank
    if auto.startswith("SAME"):
        said = [(max(0, less) + (auto == "SAME_LOWER")) // 2 for less in lacking]
    return list(said), [max(0, less - done) for less, done in zip(lacking, said, strict=True)]


def _places(
    builder: Builder, node: onnx.NodeProto, first: str, sizes: tuple[tuple[int, ...], tuple[int, ...], list[int]]
) -> None:
    """From the places in windows ``[N · C · …]`` those in the tensor ``[N, C, …]``, row by row or column by column."""
    attrs, (shape, result, before) = attributes(node), sizes
    rank, inner = len(before), shape[2:]
    strides, dilations = (attrs.get(key, [1] * rank) for key in ("strides", "dilations"))
    by_column = attrs.get("storage_order", 0)
    apart = [int(np.prod(inner[:axis] if by_column else inner[axis + 1 :])) for axis in range(rank)]
    taps = [
        sum(p * d * a for p, d, a in zip(place, dilations, apart, strict=True))
        for place in np.ndindex(*attrs["kernel_shape"])
    ]
    starts = [
        sum((p * s - b) * a for p, s, b, a in zip(place, strides, before, apart, strict=True))
        for place in np.ndindex(*result[2:])
    ]
    images = np.arange(shape[0] * shape[1], dtype=np.int64)[:, None] * int(np.prod(inner))
    tap = builder.op("Gather", builder.const(taps, np.int64), builder.reshape(first, [len(images), len(starts)]))
    placed = builder.op("Add", builder.op("Add", tap, builder.const([starts], np.int64)), builder.const(images))
    builder.reshape(placed, result, out=node.output[1])
