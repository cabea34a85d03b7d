"""Mean average precision of detectors, as COCO's evaluation defines it (Lin et al. 2014)."""

from collections import defaultdict
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.nouns.description import DetectionOutput
from edgekit.processing import boxes
from edgekit.processing.suppression import overlaps
from edgekit.waist.tensors import Array

OVERLAPS = {"map": tuple(0.5 + 0.05 * step for step in range(10)), "map50": (0.5,)}
"""By metric, from which intersection over union on a box counts as found; the precisions are averaged."""

LEAST_SCORE, MOST_BOXES = 0.001, 100
"""Which boxes of a sample are judged: precision is wanted at every recall, not only beyond the app's threshold."""

RECALLS = np.linspace(0, 1, 101)

Floats = NDArray[np.float32]


class Detector(NamedTuple):
    """How boxes come out of a network: what its output means, and (height, width) of the picture that it takes.

    Without a size, boxes are told in 0..1.
    """

    output: DetectionOutput
    size: tuple[int, int] | None


def mean_average_precision(name: str, detector: Detector, outputs: dict[str, Array], labels: Array) -> float:
    """A mean over the classes that the labels name, and over the overlaps of `OVERLAPS`.

    Args:
        name: ``map`` or ``map50``.
        detector: reads the outputs; its own score threshold does not count, what it suppresses does.
        outputs: ``[N, *source_shape]`` by the source's names.
        labels: ``[N, M, 5]``: for each box its class (as the output's labels count), left, top, right, bottom in
            pixels of the network's input; rows with a class below 0 fill up.

    Raises:
        InputError: the labels are no such boxes, or none of them has a class.
    """
    _check(detector, outputs, labels)
    row = msgspec.structs.replace(detector.output, score_threshold=LEAST_SCORE, max_boxes=MOST_BOXES)
    wanted: dict[int, int] = defaultdict(int)
    scores: dict[int, list[Floats]] = defaultdict(list)
    hits: dict[int, list[Array]] = defaultdict(list)
    for index, label in enumerate(labels):
        found = boxes.detect(row, {key: values[index] for key, values in outputs.items()}, detector.size)
        true = label[label[:, 0] >= 0]
        for kind in np.union1d(found.classes, true[:, 0]).astype(int).tolist():
            mine, there = found.classes == kind, true[true[:, 0] == kind, 1:].astype(np.float32)
            wanted[kind] += len(there)
            scores[kind].append(found.scores[mine])
            hits[kind].append(_hits(found.corners[mine], there, OVERLAPS[name]))
    told = [kind for kind, count in wanted.items() if count]
    if not told:
        raise InputError("No label names a box.", place="--eval", fix="mark only rows that fill up by a class below 0")
    return float(np.mean([_precision(np.concatenate(scores[k]), np.concatenate(hits[k], 1), wanted[k]) for k in told]))


def _check(detector: Detector, outputs: dict[str, Array], labels: Array) -> None:
    samples = len(outputs[detector.output.name])
    fix = "give labels [N, M, 5]: class, left, top, right, bottom of each box, and class -1 in rows that fill up"
    if labels.ndim != 3 or labels.shape[-1] != 5:
        raise InputError(f"map compares boxes, but the labels are {list(labels.shape)}.", place="--metric", fix=fix)
    if samples != len(labels):
        raise InputError(f"There are {len(labels)} labels for {samples} samples.", place="--eval", fix=fix)
    known = np.asarray(labels, np.float64)
    true = known[known[..., 0] >= 0][:, 1:]
    if bool((true[:, 2:] <= true[:, :2]).any()):
        told = "A box of the labels ends before it begins."
        raise InputError(told, place="--eval", fix="give corners (left, top, right, bottom), not width and height")
    if detector.size is not None and true.size and float(true.max()) <= 1:
        height, width = detector.size
        told = f"The boxes of the labels lie within 0..1, where pixels of the input ({width} x {height}) are compared."
        raise InputError(told, place="--eval", fix="multiply them by the input's width and height")


def _hits(found: Floats, true: Floats, limits: tuple[float, ...]) -> NDArray[np.bool_]:
    """Which boxes ``[len(limits), N]``, best score first, find one that none before them found."""
    hits = np.zeros((len(limits), len(found)), bool)
    shares = np.stack([overlaps(box, true) for box in found]) if len(found) and len(true) else None
    for i, limit in enumerate(limits if shares is not None else ()):
        free = np.ones(len(true), bool)
        for j, row in enumerate(shares):  # type: ignore[arg-type]
            best = int(np.where(free, row, -1).argmax())
            if free[best] and row[best] >= limit:
                hits[i, j], free[best] = True, False
    return hits


def _precision(scores: Floats, hits: Array, wanted: int) -> float:
    """The average precision of one class: at 101 recalls the best precision that is had there or beyond."""
    order = np.argsort(-scores, kind="stable")
    told = []
    for row in hits[:, order]:
        right = np.cumsum(row)
        recall, precision = right / wanted, right / np.arange(1, len(row) + 1)
        best = np.maximum.accumulate(precision[::-1])[::-1]
        at = np.searchsorted(recall, RECALLS, side="left")
        told.append(np.append(best, 0.0)[at].mean())
    return float(np.mean(told))
