"""`--cpu-times`: what each file and each test costs, in CPU seconds, which a busy machine does not change."""

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds() -> float:
    """User and system time of this process, of its living descendants, and of those that have been waited for."""
    parents, ticks = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()  # from the state on, proc(5)'s third field
        except OSError:  # it ended meanwhile
            continue
        pid = int(stat.parent.name)
        parents[pid], ticks[pid] = int(fields[1]), sum(map(int, fields[11:15]))
    family, here = 0, os.getpid()
    for pid, spent in ticks.items():
        ancestor = pid
        while ancestor not in (here, 0):
            ancestor = parents.get(ancestor, 0)
        family += spent if ancestor == here else 0
    return family / TICKS_PER_SECOND


class CpuTimes:
    """Adds to each test's report what it cost, its fixtures included, and prints the table."""

    def __init__(self, rows: int) -> None:
        self.rows, self.before = rows, 0.0
        self.seconds: dict[str, float] = {}

    def pytest_collection_finish(self) -> None:
        self.before = cpu_seconds()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        result = yield
        begin, self.before = self.before, cpu_seconds()
        item.user_properties.append(("cpu_seconds", self.before - begin))
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown":
            self.seconds[report.nodeid] = dict(report.user_properties).get("cpu_seconds", 0.0)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        files: dict[str, list[float]] = defaultdict(list)
        for test, seconds in self.seconds.items():
            files[test.partition("::")[0]].append(seconds)
        terminalreporter.section(f"CPU seconds: {sum(self.seconds.values()):.0f} in {len(self.seconds)} tests")
        for name, of_file in sorted(files.items(), key=lambda row: -sum(row[1])):
            terminalreporter.line(f"{sum(of_file):8.1f}  {len(of_file):5d}  {name}")
        terminalreporter.line("")
        for test, seconds in sorted(self.seconds.items(), key=lambda row: -row[1])[: self.rows]:
            terminalreporter.line(f"{seconds:8.2f}  {test}")
