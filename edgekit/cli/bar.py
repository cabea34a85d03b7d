"""The progress bar of long verbs on a terminal."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Bar:
    """Progress on a terminal: the steps done, what is under way, the time it took and will still take."""

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(), TextColumn("·"), TimeRemainingColumn(), TextColumn("left"),
            console=console, transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task("starting", total=None)
        self._steps = 0

    def plan(self, steps: int) -> None:
        """More steps to come."""
        self._steps += steps
        self._bar.update(self._task, total=self._steps)

    def begin(self, step: str) -> None:
        """Show what is under way."""
        self._bar.update(self._task, description=step)

    def end(self, step: str, *, from_cache: bool) -> None:  # noqa: ARG002  the protocol's
        """One step further."""
        self._bar.advance(self._task)

    def __enter__(self) -> "Bar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
