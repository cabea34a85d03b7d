"""From what a detection network gives to boxes: distances from anchors and from points of grids, in float32.

*a* is an anchor or a point's cell, *t* what the network gives for it, *s* the stride; σ is the logistic function.

| decoding | centre | size | source |
| --- | --- | --- | --- |
| ssd | t · v₀ · a_size + a_centre | exp(t · v₁) · a_size | Liu et al. 2016; TensorFlow's FasterRcnnBoxCoder |
| yolov3 | (σ(t) + a) · s | exp(t) · anchor | Redmon and Farhadi 2018 |
| yolov5 | (2σ(t) - 1/2 + a) · s | (2σ(t))² · anchor | Ultralytics' Detect layer |
| yolox | (t + a) · s | exp(t) · s | Ge et al. 2021 |
| ltrb | corners at (a + 1/2 - t) · s and (a + 1/2 + t) · s | | Tian et al. 2019 (FCOS) |

Points follow one another grid by grid in the order of strides, row by row, and at each point anchor by anchor.
"""

import numpy as np
from numpy.typing import NDArray

from edgekit.nouns.description import BoxFormat, DetectionOutput
from edgekit.processing.scores import sigmoid

Floats = NDArray[np.float32]


def corners(boxes: Floats, box_format: BoxFormat) -> Floats:
    """Boxes ``[N, 4]`` as left, top, right, bottom."""
    a, b, c, d = boxes.T
    if box_format == "xyxy":
        return boxes
    if box_format == "yxyx":
        return np.stack([b, a, d, c], 1)
    if box_format == "xywh":
        return np.stack([a, b, a + c, b + d], 1)
    x, y, w, h = (a, b, c, d) if box_format == "cxcywh" else (b, a, d, c)
    half = np.float32(0.5)
    return np.stack([x - w * half, y - h * half, x + w * half, y + h * half], 1)


def decoded(given: Floats, output: DetectionOutput, size: tuple[int, int] | None) -> Floats:
    """What a network gives for each candidate ``[N, 4]`` as left, top, right, bottom, in pixels of the input.

    Args:
        given: in the order of the output.
        output: says what it means.
        size: (height, width) of the input; None if the result is to stay in 0..1.
    """
    if output.decoding == "none":
        found = corners(given, output.box_format)
        return found if output.coordinates == "pixels" or size is None else _in_pixels(found, size)
    if size is None:
        raise ValueError("the size of the input is not known")
    if output.decoding == "ssd":
        return _in_pixels(_ssd(given, output), size)
    cells, strides, anchors = grids(output, size)
    if output.decoding == "ltrb":
        middle = cells + np.float32(0.5)
        return np.concatenate([(middle - given[:, :2]) * strides, (middle + given[:, 2:]) * strides], 1)
    centre, extent = given[:, :2], given[:, 2:]
    if output.decoding == "yolox":
        return corners(np.concatenate([(centre + cells) * strides, np.exp(extent) * strides], 1), "cxcywh")
    if output.decoding == "yolov3":
        found = np.concatenate([(sigmoid(centre) + cells) * strides, np.exp(extent) * anchors], 1)
    else:
        two = np.float32(2)
        middle = (sigmoid(centre) * two - np.float32(0.5) + cells) * strides
        found = np.concatenate([middle, np.square(sigmoid(extent) * two) * anchors], 1)
    return corners(found, "cxcywh")


def _in_pixels(boxes: Floats, size: tuple[int, int]) -> Floats:
    height, width = size
    found: Floats = boxes * np.array([width, height, width, height], np.float32)
    return found


def _ssd(given: Floats, output: DetectionOutput) -> Floats:
    anchors = np.asarray(output.anchors, np.float32)
    distances = given[:, [1, 0, 3, 2]] if output.box_format == "cycxhw" else given
    of_centre, of_size = (np.float32(v) for v in output.variances)
    centre = distances[:, :2] * of_centre * anchors[:, 2:] + anchors[:, :2]
    extent = np.exp(distances[:, 2:] * of_size) * anchors[:, 2:]
    return corners(np.concatenate([centre, extent], 1), "cxcywh")


def grids(output: DetectionOutput, size: tuple[int, int]) -> tuple[Floats, Floats, Floats]:
    """Of each candidate its point (x, y) in cells ``[N, 2]``, stride ``[N, 1]`` and anchor's size ``[N, 2]``."""
    cells, strides, anchors = [], [], []
    for i, stride in enumerate(output.strides):
        rows, columns = size[0] // stride, size[1] // stride
        sizes = output.anchor_sizes[i] if output.anchor_sizes else ((stride, stride),)
        y, x = np.mgrid[:rows, :columns]
        points = np.stack([x.ravel(), y.ravel()], 1).repeat(len(sizes), 0)
        cells.append(points)
        strides.append(np.full((len(points), 1), stride))
        anchors.append(np.tile(np.asarray(sizes), (rows * columns, 1)))
    made = (np.concatenate(part).astype(np.float32) for part in (cells, strides, anchors))
    return next(made), next(made), next(made)
