"""Print what each bias correction of NNCF gives: python -m tests.studies.accuracy.biases [PART OF A NAME] (Markdown).

The table of docs/explanation/openvino-int8.md: SQNR and agreement with the source on inputs that did not calibrate.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import edgekit
from tests.shared_folder import shared_folder
from tests.studies.accuracy.tasks import TASKS, Task

DEFAULTS = Path(__file__).with_name("nncf-defaults.toml")

COLUMNS: dict[str, tuple[str, str]] = {
    "NNCF's defaults": (str(DEFAULTS), "auto"),
    "at once": ("openvino-cpu", "bias-correction"),
    "none": ("openvino-cpu", "nearest"),
    "layer by layer": ("openvino-cpu", "learned"),
    "**kept**": ("openvino-cpu", "auto"),
}
"""Ways by name → target, and its setting `weights`."""


def row(task: Task, shared: Path, folder: Path) -> str:
    """What each way makes of a network."""
    calibration, x, y = task.data(shared)
    cells = []
    for target, weights in COLUMNS.values():
        (files,) = edgekit.build(
            shared / task.model, target, precision="int8", calibration=calibration, eval=(x, y), metric="top1",
            allow_loss=True, quantization={} if weights == "auto" else {"weights": weights}, output=folder,
        ).values()  # fmt: skip
        seen = files["int8"].verification
        assert seen is not None
        cells.append(f"{seen.sqnr_db or 0:.1f}, {100 * (seen.agreement or 0):.4g} %")
    return f"| {task.name} | {' | '.join([*cells[:-1], f'**{cells[-1]}**'])} |"


def main(part: str) -> None:
    write = sys.stdout.write
    write(f"| network | {' | '.join(COLUMNS)} |\n|{' --- |' * (len(COLUMNS) + 1)}\n")
    for task in TASKS:
        if part.lower() in task.name.lower():
            with TemporaryDirectory() as folder:
                write(row(task, shared_folder(), Path(folder)) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
