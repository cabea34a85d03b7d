"""What files found in a sample, as tables."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from edgekit.nouns import findings
from edgekit.nouns.findings import Finding, Ran
from edgekit.report.screens import plain_table

MOST_VALUES = 8
"""How many numbers of a vector or of quantities a screen shows."""


def screen(rows: Iterable[Ran]) -> RenderableType:
    """Each file with what it found."""
    shown: list[RenderableType] = []
    for row in rows:
        shown.append(Text(f"{Path(row.file).name}{f', {row.precision}' if row.precision else ''}", style="bold"))
        shown += [_table(finding) for finding in row.findings or ()]
        shown += [Text(note, style="dim") for note in row.notes]
    return Group(*shown)


def _table(finding: Finding) -> RenderableType:
    header, rows = _ROWS[type(finding)](finding)
    table = plain_table(*header)
    for row in rows:
        table.add_row(*row)
    return table


type Lines = list[tuple[str, ...]]
type Rows = tuple[tuple[str, ...], Lines]
"""A header, whose first column names the output, and rows."""


def _classes(found: findings.Classes) -> Rows:
    rows: Lines = [("", row.label, f"{row.score:.4f}") for row in found.classes]
    return (found.output, "class", "score"), rows or [("", "none above the threshold", "")]


def _quantities(found: findings.Quantities) -> Rows:
    rows: Lines = [("", row.label, f"{row.value:.6g} {found.unit}".rstrip()) for row in found.values[:MOST_VALUES]]
    more = found.total - len(rows)
    return (found.output, "quantity", "value"), rows + [("", f"… and {more} more", "")] * (more > 0)


def _vector(found: findings.Vector) -> Rows:
    values = ", ".join(f"{value:.4f}" for value in found.values[:MOST_VALUES])
    dots = ", …" * (found.size > MOST_VALUES)
    return (found.output, "embedding", "length", "values"), [("", str(found.size), f"{found.norm:.4f}", values + dots)]


def _mask(found: findings.Mask) -> Rows:
    return (found.output, "class", "share"), [("", row.label, f"{row.share:.1%}") for row in found.classes]


def _boxes(found: findings.Detections) -> Rows:
    rows = [
        ("", box.label, f"{box.score:.4f}", *(f"{end:.1f}" for end in (box.left, box.top, box.right, box.bottom)))
        for box in found.boxes
    ]
    header = (found.output, "class", "score", "left", "top", "right", "bottom")
    return header, rows or [("", "no box above the threshold", *[""] * 5)]


def _points(found: findings.Points) -> Rows:
    rows: Lines = [("", row.label, f"{row.x:.1f}", f"{row.y:.1f}", f"{row.score:.4f}") for row in found.points]
    return (found.output, "point", "x", "y", "score"), rows


def _tensor(found: findings.RawTensor) -> Rows:
    numbers = ("" if value is None else f"{value:.6g}" for value in (found.lowest, found.highest, found.mean))
    return (found.output, "dtype", "shape", "lowest", "highest", "mean"), [
        ("", found.dtype, str(list(found.shape)), *numbers)
    ]


_ROWS: dict[type, Callable[[Any], Rows]] = {
    findings.Classes: _classes,
    findings.Quantities: _quantities,
    findings.Vector: _vector,
    findings.Mask: _mask,
    findings.Detections: _boxes,
    findings.Points: _points,
    findings.RawTensor: _tensor,
}
