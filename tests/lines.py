"""`--lines FILE`: which lines of edgekit the tests run, in every process that they start.

Workers write nowhere but in their own folder, are killed while they work and sometimes crash on purpose, so that none
could save a table when it ends. So each process opens the file when Python starts, before it shuts itself in, and
appends a line the first time that it is run (`sys.monitoring`, PEP 669: nothing is paid for it after that).
"""

import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # every process of a run imports this module
    import pytest

TOOL = 4
"""One of the numbers that PEP 669 leaves free; Hypothesis has that of coverage tools."""


def record(root: str, found: str) -> None:
    """From now on, append ``file:line`` to ``found`` for each line below the folder ``root`` that this process runs."""
    monitoring = sys.monitoring
    if monitoring.get_tool(TOOL):  # `site` may come by twice
        return
    events = monitoring.events
    file = os.open(found, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    seen: set[tuple[str, int]] = set()

    def started(code: CodeType, _: int) -> object:
        if code.co_filename.startswith(root):
            monitoring.set_local_events(TOOL, code, events.LINE)
        return monitoring.DISABLE

    def reached(code: CodeType, line: int) -> object:
        if (code.co_filename, line) not in seen:
            seen.add((code.co_filename, line))
            os.write(file, f"{code.co_filename}:{line}\n".encode())
        return monitoring.DISABLE

    monitoring.use_tool_id(TOOL, "edgekit-lines")
    monitoring.register_callback(TOOL, events.PY_START, started)
    monitoring.register_callback(TOOL, events.LINE, reached)
    monitoring.set_events(TOOL, events.PY_START)


def install(root: Path, found: Path) -> Path:
    """Have every process of this environment record, until what is returned is removed."""
    hook = Path(sysconfig.get_path("purelib")) / "edgekit-lines.pth"
    start = f"from tests.lines import record; record({f'{root}{os.sep}'!r}, {str(found)!r})"
    hook.write_text(f"import sys; sys.path.insert(0, {str(root.parent)!r}); {start}; sys.path.pop(0)\n")
    return hook


def executable(file: Path) -> set[int]:
    """The lines of a module that Python may stop at: those of its functions and classes with them."""

    def lines(code: CodeType) -> Iterator[int]:
        first = None if code.co_name == "<module>" else code.co_firstlineno  # where a function resumes is no line of it
        yield from (line for _, _, line in code.co_lines() if line and line != first)
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                yield from lines(constant)

    return set(lines(compile(file.read_text(), str(file), "exec")))


def table(root: Path, found: Path) -> dict[str, tuple[int, int]]:
    """For each module below ``root``: how many of its lines were run, and how many there are."""
    ran: dict[str, set[int]] = {}
    for entry in set(found.read_text().splitlines()):
        file, _, line = entry.rpartition(":")
        if line.isdigit():  # what is not was cut short when a process was killed
            ran.setdefault(file, set()).add(int(line))
    rows = {}
    for file in sorted(root.rglob("*.py")):
        lines = executable(file)
        rows[str(file.relative_to(root))] = len(lines & ran.get(str(file), set())), len(lines)
    return rows


class Lines:
    """Records the lines of a folder that the tests run, in a file, and prints the table of its modules."""

    def __init__(self, root: Path, found: Path) -> None:
        self._root, self._found = root, found
        found.write_text("")
        self._hook = install(root, found)

    def pytest_unconfigure(self) -> None:
        self._hook.unlink(missing_ok=True)

    def pytest_terminal_summary(self, terminalreporter: "pytest.TerminalReporter") -> None:
        rows = table(self._root, self._found)
        ran, there = (sum(row[side] for row in rows.values()) for side in (0, 1))
        terminalreporter.section(f"lines run: {ran} of {there}, {ran / there:.1%}")
        for name, (some, every) in sorted(rows.items(), key=lambda row: row[1][0] - row[1][1]):
            if some < every:
                terminalreporter.line(f"{every - some:6d} of {every:4d} not run  {name}")
