"""The rungs of a search for accuracy: which there are for a file, which of two is better, and what is said of one."""

from typing import get_args

import msgspec

from edgekit.engine.store import Answer
from edgekit.nouns.building import Built
from edgekit.nouns.ladder import Effort, Rung
from edgekit.nouns.manifest import ArtifactFile
from edgekit.nouns.model import CALIBRATED, WEIGHTS_ONLY
from edgekit.nouns.quantization import Settings
from edgekit.nouns.target import Variant
from edgekit.nouns.verification import Verification
from edgekit.steps.mixed import FloatSet

type File = tuple[ArtifactFile, Answer[Built]]
"""What is known of a file, and the answer that holds it."""


class Proposal(msgspec.Struct, frozen=True):
    """A rung before it is tried: the least effort with which it is, and the modelled cost of what is float."""

    name: str
    settings: Settings = {}
    effort: Effort = "quick"
    cost: float = 0.0


class Attempt(msgspec.Struct, frozen=True):
    """A rung that was tried, with its file."""

    rung: Rung
    file: ArtifactFile
    answer: Answer[Built]
    cost: float = 0.0


SAME_LATENCY, SAME_MS = 1.1, 0.05
"""What lies between latencies of a few runs that may as well be the same: times as long, and ms.

A core that shares its arithmetic with a busy one takes twice as long for runs of 6 µs (a network of 16×16 pixels).
"""


MEASURABLE_DB = 0.5
"""What a file must gain by operators that stay float if it misses the budget all the same: less is chance."""


def is_better(attempt: Attempt, best: Attempt | None) -> bool:
    """Whether a rung is to take the place of the best so far; what costs more and gains nothing measurable is not.

    Of two that meet the budget the faster is better, else that which costs less, else that which loses less.
    """
    if best is None:
        return True
    mine, other = rank(attempt.file), rank(best.file)
    if attempt.rung.met and best.rung.met:
        faster = _is_faster(attempt.rung, best.rung)
        return (attempt.cost, mine) < (best.cost, other) if faster is None else faster
    if mine >= other:
        return False
    levels = [None if one.file.verification is None else one.file.verification.sqnr_db for one in (attempt, best)]
    if attempt.rung.met or attempt.cost <= best.cost or levels[0] is None or levels[1] is None:
        return True
    return levels[0] - levels[1] >= MEASURABLE_DB


def _is_faster(one: Rung, other: Rung) -> bool | None:
    """Whether a rung is faster than another; None if nobody can tell (`SAME_LATENCY`)."""
    if one.latency_ms is None or other.latency_ms is None:
        return None
    fast, slow = sorted((one.latency_ms, other.latency_ms))
    if slow <= max(SAME_LATENCY * fast, fast + SAME_MS):
        return None
    return one.latency_ms < other.latency_ms


FITTED = (
    Proposal("ranges", {"weights": "nearest"}),
    Proposal("bias correction", {"weights": "bias-correction"}),
    Proposal("equalization", {"equalization": "on"}),
    Proposal("learned rounding", {"weights": "learned"}, "normal"),
    Proposal("searched ranges", {"ranges": "searched"}, "thorough"),
)
"""Ways of the TFLite backend (and of what compiles its files) for integers, from cheap to dear."""

MIXED = "mixed precision"
"""How the names of rungs begin that keep operators float."""

MIXING = frozenset({"tflite"})
"""Backends that keep single operators float."""

CONTROLLED = frozenset({"openvino"})
"""Backends that choose themselves which operators stay float, for so many dB of the outputs (``least_db``)."""

STEPS_DB: dict[Effort, tuple[float, ...]] = {
    "quick": (),
    "normal": (4.0, 10.0),
    "thorough": (2.0, 4.0, 7.0, 10.0, 15.0),
}
"""By how much the outputs are to be better than on the best rung so far, one after the other."""

BISECTIONS: dict[Effort, int] = {"quick": 0, "normal": 2, "thorough": 8}
"""How many files are built to make a set of float operators smaller that meets the budget."""

AS_PROPOSED = Proposal("as the target proposes")
"""What is built without a search, so that no search ends below it; the only rung of what has no ladder."""

WEIGHTS = (
    Proposal("nearest level", {"weights": "nearest"}),
    Proposal("bias correction", {"weights": "bias-correction"}),
    Proposal("learned rounding", {"weights": "learned"}, "normal"),
)
"""Ways of the TFLite backend for weights alone, which need samples."""

FITTING = frozenset({"tflite"})
"""Backends that fit weights of `edgekit.nouns.model.WEIGHTS_ONLY` precisions to samples."""

LADDERS: dict[str, tuple[Proposal, ...]] = {
    "tflite": FITTED,
    "edgetpu": FITTED,
    "openvino": (
        Proposal("ranges", {"weights": "nearest"}),
        Proposal("bias correction", {"weights": "bias-correction"}),
        Proposal("equalization", {"equalization": "activations"}),
        Proposal("bias correction, layer by layer", {"weights": "learned"}, "normal"),
    ),
}
"""Ways of a backend for `edgekit.nouns.model.CALIBRATED` precisions, after that of its target."""


def of(variant: Variant, effort: Effort, *, calibrated: bool = True) -> tuple[Proposal, ...]:
    """The ways to make a file that differ, in order. What a target or the user says stands, whatever a rung says.

    Args:
        variant: the file.
        effort: how far to go.
        calibrated: there are samples for calibration.
    """
    efforts = get_args(Effort)
    ladder = LADDERS.get(variant.backend, ()) if variant.precision in CALIBRATED else ()
    if variant.precision in WEIGHTS_ONLY and variant.backend in FITTING and calibrated:
        ladder = WEIGHTS
    found: dict[str, Proposal] = {}
    for rung in (AS_PROPOSED, *ladder):
        if efforts.index(rung.effort) > efforts.index(effort):
            continue
        asked = {key: value for key, value in rung.settings.items() if key not in variant.settings}
        found.setdefault(repr(sorted(asked.items())), msgspec.structs.replace(rung, settings=asked))
    return tuple(found.values())


def shortfalls(judged: Verification) -> tuple[float, ...]:
    """How far a file is from each demand on it that it misses, as a part of the demand; none if all are met."""
    lacks = []
    if judged.max_drop is not None and judged.metric is not None:
        lacks.append((judged.metric.drop - judged.max_drop) / max(abs(judged.metric.source), 1e-12))
    if judged.min_agreement and judged.agreement is not None:
        lacks.append(1 - judged.agreement / judged.min_agreement)
    if judged.min_sqnr_db and judged.sqnr_db is not None:
        lacks.append(1 - judged.sqnr_db / judged.min_sqnr_db)
    return tuple(lack for lack in lacks if lack > 0)


def rank(file: ArtifactFile) -> tuple[bool, int, float, float]:
    """What makes one file better than another, less being better.

    Whether it is of no use, how many demands it misses, by how much, and what it loses. The demands come first, since
    what is short of one is measured in another unit than what is short of the next: a file that meets one of two is
    closer than one that misses both by less.
    """
    judged = file.verification
    if judged is None:
        return True, 0, 0.0, 0.0
    lacks = shortfalls(judged)
    return judged.verdict == "fail", len(lacks), sum(lacks), 0.0 if judged.sqnr_db is None else -judged.sqnr_db


def known(proposal: Proposal, first: Attempt | None) -> Rung | None:
    """What the first rung's backend tells of a way that it has tried beside others; None if it has not.

    It took what comes closest on the calibration samples. That has been judged, and as far as one can know without a
    look at the samples that judge, the rest is no better.
    """
    tried = () if first is None else first.answer.result.tried
    covering = [one for one in tried if proposal.settings and one.covers(proposal.settings)]
    found = min(covering, key=lambda one: (bool(one.problem), -(one.level_db or 0.0)), default=None)
    if first is None or found is None:
        return None
    rung = Rung(name=proposal.name, settings=proposal.settings, problem=found.problem)
    if found.problem:
        return rung
    return msgspec.structs.replace(rung, within=first.rung.name, calibration_db=found.level_db)


def on(proposal: Proposal, first: Attempt | None) -> Proposal:
    """A rung that changes more than how weights are rounded, with these rounded as the first rung found best."""
    way = {} if first is None else {k: v for k, v in first.answer.result.chosen.items() if k == "weights"}
    return msgspec.structs.replace(proposal, settings=way | proposal.settings)


def floating(best: Attempt, chosen: FloatSet) -> Proposal:
    """The best rung, made as its backend chose, with operators that stay float."""
    places = tuple(sorted(chosen.places))
    name = f"{MIXED}, {len(places)} operator{'s' if len(places) > 1 else ''} in float32"
    return Proposal(name, _as_made(best) | {"float_operators": places}, "normal", chosen.cost)


def controlled(best: Attempt, least_db: float) -> Proposal:
    """The best rung, made as its backend chose, with as many operators float as it takes for so many dB."""
    return Proposal(f"{MIXED} for {least_db:.1f} dB", _as_made(best) | {"least_db": least_db}, "normal", 1.0)


def _as_made(best: Attempt) -> Settings:
    """The settings of a rung with what its backend chose, so that it need not choose again."""
    return best.rung.settings | best.answer.result.chosen


def told(rung: Rung, metric: str = "") -> str:
    """A rung on one line, for the screen; ``metric`` is what its metric is called."""
    if rung.problem:
        return f"{rung.name}: {rung.problem.removesuffix('.')}"
    if rung.within:
        level = "" if rung.calibration_db is None else f", {rung.calibration_db:.1f} dB on calibration samples"
        return f"{rung.name}: tried within {rung.within!r}{level}"
    parts = [
        "" if rung.metric is None else f"{metric} {rung.metric:.4f} (drop {rung.drop:.4f})",
        "SQNR identical" if rung.sqnr_db is None else f"SQNR {rung.sqnr_db:.1f} dB",
        "" if rung.agreement is None else f"{rung.agreement:.1%} agree",
        "" if rung.size_bytes is None else f"{rung.size_bytes / 1024:,.1f} KiB",
        "" if rung.latency_ms is None else f"{rung.latency_ms:.2f} ms here",
        f"{rung.seconds:.1f} s",
        "meets the budget" if rung.met else "misses the budget",
    ]
    return f"{rung.name}: {', '.join(part for part in parts if part)}"


def clock(seconds: float) -> str:
    """Seconds as ``m:ss``."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
