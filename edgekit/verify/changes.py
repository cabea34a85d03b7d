"""Whether a file keeps what changes from sample to sample: what all samples share hides that it does not."""

from collections.abc import Iterator

import numpy as np

from edgekit.nouns.verification import Agreement, Verdict
from edgekit.verify import agreement
from edgekit.verify.case import MOST_ALIKE, Case
from edgekit.verify.parts import FLOOR_DB
from edgekit.waist import movement
from edgekit.waist.tensors import Array

FEWEST_CHOICES = 16
"""Samples below which an agreement of classes says nothing about chance."""

MEASURES = 16
"""An output of so few values for each sample tells by their change alone; a picture tells by what stands in it, too."""


def about(case: Case, found: Agreement, expected: Array, got: Array, *, shown: bool) -> Iterator[tuple[Verdict, str]]:
    """What is to be said of an output of a file that may only be worse.

    Args:
        case: what is judged.
        found: how close the output comes.
        expected: the source's output ``[N, *shape]``.
        got: the file's.
        shown: a task metric shows that the network is of use all the same.
    """
    moved = None if found.identical else movement.moved(expected, got)
    alike = found.top1_agreement is not None and found.top1_agreement >= MOST_ALIKE
    if moved is None or (alike and _chooses(case, found, expected, got)):
        return
    little = moved.share <= movement.LEAST
    if little and moved.sqnr_db < movement.FOLLOWS_DB and not case.moving():
        return
    if little and (told := _steps(case, found.output, expected, got, moved)):
        yield "fail" if moved.sqnr_db < FLOOR_DB and not shown else "warn", told
        return
    if moved.sqnr_db < FLOOR_DB and (not little or expected[0].size <= MEASURES):
        of = f" ({moved.share:.1g} of its energy)" if little else ""
        lost = f"what changes from sample to sample in output {found.output}{of} is lost"
        yield "warn" if shown or little or alike else "fail", f"{lost}: SQNR {moved.sqnr_db:.1f} dB"
        return
    if not shown and _is_coarse(case, found):
        share = f"{found.top1_agreement:.0%} of the choices of output {found.output} are the source's"
        yield "warn", f"{share}: SQNR {found.varying_sqnr_db:.1f} dB of what changes from sample to sample"


def _steps(case: Case, output: str, expected: Array, got: Array, moved: movement.Movement) -> str:
    """What is to be said of an output far from 0 of which little is left, for its steps are as wide as what changes.

    What else loses that little, such as a layer in front, need not matter: it is a hundredth of the output's energy.
    """
    made, left_db = case.made.get(output), moved.sqnr_db
    bounded = made.bounded if made else bool((np.abs(expected) <= 1).all())
    if bounded or left_db >= movement.FOLLOWS_DB or not np.isfinite(expected).all():
        return ""
    width = movement.step(got)
    if width and movement.stepped_db(moved.variance, width) >= movement.FOLLOWS_DB:
        return ""
    helps = f"; choose {' or '.join(case.wider)}" if case.wider else ""
    return f"output {output} has steps of {width:.3g}: {left_db:.1f} dB of what changes between samples are left{helps}"


def _chooses(case: Case, found: Agreement, expected: Array, got: Array) -> bool:
    """Whether the source's choices differ, so that right ones show that samples are told apart."""
    both = agreement.choices(expected, got, case.made.get(found.output))
    return both is not None and len(np.unique(both.wanted)) > 1


def _is_coarse(case: Case, found: Agreement) -> bool:
    """Whether an output is proven to choose another class too often, for which there is a cause besides ties."""
    share, level = found.top1_agreement, found.varying_sqnr_db
    if share is None or level is None or level >= case.threshold_db or case.use == "random":
        return False
    return found.choices >= FEWEST_CHOICES and agreement.interval(share, found.choices)[1] < MOST_ALIKE
