"""Task metrics of labelled samples, and what they are for an answer that knows nothing."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.config import METRICS
from edgekit.errors import InputError
from edgekit.nouns.verification import MetricScore, TaskMetric
from edgekit.verify.detections import OVERLAPS, Detector, mean_average_precision
from edgekit.waist.rows import pieces
from edgekit.waist.tensors import Array, arrays, load_array

LOWER_IS_BETTER = frozenset({"mae", "mse"})

IGNORED = 255
"""What masks of classes hold where nobody says which class it is (Pascal VOC's and Cityscapes' convention)."""


@dataclass(frozen=True)
class Metric:
    """A task metric: ``score`` takes files, the outputs (`edgekit.waist.tensors.arrays`) and labels ``[N, ...]``."""

    name: str
    score: Callable[[Path, Path], MetricScore]


def built_in(name: str) -> Metric:
    """One of `edgekit.config.METRICS`; see `metric`."""
    return Metric(name, lambda outputs, labels: _score(name, arrays(outputs), load_array(labels)))


def of_boxes(name: str, detector: Detector) -> Metric:
    """``map`` or ``map50`` of what a detector finds (`edgekit.verify.detections.mean_average_precision`)."""

    def score(outputs: Path, labels: Path) -> MetricScore:
        return MetricScore(
            mean_average_precision(name, detector, arrays(outputs), load_array(labels)), higher_is_better=True
        )

    return Metric(name, score)


def _score(name: str, outputs: dict[str, Array], labels: Array) -> MetricScore:
    return MetricScore(metric(name, outputs, labels), higher_is_better=name not in LOWER_IS_BETTER)


def metric(name: str, outputs: dict[str, Array], labels: Array) -> float:
    """A task metric of the first output.

    Args:
        name: one of `edgekit.config.METRICS` but map and map50 (`of_boxes`); for mae and mse lower is better.
        outputs: ``[N, 1, C]`` scores (top1, top5), ``[N, 1, 1]`` or ``[N, 1, 2]`` scores (auc), values of the
            labels' shape (mae, mse), or masks (miou: see `masks`).
        labels: ``[N]`` class indices or ``[N, C]`` one-hot rows, 0/1 for auc, ``[N, ...]`` values for mae and
            mse, or ``[N, H, W]`` classes for miou, `IGNORED` where there is none.

    Raises:
        InputError: the output or the labels do not fit the metric.
    """
    scores = next(iter(outputs.values()))
    if len(scores) != len(labels):
        raise InputError(f"There are {len(labels)} labels for {len(scores)} samples.", place="--eval")
    if name in {"top1", "top5", "auc"}:
        labels = class_indices(labels)
    if name in {"top1", "top5"}:
        return _top(scores.reshape(len(scores), -1), labels, k=int(name[3:]))
    if name == "auc":
        return _auc(scores.reshape(len(scores), -1), labels)
    if name == "miou":
        return _miou(scores, labels)
    if scores[0].size != labels[0].size:
        raise InputError(
            f"{name} compares values, but an output holds {scores[0].size} and a label {labels[0].size}.",
            place="--metric",
            fix="choose top1 for class labels",
        )
    scores, labels = scores.reshape(len(scores), -1), labels.reshape(len(labels), -1)
    total = sum(_error(name, scores[rows], labels[rows]) for rows in pieces(scores))
    return total / scores.size


def _error(name: str, values: Array, others: Array) -> float:
    """The sum of absolute or squared differences."""
    apart = values.astype(np.float64) - others.astype(np.float64)
    return float(np.sum(np.abs(apart) if name == "mae" else np.square(apart)))


def class_indices(labels: Array) -> Array:
    """Class indices ``[N]`` of one-hot rows ``[N, C]``; other labels as they are."""
    rows = labels.reshape(len(labels), -1)
    if rows.shape[1] < 2 or not all(_one_hot(rows[part]) for part in pieces(rows)):
        return labels
    indices: Array = rows.argmax(axis=1)
    return indices


def _one_hot(rows: Array) -> bool:
    return bool(np.isin(rows, (0, 1)).all() and (rows.sum(axis=1, dtype=np.float64) == 1).all())


def _top(scores: Array, labels: Array, k: int) -> float:
    if scores.shape[1] < 2 or labels.reshape(len(labels), -1).shape[1] != 1:
        raise InputError(
            f"top{k} needs scores for at least two classes and one label for each sample; "
            f"the first output holds {scores.shape[1]} values, a label {labels[0].size}.",
            place="--metric",
            fix="choose auc, mae or mse",
        )
    wanted, right = labels.reshape(-1, 1), 0
    for rows in pieces(scores):
        best = np.argsort(-scores[rows].astype(np.float64), axis=1, kind="stable")[:, :k]
        right += int(np.any(best == wanted[rows], axis=1).sum())
    return right / len(scores)


def _auc(scores: Array, labels: Array) -> float:
    """Area under the ROC curve as the Mann-Whitney statistic with mid-ranks (Hanley & McNeil 1982)."""
    score = scores[:, -1].astype(np.float64)
    positive = labels.reshape(-1).astype(bool)
    if positive.all() or not positive.any():
        raise InputError("auc needs samples of both classes.", place="--eval", fix="add samples of the other class")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    n, m = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2.0) / (n * m))


def masks(scores: Array, shape: tuple[int, ...]) -> tuple[Array, int]:
    """The class of each pixel ``[*shape]`` in one sample's output, and how many classes there are.

    Args:
        scores: of each class, before or behind the pixels (``[1, C, H, W]``, ``[1, H, W, C]``), the first of several
            highest ones being chosen; or, of the size of a label, classes as integers, or the second of two classes:
            from 0.5 on if all values are probabilities, else from 0 on.
        shape: of a label, ``(H, W)``, with or without axes of one.

    Raises:
        InputError: it is none of these.
    """
    plain, wanted = scores.squeeze(), tuple(n for n in shape if n > 1)
    if plain.shape == wanted:
        if plain.dtype.kind in "iub":
            return plain.astype(np.int64).reshape(shape), max(2, int(plain.max(initial=0)) + 1)
        values = plain.astype(np.float64)
        probable = values.min(initial=0.0) >= 0.0 and values.max(initial=0.0) <= 1.0
        return (values >= (0.5 if probable else 0.0)).astype(np.int64).reshape(shape), 2
    for axis in (plain.ndim - 1, 0):
        if plain.ndim == len(wanted) + 1 and plain.shape[:axis] + plain.shape[axis + 1 :] == wanted:
            return plain.argmax(axis).reshape(shape), plain.shape[axis]
    raise InputError(
        f"miou compares masks, but a label is {list(shape)} and the first output {list(scores.shape)}.",
        place="--metric",
        fix="give labels [N, H, W] of the output's height and width, each pixel a class",
    )


def _miou(scores: Array, labels: Array) -> float:
    """Intersection over union of all samples' pixels, mean over the classes that occur (Everingham et al. 2010)."""
    together: dict[int, list[int]] = {}
    for row, label in zip(scores, labels, strict=True):
        given, _ = masks(row, label.shape)
        counted = label != IGNORED
        given, true = given[counted], label[counted].astype(np.int64)
        for one in np.union1d(given, true):
            found = together.setdefault(int(one), [0, 0])
            found[0] += int(((given == one) & (true == one)).sum())
            found[1] += int(((given == one) | (true == one)).sum())
    if not together:
        raise InputError("No label names a class.", place="--eval", fix=f"mark only what is unknown by {IGNORED}")
    return float(np.mean([both / either for both, either in together.values()]))


def chance(name: str, outputs: dict[str, Array], labels: Array) -> float | None:
    """What an answer reaches that knows nothing of the sample: any class; the labels' own mean or median.

    None if the labels are too few or too much alike to tell, or the metric is the user's own.
    """
    if name not in METRICS:
        return None
    scores = next(iter(outputs.values()))
    if name in {"top1", "top5"}:
        return min(1.0, int(name[3:]) / int(scores[0].size))
    if name == "auc":
        return 0.5
    if name == "miou":
        return _miou_of_one_class(labels)
    if name in OVERLAPS:
        return 0.0  # boxes anywhere find nothing
    values, total = labels.reshape(len(labels), -1), 0.0
    for columns in pieces(values.T):  # each holds all samples' labels of some places
        part = values[:, columns].astype(np.float64)
        middle = np.median(part, axis=0) if name == "mae" else part.mean(axis=0)
        total += _error(name, part, middle)
    return total / values.size if total > 0 else None


def _miou_of_one_class(labels: Array) -> float | None:
    """What an answer reaches that gives every pixel the class that most of them have; None if there is but one."""
    total: Counter[int] = Counter()
    for label in labels:
        classes, counts = np.unique(label[label != IGNORED], return_counts=True)
        total.update(dict(zip(map(int, classes), map(int, counts), strict=True)))
    return max(total.values()) / total.total() / len(total) if len(total) > 1 else None


def is_chance(measured: TaskMetric, value: float) -> bool:
    """Whether a value of the metric is no better than chance."""
    if measured.chance is None:
        return False
    return value >= measured.chance if measured.name in LOWER_IS_BETTER else value <= measured.chance


def is_skilled(measured: TaskMetric) -> bool:
    """Whether the source is better than chance beyond doubt: by two standard errors, or a tenth of an error."""
    if measured.chance is None:
        return False
    if measured.name in LOWER_IS_BETTER:
        return measured.source < 0.9 * measured.chance
    spread = np.sqrt(measured.chance * (1 - measured.chance) / measured.samples)
    return bool(measured.source > measured.chance + 2 * spread)


def odd_labels(name: str, outputs: dict[str, Array], labels: Array) -> str:
    """What is wrong with class labels that no output can be: labels that count from 1 are; "" if nothing is."""
    if name not in {"top1", "top5", "miou"}:
        return ""
    scores = next(iter(outputs.values()))
    if name == "miou":
        classes, indices = masks(scores[0], labels[0].shape)[1], labels[labels != IGNORED]
    else:
        classes, indices = scores[0].size, class_indices(labels)
    low, high = float(indices.min()), float(indices.max())
    if low >= 0 and high < classes:
        return ""
    return f"labels run from {low:g} to {high:g}, but the output has classes 0 to {classes - 1}"


def task_metric(name: str, reference: dict[str, Array], outputs: dict[str, Array], labels: Array) -> TaskMetric:
    """A built-in metric of source and artifact, and the drop."""
    return compared(name, _score(name, reference, labels), _score(name, outputs, labels), reference, labels)


def compared(
    name: str, source: MetricScore, artifact: MetricScore, reference: dict[str, Array], labels: Array
) -> TaskMetric:
    """Both sides' scores with the drop: how much worse the artifact is."""
    drop = source.value - artifact.value
    return TaskMetric(
        name=name,
        samples=len(labels),
        source=source.value,
        artifact=artifact.value,
        drop=drop if source.higher_is_better else -drop,
        chance=chance(name, reference, labels),
    )
