"""The search for a file that meets a budget of accuracy: a ladder from cheap to dear.

A rung is a variant with other settings, so that building and verifying it are steps like any other, and a search
that was killed goes on from the cache. It ends at the first rung that meets the budget.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import msgspec

from edgekit.engine.session import Session
from edgekit.engine.store import Answer
from edgekit.errors import EdgekitError, InputError, OutOfTimeError, Unsupported
from edgekit.host import events
from edgekit.nouns.building import Built
from edgekit.nouns.ladder import Effort, Rung
from edgekit.nouns.manifest import FILE_NAME, ArtifactFile, Manifest, read
from edgekit.nouns.model import CALIBRATED, FLOATS
from edgekit.nouns.quantization import Settings
from edgekit.nouns.target import BuildOptions, Variant
from edgekit.nouns.verification import Verification
from edgekit.steps import speed
from edgekit.steps.conversion import Subject

type File = tuple[ArtifactFile, Answer[Built]]
"""What is known of a file, and the answer that holds it."""


class Search(msgspec.Struct, frozen=True):
    """How far to search, until a moment (`time.monotonic`, s); None: there is no limit."""

    effort: Effort
    until: float | None = None

    @property
    def left_s(self) -> float | None:
        """Seconds that are left, 0 or more; None if there is no limit."""
        return None if self.until is None else max(0.0, self.until - time.monotonic())


class Proposal(msgspec.Struct, frozen=True):
    """A rung before it is tried; ``effort`` is the least with which it is."""

    name: str
    settings: Settings = {}
    effort: Effort = "quick"


class Attempt(msgspec.Struct, frozen=True):
    """A rung that was tried, with its file."""

    rung: Rung
    file: ArtifactFile
    answer: Answer[Built]

    @property
    def rank(self) -> tuple[bool, float, float, float]:
        """What makes one better than another, less being better: of those that meet the budget what it costs."""
        useless, lack, loss = _rank(self.file)
        return useless, lack, (self.rung.latency_ms or 0.0) if self.rung.met else 0.0, loss


FITTED = (
    Proposal("ranges", {"weights": "nearest"}),
    Proposal("bias correction", {"weights": "bias-correction"}),
    Proposal("learned rounding", {"weights": "learned"}, "normal"),
)
"""Ways of the TFLite backend (and of what compiles its files) for integers, from cheap to dear."""

AS_PROPOSED = Proposal("as the target proposes")
"""The only rung of what has no ladder."""

LADDERS: dict[str, tuple[Proposal, ...]] = {"tflite": FITTED, "edgetpu": FITTED}
"""Ways of a backend for `edgekit.nouns.model.CALIBRATED` precisions; any other has one, that of its target."""


def rungs(variant: Variant, effort: Effort) -> tuple[Proposal, ...]:
    """The ways to make a file that differ, in order. What a target or the user says stands, whatever a rung says."""
    efforts = get_args(Effort)
    ladder = LADDERS.get(variant.backend, ()) if variant.precision in CALIBRATED else ()
    found: dict[str, Proposal] = {}
    for rung in ladder or (AS_PROPOSED,):
        if efforts.index(rung.effort) > efforts.index(effort):
            continue
        asked = {key: value for key, value in rung.settings.items() if key not in variant.settings}
        found.setdefault(repr(sorted(asked.items())), msgspec.structs.replace(rung, settings=asked))
    return tuple(found.values())


def shortfall(judged: Verification) -> float:
    """How far a file is from what is demanded of it: 0 if it is met, each demand's lack as a part of the demand."""
    lacks = []
    if judged.max_drop is not None and judged.metric is not None:
        lacks.append((judged.metric.drop - judged.max_drop) / max(abs(judged.metric.source), 1e-12))
    if judged.min_agreement and judged.agreement is not None:
        lacks.append(1 - judged.agreement / judged.min_agreement)
    if judged.min_sqnr_db and judged.sqnr_db is not None:
        lacks.append(1 - judged.sqnr_db / judged.min_sqnr_db)
    return sum(lack for lack in lacks if lack > 0)


class Climb:
    """The search for one file of a target.

    Args:
        session: of the run.
        subject: the source; integers that it brings are kept.
        variant: the file.
        make: builds, verifies and describes a variant; the second argument says which rung it is, for the screen.
        search: how far to go.
    """

    def __init__(
        self,
        session: Session,
        subject: Subject,
        variant: Variant,
        make: Callable[[Variant, str], File],
        search: Search,
    ) -> None:
        self.variant = variant
        self._fixed = variant.precision in FLOATS or subject.own(variant.precision) is not None
        self.best: Attempt | None = None
        self.done = False
        self._session, self._make, self._search = session, make, search
        self._rungs: list[Rung] = []
        self._refusal: EdgekitError | None = None
        self._late = False
        self._proposals = self._proposed()

    def first(self) -> None:
        """Climb to the first rung of which there is a file, however long it takes.

        Raises:
            Unsupported: there is none.
        """
        while self.best is None and not self.done:
            self.step()
        if self.best is None and self._refusal is not None:
            raise self._refusal

    def step(self) -> bool:
        """Try one more rung; whether the best file is another one now."""
        proposal = next(self._proposals, None)
        if proposal is None or (self.best is not None and self._search.left_s == 0):
            self.done, self._late = True, proposal is not None
            return False
        variant = msgspec.structs.replace(self.variant, settings=proposal.settings | self.variant.settings)
        try:
            self._session.progress.plan(0 if self.best is None else 2)
            with self._session.until(None if self.best is None else self._search.until):
                attempt = self._tried(proposal, *self._make(variant, self._shown(proposal)))
        except OutOfTimeError:
            self.done = self._late = True
            return False
        except Unsupported as error:
            self._refusal = self._refusal or error
            self._add(Rung(name=proposal.name, settings=proposal.settings, problem=error.problem))
            return False
        judged = attempt.file.verification
        self._add(attempt.rung, "" if judged is None or judged.metric is None else judged.metric.name)
        better = self.best is None or attempt.rank < self.best.rank
        if better:
            self.best = attempt
        return better

    def _proposed(self) -> Iterator[Proposal]:
        """One rung after another, as long as none meets the budget."""
        for rung in (AS_PROPOSED,) if self._fixed else rungs(self.variant, self._search.effort):
            yield rung
            if self._met:
                return

    @property
    def _met(self) -> bool:
        return self.best is not None and self.best.rung.met

    def _tried(self, proposal: Proposal, file: ArtifactFile, answer: Answer[Built]) -> Attempt:
        judged = file.verification
        if judged is None:
            return Attempt(Rung(name=proposal.name, settings=proposal.settings), file, answer)
        metric = judged.metric
        rung = Rung(
            name=proposal.name,
            settings=proposal.settings,
            seconds=sum(step.seconds or 0.0 for step in file.lineage if step.what in {"build", "verify"}),
            met=judged.verdict != "fail" and shortfall(judged) == 0,
            metric=None if metric is None else metric.artifact,
            drop=None if metric is None else metric.drop,
            agreement=judged.agreement,
            sqnr_db=judged.sqnr_db,
            size_bytes=file.size_bytes,
            latency_ms=speed.best_ms(self._session, file, answer),
        )
        return Attempt(rung, file, answer)

    def _shown(self, proposal: Proposal) -> str:
        left = self._search.left_s
        return proposal.name if left is None else f"{proposal.name}, {clock(left)} left"

    def _add(self, rung: Rung, metric: str = "") -> None:
        self._rungs.append(rung)
        left = "" if self._search.left_s is None else f", {clock(self._search.left_s)} left"
        self._session.progress.tell("", events.Remark(f"{self.variant.file}: {told(rung, metric)}{left}"))

    @property
    def file(self) -> File:
        """The best file so far, with every rung that was tried and, at the end, what a better one would take."""
        assert self.best is not None, "there is a file after `first`"
        best = self.best
        tried = tuple(msgspec.structs.replace(rung, chosen=rung is best.rung) for rung in self._rungs)
        lack = (self._lack(best.rung),) if self.done and not best.rung.met else ()
        return msgspec.structs.replace(best.file, rungs=tried, warnings=(*best.file.warnings, *lack)), best.answer

    def _lack(self, best: Rung) -> str:
        """Why the budget is missed, and what it would take."""
        tried = f"{len(self._rungs)} rung{'s' if len(self._rungs) > 1 else ''} of the search"
        untried = self._untried(self._search.effort)
        if self._late:
            more = f"it would take more time (--time-limit){': not tried are ' + ', '.join(untried) if untried else ''}"
            why = "the time limit ended the search"
        else:
            why, more = "nothing that was tried meets the budget", "it would take " + self._beyond()
            if further := self._untried("thorough"):
                more = f"--effort thorough also tries {', '.join(further)}; else {more}"
        return f"{why} after {tried}, of which {best.name} comes closest; {more}"

    def _untried(self, effort: Effort) -> list[str]:
        known = {rung.name for rung in self._rungs}
        return [rung.name for rung in rungs(self.variant, effort) if rung.name not in known and not self._fixed]

    def _beyond(self) -> str:
        """What may meet the budget if no rung does."""
        if self.variant.precision == "int8" and not bound_to_integers(self.variant):
            return "--precision int16x8 or float16, a lower budget, or training with quantization in mind"
        return "a precision with more bits, a lower budget, or training with quantization in mind"


def climb(climbs: list[Climb]) -> Iterator[list[File]]:
    """The files of a target: all of their first rungs, then each better one as soon as it is there, in turns.

    Raises:
        Unsupported: one of them cannot be made.
    """
    for one in climbs:
        one.first()
    yield [one.file for one in climbs]
    while any(not one.done for one in climbs):
        for one in climbs:
            if not one.done and one.step():
                yield [other.file for other in climbs]


def search(recipe: BuildOptions, started: float) -> Search | None:
    """The search that a build is asked for, which started at a moment (`time.monotonic`, s); None if it is for none."""
    if recipe.effort is None:
        return None
    return Search(recipe.effort, None if recipe.time_limit_s is None else started + recipe.time_limit_s)


def stands(folder: Path, fresh: Manifest | None) -> bool:
    """Whether a folder holds what an earlier search of the same made, and it is better than what this one has so far.

    A search that was killed goes on from the cache, from its first rung on.
    """
    if fresh is None or not (folder / FILE_NAME).is_file():
        return False
    try:
        before = read(folder / FILE_NAME)
    except InputError:
        return False
    same = (before.source.sha256, before.evaluation, before.calibration, before.target)
    if same != (fresh.source.sha256, fresh.evaluation, fresh.calibration, fresh.target):
        return False
    earlier = {file.file: file for file in before.artifacts}
    pairs = [(earlier.get(file.file), file) for file in fresh.artifacts]
    return all(old is not None and _rank(old) <= _rank(new) for old, new in pairs)


def _rank(file: ArtifactFile) -> tuple[bool, float, float]:
    """What makes one file better than another, less being better: of use; how far from the budget; what it loses."""
    judged = file.verification
    if judged is None:
        return True, 0.0, 0.0
    return judged.verdict == "fail", shortfall(judged), 0.0 if judged.sqnr_db is None else -judged.sqnr_db


def bound_to_integers(variant: Variant) -> bool:
    """Whether a target takes no float operator in between."""
    return variant.base is not None or bool(variant.settings.get("full_integer"))


def told(rung: Rung, metric: str = "") -> str:
    """A rung on one line, for the screen; ``metric`` is what its metric is called."""
    if rung.problem:
        return f"{rung.name}: {rung.problem}"
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
