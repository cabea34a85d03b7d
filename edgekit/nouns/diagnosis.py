"""Where a file loses its signal: every operator of it held against the float network that it was made from."""

from typing import Literal

from edgekit.nouns.base import Noun

Cause = Literal["inputs", "weights", "bias", "clipping", "steps", "kernel", "rewritten"]
"""What an operator's error comes from.

``inputs``: what it reads is rounded (also anew at every run, as hybrid kernels do). ``weights``, ``bias``: its
constants are. ``clipping``: values of its result lie outside of the range that the file gives it. ``steps``: the
levels inside of this range are too far apart. ``kernel``: it computes otherwise than its integers say.
``rewritten``: all of it, if the file computes the result in another way than the float network.
"""

SHOWN = 10
"""Operators that a table shows if nobody says how many."""

MOST_SAMPLES = 64
"""Samples on which both networks run at most if nobody says how many."""

type Value = Literal["share", "alone", "accumulated", "outputs"]
"""A figure of an operator: its share, or an SQNR."""


class Blame(Noun, frozen=True, kw_only=True):
    """One cause of an operator's error.

    ``db`` is the SQNR of its result if this were the only error; ``share`` (0..1) its part of the sum of all causes.
    ``told`` says it in words; ``figures`` are the numbers in them, by name, with their units.
    """

    cause: Cause
    db: float
    share: float
    told: str
    figures: dict[str, float] = {}


class Help(Noun, frozen=True, kw_only=True):
    """What was tried on one operator, and what it gave: the SQNR of its result before and after, its inputs exact.

    ``setting`` is how a build is told to do so (``KEY=VALUE``), "" if no single setting does. ``output_before_db`` and
    ``output_after_db`` are those of the network's outputs if the operator's error were the only one: what does not help
    there is not told, such as the ends of a range that nothing behind reads. None if outputs were not looked at, or are
    equal.
    """

    remedy: str
    told: str
    before_db: float
    after_db: float
    setting: str = ""
    output_before_db: float | None = None
    output_after_db: float | None = None


class OperatorDiagnosis(Noun, frozen=True, kw_only=True):
    """One operator of a file that rounds: an input that is stored as integers counts as one (``input``).

    Args:
        index: its place in the file; None for an input.
        place: the operator of the float network that makes the same tensor, by its place; None for an input.
        operator: its kind.
        name: of the tensor that it makes, in the float network.
        tensor: the same tensor's name in the file.
        dtype: of this tensor, in the file.
        alone_db: SQNR of its result against the float network's if it reads that network's own values, on the grids
            of its inputs; None if it is equal bit for bit.
        accumulated_db: the same in the file as it runs; None if it is equal.
        output_db: SQNR of the network's outputs (the mean over their relative errors) if this operator's error were
            the only one; None if there is none, or if it was not asked for.
        share: its part (0..1) of the sum of all operators' errors at the outputs; None without ``output_db``.
        through: kinds of the file's operators between this one and the tensors that both networks have.
        blames: the causes, the largest first.
        helps: what would help, the best first.
    """

    index: int | None
    place: int | None
    operator: str
    name: str
    tensor: str
    dtype: str
    alone_db: float | None
    accumulated_db: float | None
    output_db: float | None = None
    share: float | None = None
    through: tuple[str, ...] = ()
    blames: tuple[Blame, ...] = ()
    helps: tuple[Help, ...] = ()


class Unmatched(Noun, frozen=True, kw_only=True):
    """An operator of the file whose result was not compared, and why."""

    index: int
    operator: str
    name: str
    reason: str


class Diagnosis(Noun, frozen=True, kw_only=True):
    """What was found of a file: its operators in the order in which they run.

    ``output_db`` is the SQNR of the whole file's float outputs on these samples, the mean over their relative errors;
    None if they are equal, or if none is float. ``operators_total`` counts what computes in the file.
    """

    samples: int
    output_db: float | None
    operators: tuple[OperatorDiagnosis, ...]
    operators_total: int
    unmatched: tuple[Unmatched, ...] = ()
    remarks: tuple[str, ...] = ()

    def worst(self, most: int | None = None) -> tuple[OperatorDiagnosis, ...]:
        """Those that cost the outputs most, the worst first; without figures for outputs, the worst alone."""

        def rank(row: OperatorDiagnosis) -> tuple[float, float]:
            """By share, then by its own SQNR."""
            return -(row.share or 0.0), float("inf") if row.alone_db is None else row.alone_db

        ranked = sorted((row for row in self.operators if row.alone_db is not None), key=rank)
        return tuple(ranked[:most])


class Diagnosed(Noun, frozen=True, kw_only=True):
    """What ``edgekit diagnose`` tells of a file.

    ``source`` is the model that it was held against, ``samples_origin`` what both ran on; ``notes`` say how these were
    found.
    """

    file: str
    source: str
    samples_origin: str
    diagnosis: Diagnosis
    notes: tuple[str, ...] = ()
