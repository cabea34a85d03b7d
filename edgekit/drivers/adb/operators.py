"""The table of operators that ``--enable_op_profiling`` gives, on the screen or as CSV, read by its header.

Columns differ between versions (``[start]`` is gone from newer ones, ``[mem KB]`` is optional). The type
is the first column and may hold commas and spaces, the name is the last and may hold anything; all
between them are numbers, so the header only has to say how many and which. Source: tensorflow's
``core/util/stats_calculator.cc``.
"""

import re

from edgekit.drivers.adb.parsing import NUMBER
from edgekit.nouns.profile import OperatorTime

REGULAR = "Operator-wise Profiling Info for Regular Benchmark Runs"
"""The heading after which the timed runs' tables come; those before it are of loading."""

LONGEST = 2000
"""The most characters of a row that are looked at."""

_HEADER = re.compile(r"^(?:\w+: )?\s*(?:\[node type\].*\[Name\]|node type,.*, *name)\s*$", re.IGNORECASE)
_COLUMN = re.compile(r"\[([^\]]+)\]")

DELEGATES = {"gpu": "GPU delegate", "nnapi": "NNAPI delegate", "xnnpack": "XNNPACK delegate"}
"""Part of a node's type → what runs it."""


def columns(header: str) -> tuple[str, ...]:
    """Names of a header's columns, in lower case, ``avg_ms`` of CSV as ``avg ms``."""
    names = _COLUMN.findall(header) or header.split(",")
    return tuple(name.strip().lower().replace("_", " ") for name in names)


def times(text: str) -> tuple[OperatorTime, ...]:
    """The first table (in run order) after the heading of the timed runs; empty if there is none."""
    rows: list[OperatorTime] = []
    names: tuple[str, ...] = ()
    row = re.compile("")
    for line in text.partition(REGULAR)[2].splitlines():
        if not names:
            if _HEADER.match(line):
                names = columns(line)
                row = _row(len(names) - 2)
            continue
        match = row.match(line[:LONGEST])
        if match is None:
            break
        rows.append(_operator(names, match))
    return tuple(rows)


def _row(numbers: int) -> re.Pattern[str]:
    between = rf"[\s,]+({NUMBER})%?" * numbers
    return re.compile(rf"^\s*(\S.*?){between}[\s,]+(\S.*?)\s*$")


def _operator(names: tuple[str, ...], match: re.Match[str]) -> OperatorTime:
    values = dict(zip(names[1:-1], match.groups()[1:-1], strict=True))
    kind, name = match[1].rstrip(","), match[match.re.groups]
    return OperatorTime(
        name=name,
        kind=kind,
        mean_ms=float(values.get("avg ms", "nan")),
        calls=max(round(float(values.get("times called", "1"))), 1),
        runs_on=_runs_on(kind, name),
    )


def _runs_on(kind: str, name: str) -> str:
    """A delegate's own operators are listed under ``Delegate/``, its node under a type with ``Delegate``."""
    for part, words in DELEGATES.items():
        if "delegate" in kind.lower() and part in kind.lower():
            return words
    if name.startswith("Delegate/"):
        return "delegate"
    return "CPU"
