"""Screens as text and as HTML, for whoever has no terminal."""

import io
import shutil
from collections.abc import Iterator
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from edgekit.report.plain import plain

COLUMNS = 120
"""The width of screens in notebooks."""

PRE = '<pre style="white-space:pre;overflow-x:auto;line-height:normal;font-family:monospace">{code}</pre>'


class PlainConsole(Console):
    """A console that shows names as they are: neither markup nor emoji, and no control characters of a file's.

    It writes to its file in a notebook too, where rich's own would put its output on the page beside the result.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, force_jupyter=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Segments whose text has no control characters in it; rich's own controls are marked as such."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(plain(segment.text), segment.style)


def screen() -> Console:
    """The console on standard error; honours ``NO_COLOR``, ``COLUMNS`` and whether it is a terminal.

    Names and commands are shown as they are: ``edgekit[onnx]`` and ``:x:`` are no markup.
    """
    return PlainConsole(stderr=True, soft_wrap=False)


def text(shown: RenderableType) -> str:
    """A screen as plain text, as wide as the terminal."""
    out = io.StringIO()
    width = shutil.get_terminal_size((COLUMNS, 24)).columns
    console = PlainConsole(file=out, width=width, color_system=None)
    console.print(shown)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def html(shown: RenderableType) -> str:
    """A screen as HTML, with its colours."""
    console = PlainConsole(file=io.StringIO(), record=True, width=COLUMNS, force_terminal=True)
    console.print(shown)
    return console.export_html(inline_styles=True, code_format=PRE)
