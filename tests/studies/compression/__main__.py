"""Recipes on real networks, with several seeds, written to docs/reference/compression.md.

Usage: python -m tests.compression [PART OF A NETWORK'S OR A RECIPE'S NAME] [--seeds N] [--again] [--page]

Each trial runs in a process of its own, and what came of it is kept in tests/studies/compression/outcomes, which is
committed: a study that was killed goes on, on another machine too.
With --again what is there of the part is thrown away first; with --page only the page is written.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator

import click
import msgspec

from tests.shared_folder import ROOT
from tests.studies.compression.cases import CASES, Case
from tests.studies.compression.page import Row, page
from tests.studies.compression.trial import Trial, place

PAGE = ROOT / "docs/reference/compression.md"

MOST_S = 4 * 3600
"""Seconds for one trial."""


def wanted(part: str, seeds: int | None) -> Iterator[tuple[int, Case, int]]:
    """The trials of a part: number, case, seed. All cases with one seed come first."""
    for seed in range(10):
        for number, case in enumerate(CASES):
            if seed < (case.seeds if seeds is None else min(seeds, case.seeds)) and _meant(part, case):
                yield number, case, seed


def _meant(part: str, case: Case) -> bool:
    return any(part.lower() in text.lower() for text in (case.base.name, case.name, case.section))


def run(number: int, case: Case, seed: int) -> None:
    """One trial, in a process of its own."""
    words = [sys.executable, "-m", "tests.studies.compression.trial", str(number), str(seed)]
    try:
        done = subprocess.run(words, cwd=ROOT, check=False, timeout=MOST_S, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        why = f"more than {MOST_S} s"
    else:
        why = "" if done.returncode == 0 else done.stderr.strip().splitlines()[-1]
    if why:
        place(case, seed).parent.mkdir(parents=True, exist_ok=True)
        place(case, seed).write_bytes(msgspec.json.encode(Trial(error=why)))


def rows() -> tuple[list[Row], int]:
    """What there is, and how many trials are not done."""
    found, pending = [], 0
    for case in CASES:
        files = [place(case, seed) for seed in range(case.seeds)]
        pending += sum(not file.exists() for file in files)
        done = [msgspec.json.decode(file.read_bytes(), type=Trial) for file in files if file.exists()]
        if done:
            found.append(Row(case, done))
    return found, pending


def main() -> None:
    """Run what is asked for, and write the page after each trial."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", default="")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--page", action="store_true")
    given = parser.parse_args()
    for number, case, seed in [] if given.page else list(wanted(given.part, given.seeds)):
        if given.again:
            place(case, seed).unlink(missing_ok=True)
        if not place(case, seed).exists():
            since = time.monotonic()
            run(number, case, seed)
            click.echo(f"{case.base.name}: {case.name}, seed {seed}: {time.monotonic() - since:.0f} s", err=True)
            PAGE.write_text(page(*rows()), encoding="utf8")
    PAGE.write_text(page(*rows()), encoding="utf8")


if __name__ == "__main__":
    main()
