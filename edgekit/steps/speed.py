"""Which of a target's files is faster on this host, in so far as it surprises: the smaller one is the slower.

Fewer bits are mostly faster, but not if a runtime has no kernel for an operator in integers (HARD_SWISH
in int8 falls off XNNPACK, and MobileNetV3 then takes twice as long as in float16). A few runs tell; what another
device does is for `edgekit profile`.
"""

from itertools import permutations
from pathlib import Path
from typing import Any

import msgspec

from edgekit.engine.question import Question
from edgekit.engine.session import Session
from edgekit.engine.store import Answer
from edgekit.errors import Unsupported
from edgekit.nouns.base import Noun
from edgekit.nouns.building import Built
from edgekit.nouns.manifest import ArtifactFile
from edgekit.nouns.model import Precision

BITS: dict[Precision, int] = {
    "float32": 32,
    "float16": 16,
    "int16x8": 12,
    "dynamic-int8": 9,
    "int8": 8,
    "int4": 4,
}
"""What orders precisions by size."""

CLEARLY = 1.25
"""How many times as long a file must take to be called slower: a host that does other things varies by less."""

LEAST_MS = 0.2
"""Differences below it are not worth a word."""


class Timing(Noun, frozen=True, kw_only=True):
    """The best of a few runs on one thread in ms; None if this host does not time the file, with what it said if so."""

    best_ms: float | None
    problem: str = ""


def compared(
    session: Session, files: list[tuple[ArtifactFile, Answer[Built]]]
) -> list[tuple[ArtifactFile, Answer[Built]]]:
    """The files of one target, with a warning on each that is slower here than one with more bits."""
    if len({file.precision for file, _ in files}) < 2:
        return files
    timings = {file.file: _timed(session, file, built) for file, built in files}
    times = {name: found.best_ms for name, found in timings.items()}
    told: dict[str, tuple[str]] = {}
    for (small, _), (large, _) in permutations(files, 2):
        mine, other = times[small.file], times[large.file]
        if mine is None or other is None or BITS[small.precision] >= BITS[large.precision]:
            continue
        if mine > CLEARLY * other and mine - other > LEAST_MS:
            told[small.file] = (
                f"on this host it takes {mine / other:.1f} times as long as {large.file} "
                f"({mine:.2f} and {other:.2f} ms, best of a few runs on one thread)",
            )
    untimed = {name: (f"not timed on this host: {found.problem}",) for name, found in timings.items() if found.problem}
    return [
        (
            msgspec.structs.replace(
                file,
                warnings=(*file.warnings, *told.get(file.file, ())),
                notes=(*file.notes, *untimed.get(file.file, ())),
            ),
            built,
        )
        for file, built in files
    ]


def best_ms(session: Session, file: ArtifactFile, built: Answer[Built]) -> float | None:
    """The best of a few runs on one thread of this host in ms; None if it does not time the file (see `timing`)."""
    return _timed(session, file, built).best_ms


def _timed(session: Session, file: ArtifactFile, built: Answer[Built]) -> Timing:
    return timing(session, file.backend, built, built.folder / built.result.files[0])


def timing(session: Session, backend: str, files: Answer[Any], artifact: Path) -> Timing:
    """How fast a file of an answer is on this host, or why nobody knows.

    Cached like any step: it is a hint about kinds of operators, no measurement to be compared with others.
    """
    question = Question(what="timing", leaf=f"backends/{backend}", inputs={"files": files})

    def measure(_: Path) -> Timing:
        try:
            return Timing(best_ms=session.backend(backend).best_ms(artifact))
        except Unsupported as error:  # it has been verified: what fails is a run on nothing but zeros
            return Timing(best_ms=None, problem=error.problem)

    return session.ask(question, Timing, measure).result
