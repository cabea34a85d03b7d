"""Which operators leave the integers, so that a network loses less for the least time: sets, each within the next.

An operator in float32 has exact weights. But what it makes is still rounded if an operator in integers reads it, so
that the error of a tensor goes only if its maker and all its readers are float. So a greedy choice by what is gained
for what it costs must look at an operator together with those that read it.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from edgekit.engine.question import Question
from edgekit.engine.session import Session
from edgekit.engine.store import Answer
from edgekit.nouns.base import Noun
from edgekit.nouns.building import Built
from edgekit.nouns.diagnosis import Diagnosis, OperatorDiagnosis
from edgekit.nouns.model import Waist
from edgekit.nouns.samples import Kept
from edgekit.nouns.verification import Verification
from edgekit.steps import diagnosis, sampling

SAMPLES = 16
"""Calibration samples on which operators are looked into: their shares of the error hardly change with more."""

MOST_OPERATORS = 96
"""The most operators among which is chosen, those with the largest errors, beside those that read what these make."""

MOST_FLOAT = 0.5
"""The largest part of the multiply-accumulates that leaves the integers: beyond it float16 is the better file."""

FLOAT_PER_MAC, PER_ELEMENT = 0.5, 8.0
"""What a multiply-accumulate costs more in float32 than in int8, and what it costs to convert an element on the way in
or out, both in float32 multiply-accumulates.

Estimates, on the careful side: on an x86-64 core with AVX-512 VNNI, ResNet-8 takes 0.255 ms in float32 and 0.078 ms in
int8 (LiteRT 2.1.2 with XNNPACK, one thread, `edgekit profile --quick`); cores without dot products should gain less by
integers. That conversions are bound by memory was not measured. They order sets of operators; files are timed.
"""


class OperatorCost(Noun, frozen=True, kw_only=True):
    """An operator of the float network: what it costs in float, its MACs, and the places that read what it makes."""

    cost: float
    macs: int = 0
    readers: tuple[int, ...]


@dataclass(frozen=True)
class OperatorNoise:
    """An operator that may leave the integers.

    ``weights`` is the part of the outputs' error (noise over signal) that its own constants cause, ``result`` that of
    the rounding of what it makes. ``readers`` are the places that read this.
    """

    cost: float
    weights: float
    result: float
    readers: frozenset[int]
    macs: int = 0


@dataclass(frozen=True)
class FloatSet:
    """Operators that are float, by place; what they cost, and the error that is left, as a part of all."""

    places: frozenset[int] = field(default_factory=frozenset)
    cost: float = 0.0
    left: float = 1.0


def sets(session: Session, waist: Answer[Waist], built: Answer[Built], samples: Answer[Kept]) -> tuple[FloatSet, ...]:
    """Sets of operators to keep float, from the cheapest on; the file that was built tells where its error is born.

    Raises:
        InputError, Unsupported: the file cannot be looked into.
    """
    few = sampling.take(session, samples, SAMPLES)
    found = diagnosis.diagnose(session, built.folder / built.result.files[0], (waist,), few, 0).result
    places = _places(session, waist)
    return chain(candidates(found, places), MOST_FLOAT * sum(place.macs for place in places))


WORTH_BUILDING = 0.8
"""The largest part of the error that the first set may leave: one decibel, which a metric might notice."""


def needed(judged: Verification) -> float:
    """What part of a file's error may be left if it is to meet the budget, as far as that can be told beforehand.

    A choice changes if the error is larger than the margin between two places, and few margins are small: so the share
    of choices that change grows with the error's amplitude. `WORTH_BUILDING` at most.
    """
    parts = [WORTH_BUILDING]
    if judged.min_sqnr_db is not None and judged.sqnr_db is not None:
        parts.append(float(10 ** ((judged.sqnr_db - judged.min_sqnr_db) / 10)))
    if judged.min_agreement is not None and judged.agreement is not None and judged.agreement < judged.min_agreement:
        parts.append(((1 - judged.min_agreement) / (1 - judged.agreement)) ** 2)
    return min(parts)


LEAST_TRUST = 0.1
"""The least part of the decibels foretold that a set may have gained and still tell something of the next."""


def next_part(left: float, before_db: float | None, after_db: float | None) -> float:
    """What part of the error the next set may leave: half of what a set was to leave, which left more than foretold.

    If that gained but a part of the decibels that were foretold, so will the next, which must promise more.

    Args:
        left: what the last set was to leave of the error of the file without any.
        before_db: this file's SQNR.
        after_db: that with the last set.
    """
    foretold_db = -10 * math.log10(max(left, 1e-9))
    gained_db = foretold_db if before_db is None or after_db is None else after_db - before_db
    trust = min(1.0, max(LEAST_TRUST, gained_db / max(foretold_db, 1e-9)))
    return float(left * 0.5 ** (1 / trust))


def first(chain: tuple[FloatSet, ...], left: float, after: int = 0) -> int:
    """How many sets of a chain, more than ``after``, lead to one that leaves no more than a part; else all of them."""
    return next((k for k in range(after + 1, len(chain)) if chain[k - 1].left <= left), len(chain))


def candidates(found: Diagnosis, places: tuple[OperatorCost, ...]) -> dict[int, OperatorNoise]:
    """The operators of a diagnosis with the largest errors of their own, those that read what these make, and the last.

    What only moves values has no error of its own, and stands between what has.
    """
    measured = any(row.output_db is not None for row in found.operators)
    made = {
        row.place: _candidate(row, places[row.place], measured=measured)
        for row in found.operators
        if row.place is not None and row.place < len(places)
    }
    ranked = sorted(made, key=lambda place: -(made[place].weights + made[place].result))
    chosen = {place: made[place] for place in ranked[:MOST_OPERATORS]}
    last = {place for place, cost in enumerate(places) if not cost.readers}
    readers = ({reader for one in chosen.values() for reader in one.readers} | last) - chosen.keys()
    return chosen | {place: made.get(place) or _silent(places[place]) for place in sorted(readers)}


def _candidate(row: OperatorDiagnosis, place: OperatorCost, *, measured: bool) -> OperatorNoise:
    level_db = row.output_db if measured else row.alone_db
    noise = 0.0 if level_db is None else 10 ** (-level_db / 10)
    own, result = (sum(blame.share for blame in row.blames if blame.cause in causes) for causes in (OWN, RESULT))
    rounded = 0.0 if row.dtype.startswith("float") else noise * result  # what is float already gains nothing
    return OperatorNoise(place.cost, noise * own, rounded, frozenset(place.readers), place.macs)


OWN = frozenset({"weights", "bias"})
"""What an operator's error comes from that is gone if it is float itself."""

RESULT = frozenset({"clipping", "steps", "kernel", "rewritten"})
"""The same that is gone if all that read it are float too. What is due to its inputs is the error of who makes them."""


def _silent(place: OperatorCost) -> OperatorNoise:
    return OperatorNoise(place.cost, 0.0, 0.0, frozenset(place.readers), place.macs)


def chain(operators: dict[int, OperatorNoise], most_macs: float = math.inf) -> tuple[FloatSet, ...]:
    """Sets of operators, each within the next, that leave less and less error for what they cost.

    Each step takes the operator, alone or with all that read what it makes, of which the error that goes is the most
    for the cost that comes. No set has more than ``most_macs`` multiply-accumulates. What makes the outputs is in all
    of them: an output of 256 levels has ties, and a choice changes at a tie though hardly a decibel is lost.
    """
    total = sum(one.weights + one.result for one in operators.values())
    made: list[FloatSet] = []
    chosen = frozenset(place for place, one in operators.items() if not one.readers)
    if sum(operators[place].macs for place in chosen) > most_macs:
        chosen = frozenset()
    if _gone(operators, chosen) > 0:
        made.append(_set(operators, chosen, total))
    while total > 0:
        steps = [chosen | more for more in _more(operators, chosen)]
        steps = [step for step in steps if sum(operators[place].macs for place in step) <= most_macs]
        gained = {step: _gone(operators, step) - _gone(operators, chosen) for step in steps}
        best = max(steps, key=lambda step: gained[step] / _cost(operators, step - chosen), default=None)
        if best is None or gained[best] <= 1e-6 * total:
            break
        chosen = best
        made.append(_set(operators, chosen, total))
    return tuple(made)


def _set(operators: dict[int, OperatorNoise], chosen: frozenset[int], total: float) -> FloatSet:
    return FloatSet(chosen, _cost(operators, chosen), max(0.0, 1 - _gone(operators, chosen) / total))


def _more(operators: dict[int, OperatorNoise], chosen: frozenset[int]) -> Iterable[frozenset[int]]:
    """What may be added next: single operators, and each with its readers as far as they are known."""
    for place, one in operators.items():
        together = frozenset({place, *(reader for reader in one.readers if reader in operators)}) - chosen
        if place not in chosen:
            yield frozenset({place})
        if together and together != {place}:
            yield together


def _gone(operators: dict[int, OperatorNoise], chosen: frozenset[int]) -> float:
    """The error that is gone if these are float."""
    own = sum(operators[place].weights for place in chosen)
    return own + sum(operators[place].result for place in chosen if operators[place].readers <= chosen)


def _cost(operators: dict[int, OperatorNoise], chosen: Iterable[int]) -> float:
    return sum(operators[place].cost for place in chosen) or 1e-9


def _places(session: Session, waist: Answer[Waist]) -> tuple[OperatorCost, ...]:
    """What each operator of the float network costs in float, and who reads what it makes."""
    path = waist.folder / waist.result.file

    def read(_: Path) -> tuple[OperatorCost, ...]:
        from edgekit.waist import cost, graph  # noqa: PLC0415  the flatbuffer schema is only needed on a cold path

        main = graph.read(path)[0]
        made = []
        for operator in main.operators:
            held = [main.tensors[t] for t in (*operator.inputs, *operator.outputs) if t >= 0]
            elements = sum(cost.tensor_bytes(tensor) // 4 for tensor in held if not tensor.constant_bytes)
            readers = [other.index for other in main.operators if set(operator.outputs) & set(other.inputs)]
            macs = cost.macs(main, operator)
            made.append(
                OperatorCost(cost=FLOAT_PER_MAC * macs + PER_ELEMENT * elements, macs=macs, readers=tuple(readers))
            )
        return tuple(made)

    question = Question(what="operators", modules=("edgekit.waist.cost", __name__), inputs={"waist": waist})
    return session.ask(question, tuple[OperatorCost, ...], read).result
