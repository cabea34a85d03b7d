"""What TFLite has for images only, or not at all, of convolution and pooling: written as what it has.

* **Pooling of volumes.** The largest of a box, or its mean, is that of its sheets' largest, or means: pooling of images
  twice, first within each sheet and then across them.
* **Steps within a volume.** TensorFlow convolves with a dilation by moving every other element into the batch and back.
  Each axis does so for itself, the last one first.
* **Groups of channels of a volume** are convolved one by one.
* **Transposed convolution with a dilation** is one without, whose filter has zeros between its taps.

Each function takes a node, the graph that it stands in, and the tensor ``[N, …, C]`` that it computes on; it gives the
function of that tensor that takes the node's place, or None if it is not the case that it is for.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from edgekit.sources.keras.libraries import tf
from edgekit.waist.tensors import Array

Call = Callable[[Any], Any]

Constants = Callable[[int], Array | None]
"""The value of the input at a position, None if it is computed. To ask takes a session, so it is asked last."""


def pooled(node: Any, volume: Any, _: Constants) -> Call | None:
    """AvgPool3D and MaxPool3D as pooling of the sheets of ``[N, depth, height, width, C]``, then across them."""
    if node.attr["data_format"].s not in {b"", b"NDHWC"}:
        return None
    window, strides = (list(node.attr[name].list.i)[1:4] for name in ("ksize", "strides"))
    padding = node.attr["padding"].s.decode()
    pool = tf.nn.avg_pool2d if node.op == "AvgPool3D" else tf.nn.max_pool2d
    n, depth, height, width, channels = volume.shape.as_list()

    def call(value: Any) -> Any:
        """The operators in its place."""
        sheets = tf.reshape(value, [n * depth, height, width, channels])
        flat = pool(sheets, window[1:], strides[1:], padding)
        rows, columns = flat.shape.as_list()[1:3]
        tall = tf.reshape(flat, [n, depth, rows * columns, channels])
        across = pool(tall, [window[0], 1], [strides[0], 1], padding)
        return tf.reshape(across, [n, across.shape[1], rows, columns, channels])

    return call


IMAGE = 4
"""The highest rank for which TFLite moves elements between space and batch."""


def into_batch(_: Any, volume: Any, constants: Constants) -> Call | None:
    """SpaceToBatchND of a volume: padded, then each axis ``[N, …, L, …]`` becomes ``[b·N, …, L / b, …]``."""
    if len(volume.shape) <= IMAGE or (blocks := constants(1)) is None or (pads := constants(2)) is None:
        return None
    beside = [[0, 0], *pads.tolist(), *[[0, 0]] * (len(volume.shape) - 1 - len(pads))]

    def call(value: Any) -> Any:
        """The operators in its place."""
        value = tf.pad(value, beside)
        for axis in range(len(blocks), 0, -1):
            block, shape = int(blocks[axis - 1]), value.shape.as_list()
            steps = shape[axis] // block
            before, after = int(np.prod(shape[1:axis])), int(np.prod(shape[axis + 1 :]))
            apart = tf.reshape(value, [shape[0], before, steps, block, after])
            moved = tf.transpose(apart, [3, 0, 1, 2, 4])
            value = tf.reshape(moved, [block * shape[0], *shape[1:axis], steps, *shape[axis + 1 :]])
        return value

    return call


def out_of_batch(_: Any, volume: Any, constants: Constants) -> Call | None:
    """BatchToSpaceND of a volume: the way back of `into_batch`, then cropped."""
    if len(volume.shape) <= IMAGE or (blocks := constants(1)) is None or (crops := constants(2)) is None:
        return None

    def call(value: Any) -> Any:
        """The operators in its place."""
        for axis in range(1, len(blocks) + 1):
            block, shape = int(blocks[axis - 1]), value.shape.as_list()
            count = shape[0] // block
            before, after = int(np.prod(shape[1:axis])), int(np.prod(shape[axis + 1 :]))
            apart = tf.reshape(value, [block, count, before, shape[axis], after])
            moved = tf.transpose(apart, [1, 2, 3, 0, 4])
            value = tf.reshape(moved, [count, *shape[1:axis], shape[axis] * block, *shape[axis + 1 :]])
        starts = [0, *crops[:, 0].tolist(), *[0] * (len(value.shape) - 1 - len(crops))]
        ends = [0, *crops[:, 1].tolist(), *[0] * (len(value.shape) - 1 - len(crops))]
        sizes = [size - a - b for size, a, b in zip(value.shape.as_list(), starts, ends, strict=True)]
        return tf.slice(value, starts, sizes)

    return call


def grouped(node: Any, volume: Any, constants: Constants) -> Call | None:
    """Conv3D of channels in groups, each by its own filters ``[depth, height, width, C / groups, outputs]``."""
    if node.attr["data_format"].s not in {b"", b"NDHWC"} or (filters := constants(1)) is None:
        return None
    groups = volume.shape[-1] // filters.shape[3]
    if groups == 1:
        return None
    strides, padding = list(node.attr["strides"].list.i), node.attr["padding"].s.decode()

    def call(value: Any) -> Any:
        """The operators in its place."""
        parts = zip(tf.split(value, groups, axis=-1), np.split(filters, groups, axis=-1), strict=True)
        return tf.concat([tf.nn.conv3d(part, own, strides, padding) for part, own in parts], axis=-1)

    return call


def spread(node: Any, _: Any, constants: Constants) -> Call | None:
    """Conv2DBackpropInput with a dilation, by a filter ``[height, width, outputs, C]`` with zeros between its taps."""
    steps = list(node.attr["dilations"].list.i)
    if steps in ([], [1, 1, 1, 1]) or node.attr["data_format"].s == b"NCHW":
        return None
    if (sizes := constants(0)) is None or (filters := constants(1)) is None:
        return None
    _, down, right, _ = steps
    height, width, *rest = filters.shape
    wide = np.zeros(((height - 1) * down + 1, (width - 1) * right + 1, *rest), filters.dtype)
    wide[::down, ::right] = filters
    explicit = list(node.attr["explicit_paddings"].list.i)

    def call(value: Any) -> Any:
        """The operator in its place."""
        return tf.raw_ops.Conv2DBackpropInput(
            input_sizes=sizes,
            filter=wide,
            out_backprop=value,
            strides=list(node.attr["strides"].list.i),
            padding=node.attr["padding"].s.decode(),
            explicit_paddings=explicit,
        )

    return call


RULES: dict[str, tuple[int, Callable[[Any, Any, Constants], Call | None]]] = {
    "AvgPool3D": (0, pooled),
    "BatchToSpaceND": (0, out_of_batch),
    "Conv2DBackpropInput": (2, spread),
    "Conv3D": (0, grouped),
    "MaxPool3D": (0, pooled),
    "SpaceToBatchND": (0, into_batch),
}
"""Operators → the input that they compute on, and what takes their place."""
