"""Print the rungs of a search: python -m tests.studies.accuracy.search [MIN_AGREEMENT] [PART OF A NAME].

The figures of docs/explanation/accuracy-search.md.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import edgekit
from edgekit.steps import rungs
from tests.shared_folder import shared_folder
from tests.studies.accuracy.tasks import TASKS


def main(least: float, part: str) -> None:
    for task in (task for task in TASKS if part.lower() in task.name.lower()):
        calibration, x, y = task.data(shared_folder())
        with TemporaryDirectory() as folder:
            result = edgekit.build(
                shared_folder() / task.model, "android", precision="int8", calibration=calibration, eval=(x, y),
                metric="top1", min_agreement=least, effort="normal", output=Path(folder),
            )  # fmt: skip
            file = result["android"]["int8"]
            lines = [f"{'→' if rung.chosen else ' '} {rungs.told(rung, 'top1')}" for rung in file.described.rungs]
        sys.stdout.write("\n".join([task.name, *lines]) + "\n")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.99, sys.argv[2] if len(sys.argv) > 2 else "fine-tuned")
