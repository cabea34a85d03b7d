"""A/B: two differences that are there. Are they found, and always the same way round?

Usage: python -m tests.studies.measurement.ab [--repetitions 5] [--pairs 10]

Which side is faster depends on the processor (int8 needs its dot products to win), so it is not stated here.
Writes its section of docs/explanation/measurement.md; ends with 1 where one was not found in more than half of
its repetitions, or found both ways. Needs the shared models (EDGEKIT_SHARED).
"""

import argparse
import statistics
import sys
from pathlib import Path

from edgekit.measure.statistics import compare
from edgekit.nouns.profile import Comparison
from tests.shared_folder import shared_folder
from tests.studies.measurement import page
from tests.studies.measurement.pairs import Arm, local, medians

RESNET = "models/mlperf_tiny/pretrainedResnet"


def contrasts(shared: Path) -> dict[str, tuple[Arm, Arm]]:
    """Pairs that differ."""
    float32, int8 = shared / f"{RESNET}.tflite", shared / f"{RESNET}_quant.tflite"
    return {
        "ResNet-8, int8 against float32, 1 thread": (Arm("int8", int8), Arm("float32", float32)),
        "ResNet-8 float32, 2 threads against 1": (Arm("2 threads", float32, 2), Arm("1 thread", float32)),
    }


def verdicts(rows: list[Comparison]) -> tuple[int, int, int]:
    """How often A was called faster, slower, and neither."""
    said = [row.verdict for row in rows]
    return said.count("faster"), said.count("slower"), said.count("no difference shown")


def found_one_way(rows: list[Comparison]) -> bool:
    """Whether most repetitions found a difference, and none the opposite one."""
    faster, slower, _ = verdicts(rows)
    return 2 * max(faster, slower) > len(rows) and not min(faster, slower)


def section(found: dict[str, list[Comparison]]) -> str:
    """The result in Markdown."""
    lines = [
        f"`python -m tests.studies.measurement.ab --repetitions {len(next(iter(found.values())))} "
        f"--pairs {next(iter(found.values()))[0].pairs}`, {page.when_and_where()}\n",
        "| A against B | pairs | A faster, slower, not shown | median ratio | median interval | all ratios |",
        "| --- | ---: | --- | ---: | --- | --- |",
    ]
    for name, rows in found.items():
        counts = ", ".join(str(count) for count in verdicts(rows))
        ratio, low, high = (statistics.median(getattr(r, end) for r in rows) for end in ("ratio", "low", "high"))
        ratios = ", ".join(f"{row.ratio:.2f}" for row in rows)
        lines.append(f"| {name} | {rows[0].pairs} | {counts} | {ratio:.3f} | {low:.3f}–{high:.3f} | {ratios} |")
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.studies.measurement.ab")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=10)
    given = parser.parse_args()
    found: dict[str, list[Comparison]] = {}
    with local() as bench:
        for name, arms in contrasts(shared_folder()).items():
            for repetition in range(given.repetitions):
                row = compare(*medians(bench, arms, given.pairs, repetition))
                found.setdefault(name, []).append(row)
                page.write("A/B", section(found))
                sys.stderr.write(f"{name} {repetition + 1}: {row.ratio:.3f} {row.verdict}, {row.reason}\n")
    sys.exit(int(not all(found_one_way(rows) for rows in found.values())))


if __name__ == "__main__":
    main()
