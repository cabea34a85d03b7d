"""Measure speed and write docs/reference/benchmarks.md.

Usage: python -m tests.studies.benchmarks [SECTION ...] [--repetitions 3] [--blocks 8]

Without sections all are measured and the page is written. With sections (start-up, one-build,
ten-models, four-targets, int8-files) only these are measured, and shown: the page holds one whole run.
"""

import argparse
import os
import platform
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.shared_folder import ROOT, shared_folder
from tests.studies.benchmarks import int8_speed, speed
from tests.studies.benchmarks.speed import Speed

PAGE = ROOT / "docs/reference/benchmarks.md"

HEAD = """# Benchmarks

Written by `python -m tests.studies.benchmarks`; do not edit. Figures are medians of repetitions in which both
sides took turns, so what else the machine did met both alike; compare ratios, not seconds. Whatever
misses its limit stays in the table. What graph optimization changes, in operators, latency and what an Edge TPU takes,
is in [Graph optimization, measured](graph-optimization.md).
"""


def processor() -> str:
    """The name of the CPU, where Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unnamed CPU")


def machine() -> str:
    """The machine in words."""
    load = os.getloadavg()[0]
    return f"Machine: {os.cpu_count()} cores of {processor()}, {platform.system()}, Python {platform.python_version()}; load average {load:.1f} when the run began."


def table(rows: Iterable[Speed]) -> str:
    """The rows in Markdown."""
    lines = ["| what | s | against | s | ratio | limit | holds |", "| --- | ---: | --- | ---: | ---: | ---: | --- |"]
    for row in rows:
        limit = f"{'≥' if row.at_least else '≤'} {row.limit:g}"
        holds = "yes" if row.holds else "**no**"
        lines.append(
            f"| {row.what} | {row.ours_s:.2f} | {row.against} | {row.theirs_s:.2f} | {row.ratio:.2f} | {limit} | {holds} |"
        )
    return "\n".join(lines) + "\n"


def page(where: str, repetitions: int, rows: Iterable[Speed], int8: str) -> str:
    """The whole page."""
    return (
        f"{HEAD}\n{where} {repetitions} repetitions.\n\n## Builds\n\n{table(rows)}\n"
        "## int8 files on LiteRT\n\nOne thread; milliseconds of one inference; below 1 edgekit's file is faster. "
        f"Every block is a fresh process; the interval is a bootstrap over blocks.\n\n{int8}"
    )


def measured(sections: Iterable[str], shared: Path, repetitions: int) -> list[Speed]:
    """The rows of some sections of `BUILDS`, each shown as soon as it is there."""
    rows: list[Speed] = []
    for section in sections:
        found = BUILDS[section](shared, repetitions)
        sys.stderr.write(f"{section}\n{table(found)}\n")
        rows += found
    return rows


BUILDS: dict[str, Callable[[Path, int], list[Speed]]] = {
    "start-up": lambda _, n: speed.start_up(5 * n),
    "one-build": speed.one_build,
    "ten-models": speed.ten_models,
    "four-targets": speed.four_targets,
}
"""Sections of the first table; those that come last take longest."""

INT8 = "int8-files"
"""The section of the second table."""


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.studies.benchmarks")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join([*BUILDS, INT8]))
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--blocks", type=int, default=8)
    given = parser.parse_args()
    if unknown := set(given.sections) - {*BUILDS, INT8}:
        parser.error(f"there is no section {', '.join(sorted(unknown))}; choose among {', '.join([*BUILDS, INT8])}")
    chosen = given.sections or [*BUILDS, INT8]
    shared, where = shared_folder(), machine()
    rows = measured([section for section in chosen if section != INT8], shared, given.repetitions)
    int8 = ""
    if INT8 in chosen:
        int8 = int8_speed.markdown(int8_speed.measure(shared, list(int8_speed.MODELS), given.blocks))
        sys.stderr.write(f"{INT8}\n{int8}\n")
    if not given.sections:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(page(where, given.repetitions, rows, int8), encoding="utf8")


if __name__ == "__main__":
    main()
