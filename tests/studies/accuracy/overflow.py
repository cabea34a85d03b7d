"""What OpenVINO's int8 loses where layers' weights take all 8 bits, on this machine's CPU.

    python -m tests.studies.accuracy.overflow [TASK ...]

Prints a table in Markdown: top-1 in percent of the float network, and of int8 with each ``overflow_fix``.
A CPU without VNNI clips sums of two products unless all layers keep to half of the range.
"""

import sys
import tempfile
from pathlib import Path

from edgekit.engine.worker import Worker
from tests.shared_folder import shared_folder
from tests.studies.accuracy.rows import edgekit_classes
from tests.studies.accuracy.tasks import TASKS, Task

FIXES = ("disable", "first_layer_only", "enable")
"""From no layer to all of them."""


def row(worker: Worker, task: Task, shared: Path, folder: Path) -> list[float]:
    """Top-1 in percent: of the float network, then with each of `FIXES`."""
    _, _, labels = task.data(shared)

    def top1(precision: str, **settings: str) -> float:
        classes, _, _ = edgekit_classes(worker, task, shared, folder, "openvino", precision, "model.xml", **settings)
        return float((classes == labels).mean() * 100)

    return [top1("float32"), *(top1("int8", overflow_fix=fix) for fix in FIXES)]


def main(names: list[str]) -> None:
    """Print a line for each task named, or for all."""
    shared = shared_folder()
    sys.stdout.write(f"| network | float32 | {' | '.join(FIXES)} |\n| --- |{' ---: |' * (1 + len(FIXES))}\n")
    with tempfile.TemporaryDirectory() as top, Worker(Path(top) / "log.txt") as worker:
        for number, task in enumerate(task for task in TASKS if not names or task.name in names):
            folder = Path(top) / str(number)
            folder.mkdir()
            cells = " | ".join(f"{value:.2f}" for value in row(worker, task, shared, folder))
            sys.stdout.write(f"| {task.name} | {cells} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
