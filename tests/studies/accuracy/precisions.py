"""Print what each precision makes of a network: python -m tests.studies.accuracy.precisions [TASK] (Markdown).

The table of docs/how-to/choose-a-precision.md. Speed is that of float32 divided by that of the file, on one thread of
this host, in blocks that take turns (`edgekit.compare`, quick).
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import edgekit
from edgekit.nouns.model import Precision
from tests.shared_folder import shared_folder
from tests.studies.accuracy.tasks import TASKS, Task

DEFAULT = "ResNet-8 fine-tuned, CIFAR-10-JPEG"


def rows(task: Task, shared: Path, folder: Path) -> list[str]:
    """A row of the table for each precision."""
    calibration, x, y = task.data(shared)
    found, plain = [], None
    for precision in get_args(Precision):
        result = edgekit.build(
            shared / task.model, "linux-arm64", precision=precision, calibration=calibration, eval=(x, y),
            metric="top1", allow_loss=True, output=folder / precision,
        )  # fmt: skip
        file = result["linux-arm64"][precision]
        seen = file.verification
        assert seen is not None
        assert seen.metric is not None
        plain = plain or file
        speed = "1"
        if file is not plain:
            seen_speed = edgekit.compare(plain, file, quick=True).comparison
            speed = f"{seen_speed.ratio:.3g} ({seen_speed.low:.3g} – {seen_speed.high:.3g})"
        found.append(
            f"| `{precision}` | {file.size_bytes / 1024:.0f} KiB | {seen.sqnr_db or 0:.1f} dB | "
            f"{seen.metric.artifact:.4f} | {speed} |"
        )
    return found


def main(name: str) -> None:
    task = next(task for task in TASKS if task.name == name)
    with TemporaryDirectory() as folder:
        lines = rows(task, shared_folder(), Path(folder))
    head = ["| precision | bytes | SQNR | top-1 | speed against float32, 95 % interval |"]
    sys.stdout.write("\n".join([*head, "| --- | ---: | ---: | ---: | --- |", *lines]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else DEFAULT)
