"""The search for a file that meets a budget of accuracy: a ladder from cheap to dear.

A rung is a variant with other settings, so that building and verifying it are steps like any other, and a search
that was killed goes on from the cache. It ends at the first rung that meets the budget.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from edgekit.engine.session import Session
from edgekit.engine.store import Answer
from edgekit.errors import CancelledError, EdgekitError, InputError, OutOfTimeError, Unsupported
from edgekit.host import events
from edgekit.nouns.building import Built
from edgekit.nouns.ladder import Effort, Rung
from edgekit.nouns.manifest import FILE_NAME, ArtifactFile, Manifest, read
from edgekit.nouns.model import FLOATS, Precision
from edgekit.nouns.samples import Kept
from edgekit.nouns.target import BuildOptions, Target, Variant
from edgekit.steps import mixed, optimization, rungs, speed
from edgekit.steps.conversion import Subject
from edgekit.steps.rungs import Attempt, File, Proposal

MORE_BITS: tuple[Precision, ...] = ("int16x8", "float16")
"""Precisions that may meet a budget that integers of 8 bits miss."""

EXACT: tuple[Precision, ...] = ("float32",)
"""That which may if these miss it."""


class Search(msgspec.Struct, frozen=True):
    """How far to search, until a moment (`time.monotonic`, s); None: there is no limit."""

    effort: Effort
    until: float | None = None

    @property
    def left_s(self) -> float | None:
        """Seconds that are left, 0 or more; None if there is no limit."""
        return None if self.until is None else max(0.0, self.until - time.monotonic())


class Climb:
    """The search for one file of a target.

    Args:
        session: of the run.
        subject: the source; integers that it brings are kept.
        variant: the file.
        make: builds, verifies and describes a variant; the second argument says which rung it is, for the screen.
        search: how far to go.
        target: whose file it is.
        samples: on which a file is looked into for operators to keep float.
        probes: on which the rewritten network was held against the original.
        calibrated: there are samples for calibration.
    """

    def __init__(
        self,
        session: Session,
        subject: Subject,
        variant: Variant,
        make: Callable[[Variant, str], File],
        *,
        search: Search,
        samples: Answer[Kept],
        target: Target,
        probes: Answer[Kept] | None = None,
        calibrated: bool = True,
    ) -> None:
        self.variant, self._calibrated = variant, calibrated
        self.siblings: tuple[Climb, ...] = ()
        self._target, self._title = target, f"{target.name}/{variant.file}"
        self._subject, self._samples, self._probes = subject, samples, probes
        self._fixed = variant.precision in FLOATS or subject.own(variant.precision) is not None
        self.best: Attempt | None = None
        self.done = False
        self._session, self._make, self._search = session, make, search
        self._rungs: list[Rung] = []
        self._first: Attempt | None = None
        self._refusal: EdgekitError | None = None
        self._over = self._late = False
        self._last: Rung | None = None
        self._reached_db: float | None = None
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
        if self._search.left_s == 0:
            self._over = True
            self._tell("the time limit was over before this file was there: it does not hold for the first one")

    def step(self) -> bool:
        """Try one more rung; whether the best file is another one now."""
        self._last, proposal = None, self._next()
        if proposal is None or (self.best is not None and self._search.left_s == 0):
            self.done, self._late = True, self._late or proposal is not None
            return False
        variant = msgspec.structs.replace(self.variant, settings=proposal.settings | self.variant.settings)
        try:
            self._session.progress.plan(0 if self.best is None else 2)
            with self._session.until(None if self.best is None else self._search.until):
                attempt = self._tried(proposal, *self._make(variant, self._shown(proposal)))
        except OutOfTimeError:
            self.done = self._late = True
            return False
        except CancelledError:
            raise
        except EdgekitError as error:
            if self.best is None and not isinstance(error, Unsupported):
                raise
            self._refusal = self._refusal or error
            self._add(Rung(name=proposal.name, settings=proposal.settings, problem=error.problem))
            return False
        judged = attempt.file.verification
        self._first = self._first or (None if proposal.settings else attempt)
        self._add(attempt.rung, "" if judged is None or judged.metric is None else judged.metric.name)
        self._last, self._reached_db = attempt.rung, attempt.answer.result.level_db
        better = rungs.is_better(attempt, self.best)
        if better:
            self.best = attempt
        return better

    def _next(self) -> Proposal | None:
        """The next rung; None if there is none, or no time to find it."""
        try:
            return next(self._proposals, None)
        except OutOfTimeError:
            self._late = True
            return None

    def _proposed(self) -> Iterator[Proposal]:
        """One rung after another, as long as none meets the budget."""
        first, *others = (rungs.AS_PROPOSED,) if self._fixed else self._ways(self._search.effort)
        yield first
        known = {rung.name: rungs.known(rung, self._first) for rung in others}
        for one in known.values() if not self._met else ():
            if one is not None:
                self._add(one)
        for rung in (rung for rung in others if known[rung.name] is None):
            if self._met:
                return
            yield rungs.on(rung, self._first)
        if self._met:
            return
        if self._may_mix(self._search.effort) and self.best is not None:
            if self.variant.backend in rungs.MIXING:
                yield from self._mixed(self.best)
            else:
                yield from self._controlled(self.best)

    def _ways(self, effort: Effort) -> tuple[Proposal, ...]:
        return rungs.of(self.variant, effort, calibrated=self._calibrated)

    def _may_mix(self, effort: Effort) -> bool:
        """Whether single operators may leave the integers."""
        free = not self.variant.bound_to_integers and "float_operators" not in self.variant.settings
        if self._fixed or effort == "quick" or not free:
            return False
        looked_into = self.variant.backend in rungs.MIXING and self._subject.waist is not None
        return looked_into or self.variant.backend in rungs.CONTROLLED

    def _controlled(self, best: Attempt) -> Iterator[Proposal]:
        """More and more decibels, for which the backend chooses the operators that stay float.

        They are those of the calibration samples. What has more of them than was asked for would be made again by the
        next step, so that this goes on from there.
        """
        judged = best.file.verification
        if judged is None or judged.sqnr_db is None:
            return
        reached_db, before = best.answer.result.level_db, 0.0
        reached_db = judged.sqnr_db if reached_db is None else reached_db
        for more_db in rungs.STEPS_DB[self._search.effort]:
            asked_db = round(max(reached_db, 0.0) + more_db - before, 1)
            yield rungs.controlled(best, asked_db)
            if self._met or self._rungs[-1].problem:  # what cannot reach so many cannot reach more
                return
            reached_db, before = max(asked_db, self._reached_db or asked_db), more_db

    def _mixed(self, best: Attempt) -> Iterator[Proposal]:
        """Sets of operators that stay float on the best rung so far: each is to halve the error, until one serves.

        Then fewer operators than that, and more than the set before.
        """
        with self._session.until(self._search.until):
            waist = optimization.optimized(self._session, self._subject, self.variant, self._probes).waist
            if waist is None:
                return
            try:
                sets = mixed.sets(self._session, waist, best.answer, self._samples)
            except (CancelledError, OutOfTimeError):
                raise
            except EdgekitError as error:
                self._add(Rung(name=rungs.MIXED, problem=error.problem))
                return
        judged = best.file.verification
        low = mixed.first(sets, mixed.WORTH_BUILDING) - 1
        high = mixed.first(sets, 1.0 if judged is None else mixed.needed(judged))
        while sets:
            yield rungs.floating(best, sets[high - 1])
            if self._met:
                break
            if high == len(sets):
                return
            before, after = (None if one is None else one.sqnr_db for one in (judged, self._last))
            low, high = high, mixed.first(sets, mixed.next_part(sets[high - 1].left, before, after), after=high)
        builds = 0
        while high - low > 1 and builds < rungs.BISECTIONS[self._search.effort]:
            middle, builds = (low + high) // 2, builds + 1
            yield rungs.floating(best, sets[middle - 1])
            low, high = (low, middle) if self._last is not None and self._last.met else (middle, high)

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
            met=judged.verdict != "fail" and not rungs.shortfalls(judged),
            metric=None if metric is None else metric.artifact,
            drop=None if metric is None else metric.drop,
            agreement=judged.agreement,
            sqnr_db=judged.sqnr_db,
            size_bytes=file.size_bytes,
            latency_ms=speed.best_ms(self._session, file, answer),
        )
        return Attempt(rung, file, answer, proposal.cost)

    def _shown(self, proposal: Proposal) -> str:
        left = self._search.left_s
        return proposal.name if left is None else f"{proposal.name}, {rungs.clock(left)} left"

    def _add(self, rung: Rung, metric: str = "") -> None:
        self._rungs.append(rung)
        left = "" if self._search.left_s is None else f", {rungs.clock(self._search.left_s)} left"
        self._tell(rungs.told(rung, metric) + left)

    def _tell(self, what: str) -> None:
        self._session.progress.tell("", events.Remark(f"{self._title}: {what}"))

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
        count = sum(not (rung.within or rung.problem) for rung in self._rungs)
        tried = f"{count} rungs, of which {best.name} comes closest" if count > 1 else f"1 rung, {best.name}"
        untried = self._untried(self._search.effort)
        if self._late:
            more = f"it would take more time (--time-limit){': not tried are ' + ', '.join(untried) if untried else ''}"
            why = "the time limit was over" if self._over else "the time limit ended the search"
        else:
            why, more = "nothing that was tried meets the budget", "it would take " + self._beyond()
            if further := self._untried("thorough"):
                more = f"--effort thorough also tries {', '.join(further)}; else {more}"
        served = [one.variant.file for one in self.siblings if one.best is not None and one.best.rung.met]
        beside = f"{' and '.join(served)} {'meets' if len(served) == 1 else 'meet'} it; " if served else ""
        return f"{why} after {tried}; {beside}{more}"

    def _untried(self, effort: Effort) -> list[str]:
        if self._fixed:
            return []
        known = {rung.name for rung in self._rungs}
        mixed_too = self._may_mix(effort) and not any(name.startswith(rungs.MIXED) for name in known)
        ways = (rung for rung in self._ways(effort) if rungs.known(rung, self._first) is None)
        others = [rung.name for rung in ways if rung.name not in known]
        return others + [rungs.MIXED] * mixed_too

    def _beyond(self) -> str:
        """What may meet the budget if no rung does."""
        bits = speed.BITS[self.variant.precision]
        wider = [name for name in self._target.precisions if speed.BITS[name] > bits]
        more = [name for name in MORE_BITS if name in wider] or [name for name in EXACT if name in wider]
        ways = [f"--precision {' or '.join(more)}"] if more else []
        ways += ["a looser budget"]
        if self.variant.precision not in FLOATS:
            ways += ["more calibration samples", "training with quantization in mind"]
        return ways[0] if len(ways) == 1 else f"{', '.join(ways[:-1])}{',' * (len(ways) > 2)} or {ways[-1]}"


def climb(climbs: list[Climb]) -> Iterator[list[File]]:
    """The files of a target: all of their first rungs, then each better one as soon as it is there, in turns.

    Raises:
        Unsupported: one of them cannot be made.
    """
    for one in climbs:
        one.siblings = tuple(climbs)
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
    if _asked(before) != _asked(fresh):
        return False
    earlier = {file.file: file for file in before.artifacts}
    pairs = [(earlier.get(file.file), file) for file in fresh.artifacts]
    return all(old is not None and rungs.rank(_held_against(old, new)) <= rungs.rank(new) for old, new in pairs)


def _asked(made: Manifest) -> tuple[object, ...]:
    """What a result was made from and for, whatever its budget and however far was searched."""
    recipe = msgspec.structs.replace(made.recipe, effort=None, time_limit_s=None)
    return made.edgekit, made.source.sha256, made.evaluation, made.calibration, made.target, recipe


def _held_against(old: ArtifactFile, new: ArtifactFile) -> ArtifactFile:
    """A file with the budget of another one."""
    if old.verification is None or new.verification is None:
        return old
    demands = {key: getattr(new.verification, key) for key in ("max_drop", "min_agreement", "min_sqnr_db")}
    return msgspec.structs.replace(old, verification=msgspec.structs.replace(old.verification, **demands))
