"""What a call tells while it is under way: how far it is, a line for people, a number that it computed.

`progress`, `remark` and `metric` are plain functions for code that takes long. In a child process they reach whoever
waits for the call (`edgekit.host.child.Child.ask`); anywhere else, and between calls, they do nothing.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

PERIOD_S = 0.1
"""How often the same progress is told: nobody reads faster, and a loop over samples may be quick."""


class Advance(msgspec.Struct, frozen=True, tag=True):
    """How far a call is, as a share in 0..1 (None: nobody knows), and what it is busy with."""

    fraction: float | None
    text: str


class Remark(msgspec.Struct, frozen=True, tag=True):
    """A line for people."""

    text: str


class Scalar(msgspec.Struct, frozen=True, tag=True):
    """A number computed on the way, such as a loss; None if it is NaN or infinite. ``step`` counts from 0."""

    name: str
    value: float | None
    step: int | None


Event = Advance | Remark | Scalar
Listener = Callable[[Event], None]


def ignore(_: Event) -> None:
    """The listener that nobody is."""


_listener: Listener = ignore
_told: tuple[str, float] = "", -math.inf
"""The text and the time of the last progress."""


def progress(fraction: float | None, text: str = "") -> None:
    """Tell how far the call is: a share in 0..1, or None if nobody knows; and what it is busy with.

    At most every `PERIOD_S` for the same text, so that it may stand in a quick loop.
    """
    global _told  # noqa: PLW0603  a process has one listener
    now = time.monotonic()
    if _listener is ignore or (text == _told[0] and now - _told[1] < PERIOD_S):
        return
    _told = text, now
    known = fraction is not None and math.isfinite(fraction)
    _listener(Advance(min(max(fraction, 0.0), 1.0) if known and fraction is not None else None, text))


def remark(text: str) -> None:
    """Tell people something that they should see, on one line."""
    _listener(Remark(text))


def metric(name: str, value: float, step: int | None = None) -> None:
    """Tell a number computed on the way, such as a loss, and at which step."""
    _listener(Scalar(name, float(value) if math.isfinite(value) else None, step))


@contextmanager
def told_to(listener: Listener) -> Iterator[None]:
    """Give what is told in this process to a listener, while the context is open."""
    global _listener, _told  # noqa: PLW0603
    before, _listener, _told = _listener, listener, ("", -math.inf)
    try:
        yield
    finally:
        _listener = before
