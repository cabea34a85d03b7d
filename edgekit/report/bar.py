"""The progress bar of long verbs on a terminal."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from edgekit.host import events
from edgekit.host.events import Event

WIDTH = 16
"""Cells of the bar: with counts and times it leaves half of 80 columns to the step's name."""


class StepColumn(ProgressColumn):
    """What is under way, the only column that is cut where the terminal is narrow."""

    def render(self, task: Task) -> Text:
        """The step's name on one line."""
        return Text(task.description, no_wrap=True, overflow="ellipsis")


class Left(TimeRemainingColumn):
    """How long it will still take, once there is a plan."""

    def render(self, task: Task) -> Text:
        """The time with its words, or nothing."""
        time = super().render(task)
        return Text.assemble("· ", time, " left") if time else time


class Bar:
    """Progress on a terminal: the steps done, the time it took and will still take, what is under way."""

    def __init__(self, console: Console) -> None:
        def whole() -> Column:
            return Column(no_wrap=True)

        self._bar = Progress(
            SpinnerColumn(table_column=whole()),
            BarColumn(WIDTH, table_column=whole()),
            MofNCompleteColumn(table_column=whole()),
            TimeElapsedColumn(table_column=whole()),
            Left(table_column=whole()),
            StepColumn(),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("starting", total=None)
        self._steps = 0

    def plan(self, steps: int) -> None:
        """More steps to come."""
        self._steps += steps
        self._bar.update(self._task, total=self._steps)

    def begin(self, step: str) -> None:
        """Show what is under way."""
        self._bar.update(self._task, description=step)

    def tell(self, step: str, event: Event) -> None:
        """Show how far the step is, behind its name; a remark stays above the bar."""
        match event:
            case events.Advance(fraction, text):
                share = "" if fraction is None else f"{fraction:.0%}"
                far = " ".join(filter(None, (text, share)))
                self._bar.update(self._task, description=f"{step} ({far})" if far else step)
            case events.Scalar(name, value, at):
                told = f"{name} {'not finite' if value is None else f'{value:.4g}'}"
                self._bar.update(self._task, description=f"{step} ({told}{'' if at is None else f' at step {at}'})")
            case events.Remark(text):
                self._bar.console.print(text, style="dim", markup=False)

    def end(self, step: str, *, from_cache: bool) -> None:  # noqa: ARG002  the protocol's
        """One step further."""
        self._bar.advance(self._task)

    def __enter__(self) -> "Bar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
