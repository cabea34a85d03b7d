"""Build every shared model and write docs/reference/coverage.md.

Usage: python -m tests.studies.coverage [--json FILE] [NAME ...]

Each NAME is a part of ``folder/file``; with names the page goes to stdout instead of the file. Answers
that the cache holds are taken from it, so an interrupted run goes on where it stopped.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import msgspec

from edgekit.engine.session import Session, log_file
from edgekit.engine.store import Store
from edgekit.host.cachedir import cache_folder
from tests.shared_folder import ROOT, shared_folder
from tests.studies.coverage.cases import found
from tests.studies.coverage.page import markdown
from tests.studies.coverage.rows import PRECISIONS, Row, measure

PAGE = ROOT / "docs/reference/coverage.md"

SECONDS = 900.0
"""Limit for one model in one precision, on a machine that is busy with other work."""


def rows(shared: Path, names: list[str]) -> list[Row]:
    """Measure every model whose name holds one of ``names`` (all, if there are none); tells on stderr."""
    made = []
    with Session(Store(cache_folder()), log_file()) as session:
        for case in found(shared):
            if names and not any(name in case.name for name in names):
                continue
            with tempfile.TemporaryDirectory() as folder:
                row = measure(session, case, Path(folder), SECONDS, PRECISIONS)
            made.append(row)
            sys.stderr.write(f"{msgspec.json.encode(row).decode()}\n")
    return made


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.studies.coverage", description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("names", nargs="*", metavar="NAME")
    given = parser.parse_args()
    measured = rows(shared_folder(), given.names)
    if given.json is not None:
        given.json.write_bytes(msgspec.json.encode(measured))
    if given.names:
        sys.stdout.write(markdown(measured))
    else:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(markdown(measured), encoding="utf8")


if __name__ == "__main__":
    main()
