"""Print the accuracy table: python -m tests.studies.accuracy.table [TASK ...] (Markdown; --json for the figures)."""

import os
import sys
import tempfile
from pathlib import Path

import msgspec

from edgekit.engine.worker import Worker
from tests.studies.accuracy.rows import ROOT, Row, measure
from tests.studies.accuracy.tasks import TASKS

COLUMNS = ("edgekit", "TFLiteConverter", "reference", "OpenVINO")
"""Columns in the order shown; one that no row has is left out."""


def rows(shared: Path, names: list[str]) -> list[Row]:
    """Measure the tasks named, or all."""
    with tempfile.TemporaryDirectory() as folder, Worker(Path(folder) / "log.txt") as worker:
        made = []
        for number, task in enumerate(TASKS):
            if not names or task.name in names:
                place = Path(folder) / str(number)
                place.mkdir()
                made.append(measure(worker, task, shared, place, {}))
        return made


def markdown(made: list[Row]) -> str:
    """The table: top-1 in percent; p is that of McNemar's test of edgekit's file against the one beside it."""
    shown = [name for name in COLUMNS if any(name in row.columns for row in made)]
    head = ["model", "samples", "float32", *(f"{name} int8" for name in shown)]
    lines = ["| " + " | ".join(head) + " |", "| --- " + "| ---: " * (len(head) - 1) + "|"]
    for row in made:
        cells = [row.name, str(row.samples), f"{row.float_top1:.2f}"]
        for name in shown:
            column = row.columns.get(name)
            if column is None:
                cells.append("")
            elif column.p_value is None:
                cells.append(f"**{column.top1:.2f}**")
            else:
                cells.append(f"{column.top1:.2f} (p {column.p_value:.2g})")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    where = Path(os.environ.get("EDGEKIT_SHARED", ROOT.parent / "shared")).resolve()
    wanted = [word for word in sys.argv[1:] if word != "--json"]
    measured = rows(where, wanted)
    sys.stdout.write(msgspec.json.encode(measured).decode() if "--json" in sys.argv else markdown(measured))
