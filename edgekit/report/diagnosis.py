"""What was found of a file's operators: a ranked table, what would help, and files for Model Explorer."""

import shlex
from collections import Counter
from collections.abc import Iterable
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from edgekit.nouns.diagnosis import SHOWN, Diagnosed, Diagnosis, OperatorDiagnosis, Value
from edgekit.report import nodes
from edgekit.report.screens import plain_table

NAME = 32
"""Characters of a tensor's name that a table shows: its end tells it apart."""

CAUSES = 2
"""Causes of an operator that the table tells."""

VALUES: dict[Value, str] = {
    "share": "share of the outputs' error, in %",
    "alone": "SQNR alone, in dB",
    "accumulated": "SQNR accumulated, in dB",
    "outputs": "SQNR of the outputs if this were the only error, in dB",
}
"""What can be put on the nodes of a graph, by the word for it."""


def diagnosed(found: Diagnosed, top: int = SHOWN) -> RenderableType:
    """The operators that cost most, the worst first, with what would help below."""
    seen = found.diagnosis
    rows = seen.worst(top)
    table = plain_table("", "operator", "share", "outputs", "alone", "accum.", "why")
    for number, row in enumerate(rows, start=1):
        table.add_row(
            str(number), called(row), _percent(row.share), db(row.output_db), db(row.alone_db), db(row.accumulated_db),
            _why(row),
        )  # fmt: skip
    head = f"{found.file}: {db(seen.output_db)} at the outputs, on {seen.samples} samples of {found.samples_origin}"
    more = [Text(remark) for remark in (*_remarks(seen, len(rows)), *found.notes, *seen.remarks)]
    return Group(Text(head, style="bold"), Text(), table, *_helps(rows), Text(), *more)


def called(row: OperatorDiagnosis) -> str:
    """An operator by its kind, its place in the file and the tensor that it makes."""
    return f"{kind(row)}\n{short(row.name)}"


def kind(row: OperatorDiagnosis) -> str:
    """An operator by its kind and its place in the file."""
    return row.operator if row.index is None else f"{row.operator} {row.index}"


def short(name: str) -> str:
    """The end of a tensor's name."""
    return name if len(name) <= NAME else f"…{name[1 - NAME :]}"


def db(level: float | None) -> str:
    """A level in dB; exact without noise."""
    return "exact" if level is None else f"{level:.1f} dB"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _why(row: OperatorDiagnosis) -> str:
    return "\n".join(f"{blame.share:.0%} {blame.cause}: {blame.told}" for blame in row.blames[:CAUSES])


def _helps(rows: Iterable[OperatorDiagnosis]) -> Iterable[Text]:
    """What was tried, in words."""
    told = [(row, row.helps[0]) for row in rows if row.helps]
    if told:
        yield Text()
        yield Text("what would help, tried on each operator alone", style="bold")
    for row, best in told:
        others = ", ".join(f"{one.remedy} {one.after_db:.1f} dB" for one in row.helps[1:])
        yield Text(
            f"  {kind(row)}: {best.told} takes it from {best.before_db:.1f} to {best.after_db:.1f} dB"
            + (f" (--set {shlex.quote(best.setting)})" if best.setting else "")
            + (f"; {others}" if others else "")
        )


def _remarks(seen: Diagnosis, shown: int) -> Iterable[str]:
    rows = len(seen.worst())
    if rows > shown:
        more = "1 more operator costs" if rows - shown == 1 else f"{rows - shown} more operators cost"
        yield f"{more} less: --top {rows} or --json shows all"
    if seen.unmatched:
        kinds = Counter((one.operator, one.reason) for one in seen.unmatched)
        told = "; ".join(f"{n} {operator} ({reason})" for (operator, reason), n in kinds.most_common(3))
        yield f"not compared: {len(seen.unmatched)} of {seen.operators_total} operators: {told}"


def node_data(found: Diagnosed, value: Value) -> dict[str, Any]:
    """A Model Explorer node-data file (`edgekit.report.nodes`), for the file's graph.

    Args:
        found: the diagnosis.
        value: which figure stands on the nodes. What is exact has none.
    """
    rows = ((row, _value(row, value)) for row in found.diagnosis.operators)
    results = {row.tensor: round(figure, 3) for row, figure in rows if figure is not None}
    return nodes.node_data(VALUES[value], results, high_is_bad=value == "share")


def _value(row: OperatorDiagnosis, value: Value) -> float | None:
    if value == "share":
        return None if row.share is None else 100 * row.share
    return {"alone": row.alone_db, "accumulated": row.accumulated_db, "outputs": row.output_db}[value]
