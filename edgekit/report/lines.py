"""Progress without a terminal: in a log, in another program, in a notebook."""

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from rich.console import Console

from edgekit.host import events


class Lines:
    """A line for each step that is done."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def plan(self, steps: int) -> None:
        """A log needs no total."""

    def begin(self, step: str) -> None:
        """Lines come when a step is done."""

    def tell(self, step: str, event: events.Event) -> None:  # noqa: ARG002  the protocol's
        """Print remarks; how far a step is would fill a log."""
        if isinstance(event, events.Remark):
            self._console.print(event.text, style="dim", markup=False)

    def end(self, step: str, *, from_cache: bool) -> None:
        """Say what was done."""
        self._console.print(f"{step}{' (cached)' if from_cache else ''}", style="dim")


def watcher(console: Console) -> AbstractContextManager[Any]:
    """Who watches a run for a person: a bar on a terminal, lines elsewhere."""
    if not sys.stderr.isatty():
        return nullcontext(Lines(console))
    from edgekit.report.bar import Bar  # noqa: PLC0415  logs and other programs wait for no bar

    return Bar(console)
