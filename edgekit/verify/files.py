"""Judging from files: the outputs of both sides as ``.npz``, labels as ``.npy``."""

from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.nouns.verification import Judged, MetricScore
from edgekit.verify import metrics, verdict
from edgekit.verify.case import Case
from edgekit.verify.probes import Probed
from edgekit.waist import movement
from edgekit.waist.tensors import arrays, load_array


@dataclass(frozen=True)
class Sides:
    """Where the samples lie, and the outputs of source and artifact: for samples, and for probes with their names."""

    samples: Path
    reference: Path
    outputs: Path
    probes_reference: Path
    probes_outputs: Path
    names: tuple[str, ...]
    unavailable: str = ""


def judge(
    sides: Sides,
    case: Case,
    metric: metrics.Metric | None = None,
    labels: Path | None = None,
    source: MetricScore | None = None,
) -> Judged:
    """The verdict on files; see `edgekit.verify.judge`.

    Args:
        sides: what both sides gave.
        case: what is judged, as far as it is known before the outputs are read.
        metric: a task metric of ``labels``.
        labels: an ``.npy`` with one for each sample.
        source: the source's own score, as far as it is known already.

    Raises:
        InputError: outputs or labels do not fit.
    """
    wanted, got = arrays(sides.reference), arrays(sides.outputs)
    if metric is not None and labels is not None:
        known = load_array(labels)
        scores = source or metric.score(sides.reference, labels), metric.score(sides.outputs, labels)
        measured = metrics.compared(metric.name, *scores, wanted, known)
        case = replace(case, measured=measured, odd_labels=metrics.odd_labels(metric.name, wanted, known))
    probed = Probed(
        sides.names, arrays(sides.probes_reference), arrays(sides.probes_outputs), unavailable=sides.unavailable
    )
    case = replace(case, moving=lambda: any(map(movement.moves, arrays(sides.samples).values())))
    return verdict.judge(case, wanted, got, probed)
