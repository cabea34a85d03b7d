"""What came of every way, in the repository: a study goes on where it ended, on another machine too.

A network has one file, with a line for each outcome. The float network's own squares, which every outcome is compared with,
stand in one of them, and figures of single inputs have four digits: enough for hundredths of a decibel.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tests.studies.accuracy.outcome import Outcome
from tests.studies.accuracy.tasks import Task

FOLDER = Path(__file__).with_name("outcomes")

FLOAT = "float32"
"""The name of the way that keeps the floats."""


class Line(msgspec.Struct):
    """An outcome, and the runtime of its file."""

    runtime: str
    outcome: Outcome


def place(task: Task) -> Path:
    """The file of a network's outcomes."""
    return FOLDER / f"{named(task)}.jsonl"


def named(task: Task) -> str:
    """A network's name, as a file may have it."""
    return re.sub(r"\W+", "-", task.name).strip("-").lower()


def read(file: Path) -> dict[str, dict[str, Outcome]]:
    """Outcomes by runtime and way; nothing if there is no file."""
    lines = file.read_bytes().splitlines() if file.exists() else []
    found = [msgspec.json.decode(line, type=Line) for line in lines]
    signal = next((line.outcome.signal for line in found if line.outcome.signal), [])
    outcomes: dict[str, dict[str, Outcome]] = {}
    for line in found:
        outcomes.setdefault(line.runtime, {})[line.outcome.name] = line.outcome
        line.outcome.signal = [] if line.outcome.error else signal
    return outcomes


def keep(file: Path, runtime: str, outcome: Outcome) -> None:
    """Add an outcome to a file, in place of one of the same way."""
    outcomes = read(file)
    outcomes.setdefault(runtime, {})[outcome.name] = outcome
    write(file, outcomes)


def drop(file: Path, runtime: str, part: str) -> None:
    """Take out the outcomes of ways whose names hold a part; the float network stays if others do."""
    outcomes = read(file)
    kept = {way: found for way, found in outcomes.get(runtime, {}).items() if part not in way}
    write(file, outcomes | {runtime: kept})


def write(file: Path, outcomes: dict[str, dict[str, Outcome]]) -> None:
    """Replace a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in _lines(outcomes)))
    part.rename(file)


def _lines(outcomes: dict[str, dict[str, Outcome]]) -> Iterator[Line]:
    """In the order of runtimes; the first one that compares has the float network's squares."""
    told = False
    for runtime, ways in sorted(outcomes.items()):
        for outcome in ways.values():
            short = msgspec.structs.replace(
                outcome,
                signal=[] if told else _rounded(outcome.signal),
                noise=[] if outcome.name == FLOAT else _rounded(outcome.noise),
            )
            told = told or bool(short.signal)
            yield Line(runtime, short)


def _rounded(values: list[list[float]]) -> list[list[float]]:
    return [[float(f"{value:.4g}") for value in row] for row in values]
