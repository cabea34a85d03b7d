"""Give damaged and hostile files of every kind to edgekit, and keep those at which it fails.

Usage: python -m tests.studies.fuzz [--minutes N] [--count N] [--seed N] [--kind KIND ...] [--keep FOLDER]

Every mutant must end with exit code 0, 2, 3 or 4, with a problem, a place and a fix, in 60 s and 2 GiB.
Failures are minimized and kept; the exit code is 1 if there are any. The table so far is kept beside them every minute,
so that a run that is killed leaves its counts; one that is ended by SIGTERM or Ctrl-C prints it.
"""

import argparse
import itertools
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path

from tests.studies.fuzz.seeds import KINDS
from tests.studies.fuzz.trials import Bench, Outcome, minimized, mutant

TABLE, TABLE_S = "table.md", 60.0
"""The kept table, and after how many seconds it is written anew."""


def main() -> int:
    """Fuzz until the time or the count is reached, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.studies.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so many")
    parser.add_argument("--count", type=int, default=1000, help="mutants of each kind at most  [default: 1000]")
    parser.add_argument("--seed", type=int, default=0, help="another seed makes other mutants  [default: 0]")
    parser.add_argument("--kind", action="append", choices=KINDS, help="only this kind; may be repeated")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"), help="where failures go")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    outcomes: dict[str, list[Outcome]] = defaultdict(list)
    written, deadline = time.monotonic(), time.monotonic() + asked.minutes * 60
    with tempfile.TemporaryDirectory(prefix="edgekit-fuzz-") as folder, Bench(Path(folder) / "bench") as bench:
        kinds = asked.kind or KINDS
        with suppress(KeyboardInterrupt):  # what was found so far is told
            for kind in kinds:
                bench.warm(kind)
            for number, kind in itertools.product(range(asked.count), kinds):
                if time.monotonic() > deadline:
                    break
                outcome = bench.run(mutant(kind, asked.seed, number, bench.scratch, many=True))
                outcomes[kind].append(outcome)
                if outcome.failed:
                    _keep(minimized(bench, outcome), asked.keep)
                if time.monotonic() > written + TABLE_S:
                    written = time.monotonic()
                    _write(outcomes, asked.keep)
                if sys.stderr.isatty() and number % 10 == 0:
                    failed = sum(one.failed for rows in outcomes.values() for one in rows)
                    sys.stderr.write(f"\r{number} of {asked.count} of each kind, {failed} failed")
    _write(outcomes, asked.keep)
    sys.stdout.write(f"{table(outcomes)}\n")
    return int(any(one.failed for rows in outcomes.values() for one in rows))


def _write(outcomes: dict[str, list[Outcome]], folder: Path) -> None:
    """Keep the table, whole at every moment."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / "table.md.part"
    aside.write_text(f"{table(outcomes)}\n", encoding="utf8")
    aside.replace(folder / TABLE)


def table(outcomes: dict[str, list[Outcome]]) -> str:
    """Markdown: for each kind how its mutants ended, the slowest and the largest."""
    lines = [
        "| kind | mutants | 0 | 2 | 3 | 4 | 70 | hang or bomb | slowest (s) | most memory (MiB) |",
        "|---" * 10 + "|",
    ]
    for kind, rows in outcomes.items():
        codes = Counter(row.code for row in rows)
        ends = " | ".join(str(codes[code]) for code in (0, 2, 3, 4, 70, 75))
        slowest, most = max(row.seconds for row in rows), max(row.peak_bytes for row in rows) / 2**20
        lines.append(f"| {kind} | {len(rows)} | {ends} | {slowest:.1f} | {most:.0f} |")
    return "\n".join(lines)


def _keep(failed: Outcome, folder: Path) -> None:
    """The mutant's file, and beside it what was said."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{failed.mutant.seed.kind}-{'.'.join(map(str, failed.mutant.number))}-{Path(failed.mutant.seed.name).name}"
    (folder / name).write_bytes(failed.mutant.content)
    (folder / f"{name}.txt").write_text(f"{failed.mutant}\n{failed.code}\n{failed.said}\n", encoding="utf8")
    sys.stderr.write(f"\n{failed.mutant}: {failed.code}: {failed.said.strip().splitlines()[-1][:200]}\n")


if __name__ == "__main__":
    sys.exit(main())
