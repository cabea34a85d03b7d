"""From boxes to what a detection network gives for them: the inverse of `edgekit.processing.decoding`."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.nouns.description import BoxFormat, DetectionOutput
from edgekit.processing.decoding import grids

Doubles = NDArray[np.float64]

SURE = 40.0
"""A logit whose probability is 1 in float32; that of its negative is below any threshold."""

VANISHING = -200.0
"""A logarithm or a logit of a size that is 0 in float32."""


class Together(NamedTuple):
    """Candidates that can stand for boxes with one centre, and such a box: its centre and its size, (x, y) each."""

    candidates: NDArray[np.int64]
    centre: Doubles
    size: Doubles


def together(output: DetectionOutput, count: int, size: tuple[int, int] | None) -> Together:
    """The first candidates, at most four, whose boxes can lie upon one another.

    Args:
        output: says what numbers mean.
        count: of all candidates.
        size: (height, width) of the input in pixels; None if boxes stay in 0..1.
    """
    width_height = np.array([1, 1] if size is None else size[::-1], np.float64)
    if output.decoding == "ssd":
        first = np.asarray(output.anchors[0], np.float64)
        return Together(np.arange(min(4, count)), first[:2] * width_height, first[2:] * width_height)
    if output.decoding not in {"yolov3", "yolov5"}:
        return Together(np.arange(min(4, count)), width_height / 2, width_height / 2)
    assert size is not None
    cells, strides, anchors = (part.astype(np.float64) for part in grids(output, size))
    corner = (cells[0] + 1) * strides[0]  # a centre lies in its cell
    reach = (cells * strides <= corner) & (corner <= (cells + 1) * strides)
    found = np.flatnonzero(reach.all(1))[:4]
    return Together(found, corner, anchors[found].min(0))


def encoded(
    boxes: Doubles, candidates: NDArray[np.int64], output: DetectionOutput, size: tuple[int, int] | None
) -> Doubles:
    """What stands in the output for boxes ``[K, 4]`` (centre x, centre y, width, height) as candidates ``[K]``.

    Args:
        boxes: in pixels of the input, in 0..1 if ``size`` is None.
        candidates: by number; boxes lie where these can.
        output: says what numbers mean.
        size: (height, width) of the input in pixels.
    """
    if output.decoding == "none":
        whole = (1, 1) if output.coordinates == "pixels" or size is None else size
        return _formatted(boxes / np.tile(whole[::-1], 2), output.box_format)
    assert size is not None
    if output.decoding == "ssd":
        anchors = np.asarray(output.anchors, np.float64)[candidates]
        scaled = boxes / np.tile(size[::-1], 2)
        centre = (scaled[:, :2] - anchors[:, :2]) / anchors[:, 2:] / output.variances[0]
        found: Doubles = np.concatenate([centre, np.log(scaled[:, 2:] / anchors[:, 2:]) / output.variances[1]], 1)
        return found[:, [1, 0, 3, 2]] if output.box_format == "cycxhw" else found
    cells, strides, anchors = (part.astype(np.float64)[candidates] for part in grids(output, size))
    centre, extent = boxes[:, :2] / strides - cells, boxes[:, 2:]
    if output.decoding == "ltrb":
        half = extent / strides / 2
        return np.concatenate([half - centre + 0.5, half + centre - 0.5], 1)
    if output.decoding == "yolox":
        return np.concatenate([centre, np.log(extent / strides)], 1)
    if output.decoding == "yolov3":
        return np.concatenate([logit(centre), np.log(extent / anchors)], 1)
    return np.concatenate([logit((centre + 0.5) / 2), logit(np.sqrt(extent / anchors) / 2)], 1)


def empty(output: DetectionOutput) -> Doubles:
    """What stands in the output for a box without a size ``[4]``, whichever the candidate."""
    if output.decoding in {"none", "ltrb"}:
        return np.zeros(4)
    vanishing = VANISHING / output.variances[1] if output.decoding == "ssd" else VANISHING
    found = np.array([0, 0, vanishing, vanishing])
    return found[[1, 0, 3, 2]] if output.box_format == "cycxhw" else found


def logit(share: Doubles) -> Doubles:
    """The inverse of the logistic function, within `SURE`."""
    share = np.clip(share, 0, 1)
    with np.errstate(divide="ignore"):
        found: Doubles = (np.log(share) - np.log(1 - share)).clip(-SURE, SURE)
    return found


def _formatted(boxes: Doubles, box_format: BoxFormat) -> Doubles:
    """Centre and size ``[K, 4]`` in another format."""
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    if box_format in {"xyxy", "yxyx"}:
        corners: Doubles = np.concatenate([centre - half, centre + half], 1)
        return corners if box_format == "xyxy" else corners[:, [1, 0, 3, 2]]
    if box_format == "xywh":
        return np.concatenate([centre - half, boxes[:, 2:]], 1)
    return boxes if box_format == "cxcywh" else boxes[:, [1, 0, 3, 2]]
