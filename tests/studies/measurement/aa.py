"""A/A: the same file against itself. How often is a difference called where there is none?

Usage: python -m tests.studies.measurement.aa [--repetitions 40] [--pairs 10]

Writes its section of docs/explanation/measurement.md; ends with 1 where more than `LIMIT` of the
repetitions call a difference. Needs the shared models (EDGEKIT_SHARED).
"""

import argparse
import statistics
import sys

import numpy as np

from edgekit.measure.statistics import TAIL, binomial, compare
from edgekit.nouns.profile import Comparison
from tests.shared_folder import shared_folder
from tests.studies.measurement import page
from tests.studies.measurement.pairs import SHORT, Arm, local, medians

MODEL = "models/mlperf_tiny/pretrainedResnet_quant.tflite"

LIMIT = 0.10
"""More false alarms than this are a failure; 5 % are expected."""


def share(count: int, n: int) -> tuple[float, float]:
    """The exact 95 % interval of a share, by Clopper & Pearson (1934), to 0.1 %."""
    grid = np.linspace(0.0005, 0.9995, 1000)
    at_most = np.array([binomial(n, p)[: count + 1].sum() for p in grid])
    at_least = np.array([binomial(n, p)[count:].sum() for p in grid])
    low = 0.0 if count == 0 else float(grid[np.argmax(at_least >= TAIL)])
    high = 1.0 if count == n else float(grid[len(grid) - 1 - np.argmax(at_most[::-1] >= TAIL)])
    return low, high


def shown(count: int, n: int) -> str:
    """A share with its interval."""
    low, high = share(count, n)
    return f"{count / n:.1%} ({low:.1%}–{high:.1%})"


def section(found: list[Comparison], spread: float) -> str:
    """The result in Markdown."""
    called = sum(row.verdict != "no difference shown" for row in found)
    ratios = [row.ratio for row in found if row.ratio is not None]
    widths = [row.high / row.low - 1 for row in found if row.high is not None and row.low is not None]
    return (
        f"`python -m tests.studies.measurement.aa --repetitions {len(found)} --pairs {found[0].pairs}`, {page.when_and_where()}\n\n"
        "| repetitions | pairs each | difference called | share, 95 % interval | ratios from, to "
        "| median interval's width | blocks differ by (sd) |\n| ---: | ---: | ---: | --- | --- | ---: | ---: |\n"
        f"| {len(found)} | {found[0].pairs} | {called} | {shown(called, len(found))} "
        f"| {min(ratios):.3f}, {max(ratios):.3f} | {statistics.median(widths):.1%} | {spread:.1%} |\n\n"
        f"ResNet-8 int8 against itself, 1 thread, blocks of {SHORT.warm_up_s:g} + {SHORT.min_s:g} s."
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.studies.measurement.aa")
    parser.add_argument("--repetitions", type=int, default=40)
    parser.add_argument("--pairs", type=int, default=10)
    given = parser.parse_args()
    file = shared_folder() / MODEL
    found, blocks = [], []
    with local() as bench:
        for repetition in range(given.repetitions):
            a, b = medians(bench, [Arm("A", file), Arm("A again", file)], given.pairs, repetition)
            found.append(compare(a, b))
            blocks.append(np.log(a + b).std(ddof=1))
            page.write("A/A", section(found, float(np.median(blocks))))  # now: a long run may be broken off
            sys.stderr.write(f"{repetition + 1}: {found[-1].ratio:.3f} {found[-1].verdict}, {found[-1].reason}\n")
    called = sum(row.verdict != "no difference shown" for row in found)
    sys.exit(int(called > LIMIT * len(found)))


if __name__ == "__main__":
    main()
