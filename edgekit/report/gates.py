"""What a gate found: as a screen, as Markdown for a CI job's summary, and as JUnit XML."""

import io
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from edgekit.nouns.gating import Finding, Gate
from edgekit.report.plain import plain
from edgekit.report.profiles import milliseconds
from edgekit.report.screens import plain_table, size

STYLES = {"met": "green", "missed": "red", "unknown": "red", "suspected": "yellow", "skipped": "yellow"}

SHARES = {"agreement", "mapped", "delegate time"}


def amount(value: float | None, finding: Finding) -> str:
    """A figure in the unit that people read; a dash if it is not known."""
    if value is None:
        return "–"
    match finding.unit:
        case "ms":
            return milliseconds(value)
        case "B":
            return size(round(value))
        case "":
            return f"{value:.1%}" if finding.figure in SHARES else f"{value:.4g}"
        case unit:
            return f"{value:.3g} {unit}"


def by_how_much(finding: Finding) -> str:
    """The difference to the limit: what a miss is about."""
    if finding.value is None or finding.limit is None:
        return ""
    away = finding.value - finding.limit
    if finding.figure in SHARES:
        return f"{100 * away:+.2g} points"
    if finding.unit == "dB":
        return f"{away:+.3g} dB"
    if finding.figure in {"drop", "metric"} or not finding.limit:
        return f"{away:+.3g}"
    return f"{away / finding.limit:+.1%}"


def _told(finding: Finding) -> tuple[str, str, str, str]:
    """What a table says of a figure: what it is, its limit, the difference, and whose limit it is."""
    return amount(finding.value, finding), amount(finding.limit, finding), by_how_much(finding), finding.against


def screen(gate: Gate) -> RenderableType:
    """A line for each figure, and below it why those that fail do."""
    table = plain_table("", "file", "figure", "is", "limit", "by", "against")
    for found in gate.findings:
        where = f" on {found.device}" if found.device else ""
        table.add_row(
            Text(found.verdict, style=STYLES[found.verdict]),
            f"{found.target}/{found.file}",
            f"{found.figure}{where}",
            *_told(found),
        )
    remarks = [Padding(Text(line, style=style), (0, 0, 0, 2)) for line, style in _remarks(gate)]
    return Group(table, *remarks, Text(conclusion(gate), style="green" if gate.passes else "red"))


def _remarks(gate: Gate) -> Iterator[tuple[str, str]]:
    for found in gate.findings:
        if found.reason:
            yield f"{found.target}/{found.file}, {found.figure}: {found.reason}", STYLES[found.verdict]


def conclusion(gate: Gate) -> str:
    """One line: how many figures were looked at, and how many fail."""
    looked, failed = len(gate.findings), sum(found.fails for found in gate.findings)
    against = f", against {gate.baseline}" if gate.baseline else ""
    if not failed:
        suspected = sum(found.verdict == "suspected" for found in gate.findings)
        doubt = f"; {suspected} suspected, to be measured again on the device" if suspected else ""
        return f"passed: {looked} figures{against}{doubt}"
    return f"failed: {failed} of {looked} figures{against}"


MARKS = {"met": "✅", "missed": "❌", "unknown": "❓", "suspected": "⚠️", "skipped": "⏭️"}


def markdown(gate: Gate) -> str:
    """A table for a job's summary; names are code, so that nothing in them is markup."""
    lines = [f"### edgekit gate {_cell(conclusion(gate))}", ""]
    lines += ["| | file | figure | is | limit | by | against |", "| --- | --- | --- | ---: | ---: | ---: | --- |"]
    for found in gate.findings:
        device = f" on {_code(found.device)}" if found.device else ""
        cells = (
            f"{MARKS[found.verdict]} {found.verdict}",
            _code(f"{found.target}/{found.file}"),
            f"{found.figure}{device}",
            *_told(found),
        )
        lines.append(f"| {' | '.join(cells)} |")
    told = [
        f"- {_code(f'{found.target}/{found.file}')}, {found.figure}: {_cell(found.reason)}"
        for found in gate.findings
        if found.reason and found.verdict != "met"
    ]
    return "\n".join([*lines, "", *told]).rstrip() + "\n"


def _cell(text: str) -> str:
    """Text on one line of a table, in which nothing is markup (CommonMark 2.4: escapes of ASCII punctuation)."""
    return "".join(
        f"\\{letter}" if letter in r"\`*_{}[]<>#|!~&@" else letter for letter in plain(text).replace("\n", " ")
    )


def _code(text: str) -> str:
    """Text as code: between more backticks than any in it, and without bars, which end a cell even there."""
    inner = plain(text).replace("\n", " ").replace("|", "\\|")
    ticks = "`"
    while ticks in inner:
        ticks += "`"
    return f"{ticks} {inner} {ticks}" if "`" in inner else f"`{inner}`"


def junit(gate: Gate) -> bytes:
    """JUnit XML: a suite for each file, a case for each figure."""
    import junitparser  # noqa: PLC0415  only if the file is asked for

    document = junitparser.JUnitXml("edgekit gate")
    suites: dict[str, junitparser.TestSuite] = {}
    for found in gate.findings:
        name = plain(f"{found.target}/{found.file}")
        suite = suites.setdefault(name, junitparser.TestSuite(name))
        where = f" on {plain(found.device)}" if found.device else ""
        case = junitparser.TestCase(f"{found.figure}{where} ({found.against})", name, 0.0)
        told = f"{amount(found.value, found)}, limit {amount(found.limit, found)} {by_how_much(found)}".strip()
        message = plain(f"{told}; {found.reason}" if found.reason else told)
        if found.fails:
            case.result = [junitparser.Failure(message, found.verdict)]
        elif found.verdict == "skipped":
            case.result = [junitparser.Skipped(message)]
        else:
            case.system_out = message
        suite.add_testcase(case)
    for suite in suites.values():
        document.add_testsuite(suite)
    document.update_statistics()  # type: ignore[no-untyped-call]
    out = io.BytesIO()
    document.write(out)
    return out.getvalue()
