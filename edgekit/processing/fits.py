"""Whether a description of detections fits the shapes of the outputs that it reads."""

import math
from collections.abc import Iterator

from edgekit.nouns.description import DetectionOutput
from edgekit.nouns.model import TensorSpec


def count(shape: tuple[int, ...], output: DetectionOutput) -> int:
    """How many candidates the output with the boxes holds."""
    if output.scores is not None:
        return math.prod(shape) // 4
    return shape[-1] if output.transposed else shape[-2]


def points(output: DetectionOutput, size: tuple[int, int]) -> int:
    """How many candidates its decoding makes of an input of a size (height, width)."""
    if output.decoding == "ssd":
        return len(output.anchors)
    at_each = [len(sizes) for sizes in output.anchor_sizes] or [1] * len(output.strides)
    grids = [(size[0] // stride) * (size[1] // stride) for stride in output.strides]
    return sum(cells * anchors for cells, anchors in zip(grids, at_each, strict=True))


def misfits(output: DetectionOutput, *specs: TensorSpec, size: tuple[int, int] | None) -> Iterator[tuple[str, str]]:
    """Why a description of detections does not fit, and what helps; nothing if it does.

    Args:
        output: the description.
        specs: of the outputs that it reads, in the order of `DetectionOutput.reads`.
        size: (height, width) of the network's image input, None if none is described.
    """
    shape = specs[0].source_shape
    if output.scores is None and (len(shape) < 2 or math.prod(shape[:-2]) != 1):
        told, fix = "boxes with their scores are [1, N, values]", "name the outputs that hold boxes and scores"
        if len(shape) >= 4:
            told += ", and this is a map: heads of several maps are not read one by one"
            fix = (
                "export the network with its head, or join the maps to one output with the script on "
                "docs/how-to/join-detection-heads.md, or leave the table out and read the map as a tensor"
            )
        yield told, fix
        return
    if output.scores is not None and math.prod(shape) % 4:
        yield f"{math.prod(shape)} numbers are no boxes of 4", "name the output that holds the boxes"
    if size is None and (output.decoding != "none" or output.coordinates == "pixels"):
        yield "pixels are those of an image input, and none is described", 'describe it: [[input]] kind = "image"'
    found = count(shape, output)
    if output.decoding != "none" and size is not None and points(output, size) != found:
        what = "anchors" if output.decoding == "ssd" else "points of grids"
        yield f"{points(output, size)} {what} for {found} candidates", "correct anchors, strides or transposed"
    if output.decoding == "ssd" and output.box_format not in {"cxcywh", "cycxhw"}:
        yield f"box_format is {output.box_format}", "say in which order distances stand: cxcywh or cycxhw"
    if output.decoding not in {"none", "ssd"} and output.box_format != "xyxy":
        yield f"decoding {output.decoding} has an order of its own", "leave box_format out"
    yield from _misfits_of_scores(output, specs, found)


def _misfits_of_scores(output: DetectionOutput, specs: tuple[TensorSpec, ...], found: int) -> Iterator[tuple[str, str]]:
    scores = math.prod(specs[0].source_shape) - (4 + output.objectness) * found
    if output.scores is not None:
        scores = math.prod(specs[1].source_shape)
        if scores % found:
            yield f"{scores} scores for {found} boxes", "name the output with the scores of these boxes"
    if output.classes is not None:
        of_each = math.prod(specs[2].source_shape)
        if {scores, of_each} != {found}:
            yield f"{found} boxes, {scores} scores and {of_each} classes", "name the outputs that belong together"
        return
    classes = scores // found - output.background
    if classes < 1:
        yield "no score is left for a class", "correct objectness, background or transposed"
    if output.labels and len(output.labels) != classes:
        fix = "give one label for each class, in their order"
        if len(output.labels) == classes - 1:
            fix += "; is the first score that of no object (background), or one of any object (objectness)?"
        yield f"{len(output.labels)} labels for {classes} classes", fix
