"""A/B: two differences that are there. Are they found?

Usage: python -m tests.measure.ab [--repetitions 5] [--pairs 10]

Writes its section of docs/explanation/measurement.md; ends with 1 where one was missed in more than half of
its repetitions. Needs the shared models (EDGEKIT_SHARED).
"""

import argparse
import statistics
import sys
from pathlib import Path

from edgekit.measure.statistics import compare
from edgekit.profiles import Comparison
from tests.measure import page
from tests.measure.pairs import Arm, local, medians
from tests.shared_folder import shared_folder

RESNET = "models/mlperf_tiny/pretrainedResnet"


def contrasts(shared: Path) -> dict[str, tuple[Arm, Arm]]:
    """What is known to be faster, against what is slower."""
    float32, int8 = shared / f"{RESNET}.tflite", shared / f"{RESNET}_quant.tflite"
    return {
        "ResNet-8, int8 against float32, 1 thread": (Arm("int8", int8), Arm("float32", float32)),
        "ResNet-8 float32, 2 threads against 1": (Arm("2 threads", float32, 2), Arm("1 thread", float32)),
    }


def section(found: dict[str, list[Comparison]]) -> str:
    """The result in Markdown."""
    lines = [
        f"`python -m tests.measure.ab`, {page.when_and_where()}\n",
        "| A against B | pairs | found faster | median ratio | median interval | all ratios |",
        "| --- | ---: | ---: | ---: | --- | --- |",
    ]
    for name, rows in found.items():
        right = sum(row.verdict == "faster" for row in rows)
        ratio, low, high = (statistics.median(getattr(r, end) for r in rows) for end in ("ratio", "low", "high"))
        ratios = ", ".join(f"{row.ratio:.2f}" for row in rows)
        lines.append(
            f"| {name} | {rows[0].pairs} | {right} of {len(rows)} | {ratio:.3f} | {low:.3f}–{high:.3f} | {ratios} |"
        )
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.measure.ab")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=10)
    given = parser.parse_args()
    found: dict[str, list[Comparison]] = {}
    with local() as bench:
        for name, arms in contrasts(shared_folder()).items():
            for repetition in range(given.repetitions):
                row = compare(*medians(bench, arms, given.pairs, repetition))
                found.setdefault(name, []).append(row)
                sys.stderr.write(f"{name} {repetition + 1}: {row.ratio:.3f} {row.verdict}, {row.reason}\n")
    page.write("A/B", section(found))
    missed = [rows for rows in found.values() if 2 * sum(r.verdict == "faster" for r in rows) <= len(rows)]
    sys.exit(int(bool(missed)))


if __name__ == "__main__":
    main()
