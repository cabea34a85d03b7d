"""Print the rungs of a search: python -m tests.studies.accuracy.search [LEAST] [PART OF A NAME].

LEAST is a share of choices (0.99), or decibels (18dB). Of detectors it also tells how their scores correlate with the
float network's, in the file that a build without a search makes and in the one that was chosen. The figures of
docs/explanation/accuracy-search.md.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import edgekit
from edgekit.api.results import BuiltFile
from edgekit.steps import rungs
from tests.shared_folder import shared_folder
from tests.studies.accuracy.networks import NETWORKS
from tests.studies.accuracy.tasks import TASKS, Task
from tests.studies.accuracy.trial import Trial


def main(least: str, part: str) -> None:
    """Search for every network whose name holds a part; of a detector's by decibels, for the one of that name."""
    if least.endswith("dB"):
        for task in (task for task in NETWORKS if task.name.lower() == part.lower()):
            _print(task.name, _by_decibels(task, float(least.removesuffix("dB"))))
        return
    for task in (task for task in TASKS if part.lower() in task.name.lower()):
        calibration, x, y = task.data(shared_folder())
        budget = {"min_agreement": float(least), "metric": "top1", "effort": "normal"}
        with TemporaryDirectory() as folder:
            _print(task.name, _rungs(_built(task, calibration, Path(folder), eval=(x, y), **budget)))


def _by_decibels(task: Task, least_db: float) -> Iterator[str]:
    calibration, x, _ = task.data(shared_folder())
    with TemporaryDirectory() as folder:
        trial = Trial(task, Path(folder))
        plain = _built(task, calibration, Path(folder) / "plain", eval=x)
        chosen = _built(task, calibration, Path(folder) / "chosen", eval=x, min_sqnr=least_db, effort="normal")
        yield from _rungs(chosen)
        if task.scores is not None:
            levels = [f"{trial.judged(task.name, file.path).correlation:.4f}" for file in (plain, chosen)]
            yield f"scores correlate by {levels[0]} without a search, {levels[1]} as chosen"


def _built(task: Task, calibration: Any, folder: Path, **budget: Any) -> BuiltFile:
    result = edgekit.build(
        shared_folder() / task.model, "android", precision="int8", calibration=calibration, output=folder, **budget
    )
    return result["android"]["int8"]


def _rungs(file: BuiltFile) -> Iterator[str]:
    return (f"{'→' if rung.chosen else ' '} {rungs.told(rung, 'top1')}" for rung in file.described.rungs)


def _print(name: str, lines: Iterator[str]) -> None:
    sys.stdout.write("\n".join([name, *lines]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "0.99", sys.argv[2] if len(sys.argv) > 2 else "fine-tuned")
