"""Detections: candidates → decoded → those that score enough → those that are not suppressed."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.nouns.description import DetectionOutput
from edgekit.processing.candidates import split
from edgekit.processing.decoding import decoded
from edgekit.processing.scores import activated
from edgekit.processing.suppression import suppressed

Floats = NDArray[np.float32]


class Boxes(NamedTuple):
    """What was found, highest score first: corners ``[N, 4]`` in pixels of the input, classes and scores ``[N]``."""

    corners: Floats
    classes: NDArray[np.int64]
    scores: Floats


def detect(output: DetectionOutput, outputs: Mapping[str, NDArray[np.generic]], size: tuple[int, int] | None) -> Boxes:
    """The boxes of one sample.

    A candidate counts for the class that it scores highest for, and for no other. Numbers of classes begin behind
    the background.

    Args:
        output: says what the outputs mean.
        outputs: ``[*source_shape]`` under the source's names, of one sample.
        size: (height, width) of the input; None if it is no image, and boxes stay in 0..1.
    """
    given, raw, objectness = split(output, outputs)
    scores = activated(raw, output.activation)
    if objectness is not None:
        scores = scores * activated(objectness, "none" if output.activation == "none" else "sigmoid")[:, np.newaxis]
    classes: NDArray[np.int64]
    if output.classes is not None:
        classes, best = np.asarray(outputs[output.classes]).reshape(-1).astype(np.int64), scores[:, 0]
    else:
        scores = scores[:, 1:] if output.background else scores
        classes = scores.argmax(1)
        best = np.take_along_axis(scores, classes[:, np.newaxis], 1)[:, 0]
    good = best >= np.float32(output.score_threshold)  # not NaN
    if output.count is not None:
        good &= np.arange(len(good)) < int(np.asarray(outputs[output.count]).reshape(-1)[0])
    chosen = np.flatnonzero(good)
    corners = decoded(given, output, size)[chosen]
    classes, best = classes[chosen], best[chosen]
    if output.suppression == "none":
        kept = list(np.argsort(-best, kind="stable")[: output.max_boxes])
    else:
        groups = classes if output.suppression == "per-class" else np.zeros_like(classes)
        kept = suppressed(corners, best, groups, output.iou_threshold, output.max_boxes)
    return Boxes(corners[kept], classes[kept], best[kept])
