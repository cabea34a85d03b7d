"""Slices, splits and indices in the forms that the converter takes."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekit.sources.onnx.network import Builder, attributes, kind


def split_sizes(builder: Builder, node: onnx.NodeProto) -> bool:
    """Split into ``num_outputs`` parts: all as long as the first, the last may be shorter (Split-18)."""
    shape = builder.network.shape(node.input[0])
    attrs = attributes(node)
    if shape is None or (len(node.input) > 1 and node.input[1]) or "split" in attrs:
        return False
    axis, count = attrs.get("axis", 0) % len(shape), len(node.output)
    part = -(-shape[axis] // count)
    sizes = [min(part, shape[axis] - i * part) for i in range(count)]
    builder.ops("Split", node.input[0], builder.const(sizes, np.int64), outs=list(node.output), axis=axis)
    return True


def backward_slice(builder: Builder, node: onnx.NodeProto) -> bool:
    """Slice with a negative step as Gather of the positions, one axis after the other."""
    shape = builder.network.shape(node.input[0])
    values = [builder.network.constants.get(name) if name else None for name in [*node.input[1:], "", ""][:4]]
    if shape is None or values[0] is None or values[1] is None:
        return False
    starts, ends = values[0].tolist(), values[1].tolist()
    axes = list(range(len(starts))) if values[2] is None else values[2].tolist()
    steps = [1] * len(starts) if values[3] is None else values[3].tolist()
    if all(step > 0 for step in steps):
        return False
    value = node.input[0]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        positions = np.arange(shape[axis])[_slice(start, end, step)]
        value = builder.op("Gather", value, builder.const(positions, np.int64), axis=axis)
    builder.same(value, node.output[0])
    return True


def _slice(start: int, end: int, step: int) -> slice:
    """Python's slice, where an end far below 0 means before the first element."""
    return slice(start, None if step < 0 and end < -(2**31) + 2 else end, step)


def gather(builder: Builder, node: onnx.NodeProto) -> bool:
    """Gather by constants: a view if the indices make one, else indices that count from the start."""
    return strided_view(builder, node) or positive_indices(builder, node)


def strided_view(builder: Builder, node: onnx.NodeProto) -> bool:
    """Elements of a vector, all of them once, in strides, as a reshape and a transposition.

    PyTorch's exporter writes ``as_strided`` so, for instance behind each ``AdaptiveAvgPool2d(1)``. Few accelerators
    take GATHER, and none needs it here.
    """
    shape, indices = builder.network.shape(node.input[0]), builder.network.constants.get(node.input[1])
    if shape is None or indices is None or len(shape) != 1 or not indices.size == shape[0] > 0:
        return False
    indices = _counted_from_start(node, shape, indices)
    strides = [int(np.take(indices, 1, axis).flat[0]) - int(indices.flat[0]) if size > 1 else 0
               for axis, size in enumerate(indices.shape)]  # fmt: skip
    order = sorted((axis for axis, size in enumerate(indices.shape) if size > 1), key=lambda axis: -strides[axis])
    sizes = [indices.shape[axis] for axis in order]
    view = np.arange(shape[0]).reshape(sizes).transpose(np.argsort(order)).reshape(indices.shape)
    if not np.array_equal(view, indices):
        return False
    value = node.input[0]
    if order != sorted(order):
        value = builder.transpose(builder.reshape(value, sizes), [int(axis) for axis in np.argsort(order)])
    builder.reshape(value, indices.shape, out=node.output[0])
    return True


def positive_indices(builder: Builder, node: onnx.NodeProto) -> bool:
    """Constant indices counted from the end, counted from the start."""
    shape = builder.network.shape(node.input[0])
    indices = builder.network.constants.get(node.input[1])
    if shape is None or indices is None or (indices >= 0).all():
        return False
    fixed = builder.const(_counted_from_start(node, shape, indices))
    builder.ops(node.op_type, node.input[0], fixed, *node.input[2:], outs=list(node.output), **attributes(node))
    return True


def _counted_from_start(node: onnx.NodeProto, shape: tuple[int, ...], indices: NDArray[Any]) -> NDArray[Any]:
    attrs = attributes(node)
    if node.op_type in {"GatherND", "ScatterND"}:
        first = attrs.get("batch_dims", 0)
        sizes: Any = np.asarray(shape[first : first + indices.shape[-1]], indices.dtype)
    else:
        sizes = shape[attrs.get("axis", 0)]
    return np.where(indices < 0, indices + sizes, indices)


def flattened_view(builder: Builder, node: onnx.NodeProto) -> bool:
    """Flatten of a Reshape as one Reshape: the converter reshapes to an image, and then flattens another one."""
    maker, result = builder.uses.makers.get(node.input[0]), builder.network.shape(node.output[0])
    if maker is None or kind(maker) != "Reshape" or result is None or builder.network.shape(maker.input[0]) is None:
        return False
    builder.reshape(maker.input[0], result, out=node.output[0])
    return True


def second_output(builder: Builder, node: onnx.NodeProto) -> bool:
    """An output that is another output: a copy, because a TFLite file lists every tensor once."""
    if node.input[0] not in builder.network.outputs:
        return False
    kind = "Or" if builder.network.dtype(node.input[0]) == np.bool_ else "Max"
    builder.op(kind, node.input[0], node.input[0], out=node.output[0])
    return True


def last_index(builder: Builder, node: onnx.NodeProto) -> bool:
    """ArgMax and ArgMin that give the last of equal places: counted from the other end."""
    shape, attrs = builder.network.shape(node.input[0]), attributes(node)
    if shape is None or not attrs.get("select_last_index", 0):
        return False
    axis = attrs.get("axis", 0) % len(shape)
    turned = builder.op("Gather", node.input[0], builder.const(np.arange(shape[axis])[::-1], np.int64), axis=axis)
    found = builder.op(node.op_type, turned, axis=axis, keepdims=attrs.get("keepdims", 1))
    builder.op("Sub", builder.const(shape[axis] - 1, np.int64), found, out=node.output[0])
    return True


def padding(builder: Builder, node: onnx.NodeProto) -> bool:
    """Pad with ``axes`` for all axes; by wrapping round as Gather of the positions."""
    shape = builder.network.shape(node.input[0])
    inputs = [*node.input, "", "", ""][:4]
    pads, axes = (builder.network.constants.get(name) if name else None for name in (inputs[1], inputs[3]))
    mode = attributes(node).get("mode", "constant")
    if shape is None or pads is None or (inputs[3] and axes is None) or not (inputs[3] or mode == "wrap"):
        return False
    chosen = range(len(shape)) if axes is None else [axis % len(shape) for axis in axes.reshape(-1).tolist()]
    amounts = dict(zip(chosen, pads.reshape(2, -1).T.tolist(), strict=True))
    if mode != "wrap":
        every = [amounts.get(axis, [0, 0])[side] for side in (0, 1) for axis in range(len(shape))]
        given = [builder.const(every, np.int64), *([inputs[2]] if inputs[2] else [])]
        builder.op("Pad", node.input[0], *given, out=node.output[0], mode=mode)
        return True
    value = node.input[0]
    for axis, (before, after) in amounts.items():
        positions = np.arange(-before, shape[axis] + after) % shape[axis]
        value = builder.op("Gather", value, builder.const(positions, np.int64), axis=axis)
    builder.same(value, node.output[0])
    return True


def reflected_grid(builder: Builder, node: onnx.NodeProto) -> bool:
    """GridSample with reflection at the borders as one that stops there, its coordinates folded into -1..1."""
    attrs = attributes(node)
    if attrs.get("padding_mode", "zeros") != "reflection" or attrs.get("mode", "linear") in {"cubic", "bicubic"}:
        return False
    one, two, four = (builder.const(np.float32(value)) for value in (1, 2, 4))
    shifted = builder.op("Add", node.input[1], one)
    periods = builder.op("Mul", builder.op("Floor", builder.op("Div", shifted, four)), four)
    folded = builder.op("Abs", builder.op("Sub", builder.op("Sub", shifted, periods), two))
    grid = builder.op("Sub", one, folded)
    builder.op("GridSample", node.input[0], grid, out=node.output[0], **{**attrs, "padding_mode": "border"})
    return True
