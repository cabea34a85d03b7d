"""Does an artifact compute what its source computes? Agreement, task metrics, verdicts.

All arrays are ``[N, *shape]`` in the source's layout and dtype.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.tensors import Array, arrays, blocks, sqnr_db
from edgekit.types import Agreement, Precision, TaskMetric, Verification

THRESHOLDS_DB: dict[Precision, float] = {
    "float32": 60.0,
    "float16": 40.0,
    "int16x8": 30.0,
    "dynamic-int8": 20.0,
    "int8": 15.0,
    "int4": 10.0,
}
"""SQNR below which a file is refused (floats) or warned about (quantized).

float32: single-precision reorderings stay above 100 dB on the models measured, a wrong transpose
falls to a few dB. float16: an 11-bit significand gives about 66 dB per rounding; 40 leaves room
for depth. Quantized: SQNR of a uniform quantizer is about 6 dB per bit (Bennett 1948); the values
leave half of the bits to accumulation over layers.
"""


def compare(reference: dict[str, Array], outputs: dict[str, Array]) -> tuple[Agreement, ...]:
    """Agreement of every output with the reference of the same name.

    Raises:
        InputError: a shape differs, which names the output and both shapes.
    """
    return tuple(_agreement(name, expected, outputs[name]) for name, expected in reference.items())


def _agreement(name: str, expected: Array, got: Array) -> Agreement:
    if expected.shape != got.shape:
        raise InputError(f"Output {name} has shape {got.shape[1:]}, the source's has {expected.shape[1:]}.", place=name)
    identical = bool(np.array_equal(expected, got, equal_nan=True))
    return Agreement(
        output=name,
        identical=identical,
        sqnr_db=None if identical else sqnr_db(expected, got),
        max_abs_error=max((_max_abs_error(a, b) for a, b in blocks(expected, got)), default=0.0),
        cosine=_cosine(expected, got),
        top1_agreement=_top1_agreement(expected, got),
    )


def _max_abs_error(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    finite = np.isfinite(a) & np.isfinite(b)
    return float(np.abs(a[finite] - b[finite]).max(initial=0.0))


def _cosine(expected: Array, got: Array) -> float | None:
    squares = [(np.vdot(a, a), np.vdot(b, b), np.vdot(a, b)) for a, b in blocks(expected, got)]
    own, other, product = (float(np.sum(column)) for column in zip(*squares, strict=True)) if squares else (0.0,) * 3
    norm = float(np.sqrt(own) * np.sqrt(other))
    return product / norm if np.isfinite(norm) and norm > 0 else None


def _classes(values: Array) -> bool:
    """Scores ``[N, 1, C]`` with C ≥ 2: one row for each sample."""
    return values.ndim == 3 and values.shape[1] == 1 and values.shape[2] >= 2 and values.dtype.kind == "f"


def _top1_agreement(expected: Array, got: Array) -> float | None:
    if not _classes(expected):
        return None
    return float(np.mean(expected.argmax(axis=-1) == got.argmax(axis=-1)))


def metric(name: str, outputs: dict[str, Array], labels: Array) -> float:
    """A task metric of the first output.

    Args:
        name: as in `edgekit.config.Project`; for mae and mse lower is better.
        outputs: ``[N, 1, C]`` scores (top1, top5), ``[N, 1, 1]`` or ``[N, 1, 2]`` scores (auc), or
            values of the labels' shape (mae, mse).
        labels: ``[N]`` class indices, 0/1 for auc, or ``[N, ...]`` values for mae and mse.

    Raises:
        InputError: the output or the labels do not fit the metric.
    """
    scores = next(iter(outputs.values()))
    if len(scores) != len(labels):
        raise InputError(f"There are {len(labels)} labels for {len(scores)} samples.", place="--eval")
    if name in {"top1", "top5"}:
        return _top(scores.reshape(len(scores), -1), labels, k=int(name[3:]))
    if name == "auc":
        return _auc(scores.reshape(len(scores), -1), labels)
    if scores[0].size != labels[0].size:
        raise InputError(
            f"{name} compares values, but an output holds {scores[0].size} and a label {labels[0].size}.",
            place="--metric",
            fix="choose top1 for class labels",
        )
    error = scores.reshape(len(scores), -1).astype(np.float64) - labels.reshape(len(labels), -1).astype(np.float64)
    return float(np.mean(np.abs(error))) if name == "mae" else float(np.mean(np.square(error)))


def _top(scores: Array, labels: Array, k: int) -> float:
    if scores.shape[1] < 2 or labels.reshape(len(labels), -1).shape[1] != 1:
        raise InputError(
            f"top{k} needs scores for at least two classes and one label for each sample; "
            f"the first output holds {scores.shape[1]} values, a label {labels[0].size}.",
            place="--metric",
            fix="choose auc, mae or mse",
        )
    best = np.argsort(-scores.astype(np.float64), axis=1, kind="stable")[:, :k]
    return float(np.mean(np.any(best == labels.reshape(-1, 1), axis=1)))


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


def task_metric(name: str, reference: dict[str, Array], outputs: dict[str, Array], labels: Array) -> TaskMetric:
    """The metric of source and artifact, and the drop: how much worse the artifact is."""
    source, artifact = metric(name, reference, labels), metric(name, outputs, labels)
    drop = artifact - source if name in {"mae", "mse"} else source - artifact
    return TaskMetric(name=name, samples=len(labels), source=source, artifact=artifact, drop=drop)


def judge(
    precision: Precision,
    origin: str,
    reference: dict[str, Array],
    outputs: dict[str, Array],
    *,
    measured: TaskMetric | None = None,
    max_drop: float | None = None,
) -> Verification:
    """The evidence with its verdict; the worst output decides."""
    agreements = compare(reference, outputs)
    known = [agreement.sqnr_db for agreement in agreements if agreement.sqnr_db is not None]
    worst = min(known) if known else None
    threshold = THRESHOLDS_DB[precision]
    missed = measured is not None and max_drop is not None and measured.drop > max_drop
    low = worst is not None and worst < threshold
    reason = ""
    if missed and measured is not None:
        reason = f"{measured.name} dropped by {measured.drop:.4f}, more than the {max_drop} allowed"
    elif low:
        reason = f"SQNR {worst:.1f} dB is below {threshold:.0f} dB"
    return Verification(
        samples=len(next(iter(reference.values()))),
        samples_origin=origin,
        outputs=agreements,
        sqnr_db=worst,
        threshold_db=threshold,
        metric=measured,
        max_drop=max_drop,
        verdict="miss" if missed else "warn" if low else "pass",
        reason=reason,
    )


def judge_files(
    precision: Precision,
    origin: str,
    reference: Path,
    outputs: Path,
    *,
    metric: str | None = None,
    labels: Path | None = None,
    max_drop: float | None = None,
) -> Verification:
    """`judge` on the ``.npz`` files of both sides; the task metric needs ``labels``, an ``.npy``."""
    wanted, got = arrays(reference), arrays(outputs)
    measured = None
    if metric is not None and labels is not None:
        measured = task_metric(metric, wanted, got, np.load(labels, allow_pickle=False))
    return judge(precision, origin, wanted, got, measured=measured, max_drop=max_drop)
