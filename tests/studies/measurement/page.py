"""Sections of docs/explanation/measurement.md that commands write, between two comments of their name."""

import os
import platform
from datetime import UTC, datetime

from tests.shared_folder import ROOT
from tests.studies.benchmarks.__main__ import processor

PAGE = ROOT / "docs/explanation/measurement.md"


def replaced(page: str, name: str, text: str) -> str:
    """The page with a section's text; the section must be there."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"the page has no section {name}")
    return f"{before}{begin}\n{text.strip()}\n\n{end}{after}"


def write(name: str, text: str) -> None:
    """Put a section's text into the page."""
    PAGE.write_text(replaced(PAGE.read_text(encoding="utf8"), name, text), encoding="utf8")


def when_and_where() -> str:
    """Date and machine in words."""
    load = os.getloadavg()[0]
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores of {processor()}, {platform.system()}, "
        f"load average {load:.1f} when the run ended."
    )
