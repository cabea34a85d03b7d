"""What reaches the screen and standard output, and what happens if neither takes it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from edgekit.errors import EdgekitError, InputError
from edgekit.report.plain import escaped_json, plain

OUTPUT = "standard output"
"""The place of a complaint that standard output takes nothing."""


class ClosedPipeError(Exception):
    """Whoever read standard output or standard error has gone. No `OSError`, for which click has ways of its own."""


class _Stream:
    """Standard output or standard error whose refusals say what they are."""

    def __init__(self, stream: Any, *, needed: bool) -> None:
        self._stream = stream
        self._needed = needed

    def write(self, text: str) -> int:
        """Write text; how much of it. A line for people that nothing takes is dropped, and counts as written.

        Raises:
            ClosedPipeError: whoever read it has gone.
            InputError: standard output takes nothing.
        """
        with self._refusing():
            return int(self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """As `write`, with the same errors."""
        with self._refusing():
            self._stream.flush()

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError as error:
            raise ClosedPipeError from error
        except OSError as error:
            if self._needed:  # a line for people is not worth failing for
                raise InputError(
                    f"Standard output cannot be written: {error.strerror}.",
                    place=OUTPUT,
                    fix="send it to a file or a program that takes it",
                ) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def streams() -> Iterator[None]:
    """While open, standard output and standard error are there and tell of their failures as errors of ours."""
    _open_closed()
    before = sys.stdout, sys.stderr
    out: Any = _Stream(sys.stdout, needed=True)
    err: Any = _Stream(sys.stderr, needed=False)
    sys.stdout, sys.stderr = out, err
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _open_closed() -> None:
    """Open what the caller closed (``2>&-``), before a file of ours gets its number and what is printed goes there.

    A closed standard output is opened for reading, so that writing to it still fails.
    """
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf8", closefd=False))  # noqa: SIM115


def settle() -> None:
    """Drop what could not be written, so that Python does not fail with it when it ends."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def say(*lines: str) -> None:
    """Lines for people, on standard error."""
    for line in lines or ("",):
        click.echo(plain(line), err=True)


def put_json(text: str) -> None:
    """One JSON document, on standard output.

    Raises:
        InputError: it cannot be written.
        ClosedPipeError: whoever read it has gone.
    """
    click.echo(escaped_json(text))


def told(error: EdgekitError) -> list[str]:
    """An error line by line; a name in it cannot make lines of its own look like ours."""
    lines = _indented(error.problem)
    if error.place:
        lines.append("  at: " + plain(error.place).replace("\n", "\\n"))
    if error.fix:
        first, *rest = _indented(error.fix)
        lines += [f"  fix: {first}", *rest]
    return lines


def _indented(text: str) -> list[str]:
    first, *rest = plain(text).split("\n")
    return [first, *(f"    {line}" for line in rest)]


def check_text(arguments: list[str]) -> None:
    """Refuse names that no JSON document, manifest or worker could hold.

    Raises:
        InputError: one is no UTF-8.
    """
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                "A name on the command line is no text in UTF-8.",
                place=ascii(argument),
                fix="rename the file or folder",
            ) from error


def gone(error: Exception) -> InputError | None:
    """The complaint that the current folder was removed, or that links lead in a circle; None for other errors."""
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):  # of pathlib, until Python 3.13
        return InputError("Links lead in a circle.", place=str(error).partition(" from ")[2], fix="correct the link")
    if isinstance(error, FileNotFoundError):
        try:
            os.getcwd()  # noqa: PTH109  it is about this call
        except FileNotFoundError:
            return InputError(
                "The current folder is no longer there.",
                place=os.environ.get("PWD", "."),
                fix="change to a folder that is there",
            )
    return None
