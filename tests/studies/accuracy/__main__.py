"""Int8 of edgekit and of its peers on every shared network, written to docs/reference/quantization.md.

Usage: python -m tests.studies.accuracy [PART OF A NETWORK'S NAME] [--again PART OF A WAY'S NAME] [--runtime RUNTIME]
    [--way PART OF A WAY'S NAME ...] [--page]

Every way runs in a process of its own, and what came of it stands in tests/studies/accuracy/outcomes, which is committed: a study
that was killed goes on, on another machine too. With --again what is there of a way is thrown away first; with --page only the
page is written; --way names the ways that are to run.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator

import msgspec

from tests.shared_folder import ROOT, shared_folder
from tests.studies.accuracy import kept, page
from tests.studies.accuracy.kept import FLOAT
from tests.studies.accuracy.networks import NETWORKS
from tests.studies.accuracy.outcome import Outcome
from tests.studies.accuracy.tasks import Task
from tests.studies.accuracy.trial import dated, evenly, told_in
from tests.studies.accuracy.ways import ENVIRONMENT, WAYS, telling

FOLDER = ROOT / "build/quantization"
"""Float files and what they give, which a study makes anew where they are missing."""

PAGE = ROOT / "docs/reference/quantization.md"

MOST_S = 1800
"""Seconds for one way of one network."""


def measured(task: Task, runtime: str, way: str) -> Outcome:
    """The outcome of a way, from before or from a new process."""
    found = kept.read(kept.place(task)).get(runtime, {}).get(way)
    if found is None:
        found = dated(_tried(task, runtime, way))
        kept.keep(kept.place(task), runtime, found)
    return found


def _tried(task: Task, runtime: str, way: str) -> Outcome:
    folder = FOLDER / kept.named(task)
    folder.mkdir(parents=True, exist_ok=True)
    words = ["-m", "tests.studies.accuracy.trial", folder, str(NETWORKS.index(task)), runtime, way]
    try:
        done = subprocess.run(
            [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=MOST_S,
            env=os.environ | ENVIRONMENT.get(way, {}),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Outcome(name=way, error=f"more than {MOST_S} s")
    if done.returncode:
        return Outcome(name=way, error=telling(done.stderr))
    return msgspec.json.decode(told_in(folder, runtime, way).read_bytes(), type=Outcome)


def study(part: str, runtimes: tuple[str, ...], wanted: list[str]) -> Iterator[tuple[Task, str, Outcome]]:
    """The ways, or those whose names hold one of some parts, of the networks whose names hold a part, in order."""
    for task in NETWORKS:
        if part.lower() in task.name.lower():
            for runtime in runtimes:
                chosen = [way for way in WAYS[runtime] if not wanted or any(each in way for each in wanted)]
                for way in (FLOAT, *chosen):
                    yield task, runtime, measured(task, runtime, way)


def subjects() -> Iterator[page.Subject]:
    """What is there of every network, also by a study that has not ended."""
    for task in NETWORKS:
        there = kept.read(kept.place(task))
        found = {
            runtime: {way: there[runtime][way] for way in (FLOAT, *ways) if way in there.get(runtime, {})}
            for runtime, ways in WAYS.items()
        }
        if FLOAT in found["LiteRT"]:
            labels = task.data(shared_folder())[2]
            yield page.Subject(task, None if labels is None else evenly(labels), found)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", default="")
    parser.add_argument("--again", metavar="WAY")
    parser.add_argument("--runtime", choices=tuple(WAYS), help="only files for it")
    words = {"nargs": "*", "action": "extend", "default": [], "metavar": "PART"}
    parser.add_argument("--way", help="only ways whose names hold one of these", **words)
    parser.add_argument("--page", action="store_true")
    given = parser.parse_args()
    runtimes = tuple(WAYS) if given.runtime is None else (given.runtime,)
    if given.again is not None:
        for task in (task for task in NETWORKS if given.part.lower() in task.name.lower()):
            for runtime in runtimes:
                kept.drop(kept.place(task), runtime, given.again)
    for task, runtime, outcome in () if given.page else study(given.part, runtimes, given.way):
        told = outcome.error or (f"{outcome.sqnr_db:.1f} dB, {outcome.seconds:.0f} s" if outcome.noise else "")
        sys.stdout.write(f"{task.name} | {runtime} | {outcome.name} | {told}\n")
        sys.stdout.flush()
    PAGE.write_text(page.page(list(subjects()), [task.name for task in NETWORKS]), encoding="utf8")


if __name__ == "__main__":
    main()
