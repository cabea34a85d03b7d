"""Int8 of edgekit and of its peers on every shared network, written to docs/reference/quantization.md.

Usage: python -m tests.studies.accuracy [PART OF A NETWORK'S NAME] [--again PART OF A WAY'S NAME] [--runtime RUNTIME]
    [--page]

Every way runs in a process of its own, and what came of it stays in build/quantization: a study that was killed goes on.
With --again what is there of a way is thrown away first; with --page only the page is written.
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tests.shared_folder import ROOT, shared_folder
from tests.studies.accuracy import page
from tests.studies.accuracy.networks import NETWORKS
from tests.studies.accuracy.outcome import Outcome
from tests.studies.accuracy.tasks import Task
from tests.studies.accuracy.trial import FLOAT, evenly, written
from tests.studies.accuracy.ways import ENVIRONMENT, OURS, WAYS, telling

FOLDER = ROOT / "build/quantization"

PAGE = ROOT / "docs/reference/quantization.md"

MOST_S = 1800
"""Seconds for one way of one network."""


def place(task: Task) -> Path:
    """The folder of a network's outcomes."""
    return FOLDER / re.sub(r"\W+", "-", task.name).strip("-").lower()


def measured(task: Task, runtime: str, way: str) -> Outcome:
    """The outcome of a way, from before or from a new process."""
    folder = place(task)
    file = written(folder, runtime, way)
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        words = ["-m", "tests.studies.accuracy.trial", folder, str(NETWORKS.index(task)), runtime, way]
        try:
            done = subprocess.run(
                [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=MOST_S,
                env=os.environ | ENVIRONMENT.get(way, {}),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            _failed(file, way, f"more than {MOST_S} s")
        else:
            if done.returncode:
                _failed(file, way, telling(done.stderr))
    return msgspec.json.decode(file.read_bytes(), type=Outcome)


def _failed(file: Path, way: str, why: str) -> None:
    file.write_bytes(msgspec.json.encode(Outcome(name=way, error=why)))


def study(part: str, runtimes: tuple[str, ...]) -> Iterator[tuple[Task, str, Outcome]]:
    """Every way of the networks whose names hold a part, in order."""
    for task in NETWORKS:
        if part.lower() in task.name.lower():
            for runtime, ways in ((runtime, WAYS[runtime]) for runtime in runtimes):
                for way in (FLOAT, *ways):
                    yield task, runtime, measured(task, runtime, way)


def subjects() -> Iterator[page.Subject]:
    """What is there of every network that edgekit was asked for, also by a study that has not ended."""
    for task in NETWORKS:
        found = {
            runtime: {
                way: msgspec.json.decode(file.read_bytes(), type=Outcome)
                for way in (FLOAT, *ways)
                if (file := written(place(task), runtime, way)).exists()
            }
            for runtime, ways in WAYS.items()
        }
        if FLOAT in found["LiteRT"] and OURS in found["LiteRT"]:
            labels = task.data(shared_folder())[2]
            yield page.Subject(task, None if labels is None else evenly(labels), found)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", default="")
    parser.add_argument("--again", metavar="WAY")
    parser.add_argument("--runtime", choices=tuple(WAYS), help="only files for it")
    parser.add_argument("--page", action="store_true")
    given = parser.parse_args()
    runtimes = tuple(WAYS) if given.runtime is None else (given.runtime,)
    if given.again is not None:
        for task in (task for task in NETWORKS if given.part.lower() in task.name.lower()):
            for runtime in runtimes:
                for way in (way for way in (FLOAT, *WAYS[runtime]) if given.again in way):
                    written(place(task), runtime, way).unlink(missing_ok=True)
    for task, runtime, outcome in () if given.page else study(given.part, runtimes):
        told = outcome.error or f"{outcome.sqnr_db:.1f} dB, {outcome.seconds:.0f} s"
        sys.stdout.write(f"{task.name} | {runtime} | {outcome.name} | {told}\n")
        sys.stdout.flush()
    found = list(subjects())
    pending = [task.name for task in NETWORKS if all(task is not one.task for one in found)]
    PAGE.write_text(page.page(found, pending), encoding="utf8")


if __name__ == "__main__":
    main()
