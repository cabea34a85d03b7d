"""How long an inference, or another step over a stranger's model, may take: a loop in it may never end.

Native code cannot be interrupted. So a process that serves requests (`edgekit.host.serving`) looks twice a second
whether what it is at takes longer than it may; then it says so to its parent and ends. Elsewhere nobody looks.
"""

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import msgspec

from edgekit.errors import EdgekitError, EndlessError

BASE_S = 10.0
"""Seconds that any inference may take, whatever is known of it (``--max-seconds``).

Networks for devices take less than one; what takes longer by what its operators compute gets more (`Effort`).
"""

PATIENCE = 6
"""How many times its seconds of computing something may last: other processes take the cores too."""

STOPPED_S = 5.0
"""Seconds without a look, and without computing, after which a process is taken to have been stopped meanwhile."""

MACS_PER_S, VALUES_PER_S = 1e8, 1e8
"""What the slowest kernels compute on a slow machine: multiply-accumulates, and values of other operators.

TFLite's reference kernels do about 2e8 multiply-accumulates on one core of 2020, XNNPACK 1e10.
"""

LOOP_BYTES_PER_S, VALUE_BYTES = 1 << 27, 8
"""Memory that a network with a loop may come to take for each second that any inference may, and for each value.

What a loop collects step by step may grow by gigabytes within the seconds that it has.
"""

MOST_S = 3600.0
"""The most seconds that operators can earn a network: a file can declare any amount of work."""

FRESH_S = 0.05
"""How long a look at this process's memory holds: it takes longer than the run of a small network."""

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096

_DAMAGES = (
    EdgekitError, ArithmeticError, AttributeError, LookupError, MemoryError, OSError, RuntimeError, TypeError,
    ValueError,
)  # fmt: skip
"""What reading a network for its effort may raise, which is damaged or too large to be read a second time.

The thread that looks after the process must outlive it.
"""


class Effort(msgspec.Struct, frozen=True):
    """What one inference takes: multiply-accumulates, values of all results, and the names of its loops."""

    macs: int = 0
    values: int = 0
    loops: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """How long that is on a slow machine."""
        return min(MOST_S, self.macs / MACS_PER_S + self.values / VALUES_PER_S)


class _Step:
    """Something that is under way while it is open.

    ``most_s`` is asked once it has taken ``least_s``, and ``swells`` at every look.
    """

    def __init__(
        self,
        least_s: float,
        most_s: Callable[[], float],
        error: Callable[[float], EdgekitError],
        swells: Callable[[], EdgekitError | None] = lambda: None,
    ) -> None:
        self._least_s, self._most_s, self._error, self._swells = least_s, most_s, error, swells
        self._limit_s: float | None = None
        self._begun, self._computing = time.monotonic(), time.process_time()
        self.stopped_s = 0.0

    def __enter__(self) -> None:
        _under_way.append(self)

    def __exit__(self, *_: object) -> None:
        _under_way.remove(self)

    def overdue(self) -> EdgekitError | None:
        """What to say if it takes too long, or too much memory."""
        if (swollen := self._swells()) is not None:
            return swollen
        lasted = time.monotonic() - self._begun - self.stopped_s
        took = max(min(lasted, time.process_time() - self._computing), lasted / PATIENCE)
        if took <= self._least_s:
            return None
        if self._limit_s is None:
            self._limit_s = self._most_s()
        return self._error(self._limit_s) if took > self._limit_s else None


_base_s = BASE_S
_about = ""
_under_way: list[_Step] = []
_looked: tuple[int, float] = 0, -math.inf
"""Memory that this process alone had, and when."""


def allow(seconds: float) -> None:
    """Let every inference of this process take so many seconds instead of `BASE_S`."""
    global _base_s  # noqa: PLW0603  one limit holds for a process
    _base_s = seconds


def allowed_s() -> float:
    """The seconds that every inference of this process may take."""
    return _base_s


def about(place: str) -> None:
    """Say which file all that follows is about: a network may run as a temporary file that no user knows."""
    global _about  # noqa: PLW0603  a process does one thing after another
    _about = place


@contextmanager
def looked_away() -> Iterator[None]:
    """While open, whoever looks after this process sleeps for less than a second.

    If it takes far longer, the process was stopped, or its machine was: that time counts for nothing.
    """
    since, computing = time.monotonic(), time.process_time()
    yield
    idle_s = time.monotonic() - since - (time.process_time() - computing)
    if idle_s > STOPPED_S:
        for begun in _under_way.copy():
            begun.stopped_s += idle_s


def overdue() -> EdgekitError | None:
    """What to say of the first step under way that takes longer than it may; None if there is none."""
    return next((said for step in list(_under_way) if (said := step.overdue()) is not None), None)


def inference(
    effort: Callable[[], Effort], *, file: str = "the network", runs: int = 1
) -> AbstractContextManager[None]:
    """While open, which is at once, a network runs.

    Args:
        file: which one, if nobody said what it is `about`.
        effort: tells what one run takes; asked in another thread, and only if it takes longer or more than others.
        runs: how many runs it is.
    """
    place = _about or file
    known: list[Effort] = []
    before = _bytes_before()

    def ask() -> Effort:
        """What one run takes, found once; a damaged file has no loops and takes nothing."""
        if not known:
            try:
                known.append(effort())
            except _DAMAGES:
                known.append(Effort())
        return known[0]

    def swollen() -> EdgekitError | None:
        """The error of a process that has grown by more than all values of the runs; None of one without loops."""
        grown, usual = _private_bytes() - before, LOOP_BYTES_PER_S * _base_s
        if grown <= usual or not ask().loops or grown <= usual + VALUE_BYTES * runs * ask().values:
            return None
        return _endless(f"came to take {grown / 2**30:.1f} GiB of memory", place, ask().loops, _base_s)

    def late(limit_s: float) -> EdgekitError:
        return _endless(f"did not end within {limit_s:,.0f} s", place, ask().loops, limit_s)

    return _Step(_base_s, lambda: _base_s + runs * ask().seconds, late, swollen)


def _endless(what: str, place: str, loops: tuple[str, ...], limit_s: float) -> EdgekitError:
    why = f": {_listed(loops)} may never end" if loops else ", and what it computes needs less"
    more = f"raise the limit if it only takes long: --max-seconds {_more(limit_s)}"
    return EndlessError(
        f"One inference of {Path(place).name} {what}{why}.",
        place=f"{place}: {loops[0]}" if loops else place,
        fix=f"bound the loop when you export the model, or {more}" if loops else more,
    )


def _private_bytes() -> int:
    """Memory that this process alone has; 0 if the system does not tell."""
    try:
        with open("/proc/self/statm", "rb", buffering=0) as told:  # noqa: PTH123  it stands before every inference
            resident, shared = told.read().split()[1:3]
    except OSError:
        return 0
    return (int(resident) - int(shared)) * PAGE_BYTES


def _bytes_before() -> int:
    """Memory that this process alone has now, or had less than `FRESH_S` ago."""
    global _looked  # noqa: PLW0603  of what a process has there is one
    now = time.monotonic()
    if not 0 <= now - _looked[1] < FRESH_S:
        _looked = _private_bytes(), now
    return _looked[0]


def step(doing: str, place: str, share: float) -> AbstractContextManager[None]:
    """While open, something else is done with a model.

    Args:
        doing: what, as a noun (``Reading model.keras``).
        place: the file.
        share: how many times the seconds of an inference it may take.
    """

    def late(limit_s: float) -> EdgekitError:
        return EndlessError(
            f"{doing} took longer than {limit_s:,.0f} s.",
            place=place,
            fix=f"export a smaller model, or raise the limit if it only takes long: --max-seconds {_more(_base_s)}",
        )

    limit_s = _base_s * share
    return _Step(limit_s, lambda: limit_s, late)


def _more(limit_s: float) -> int:
    """Ten times a limit, as somebody would write it."""
    return max(60, round(limit_s) * 10)


def _listed(loops: tuple[str, ...]) -> str:
    shown = ", ".join(loops[:3]) + (f" and {len(loops) - 3} more" if len(loops) > 3 else "")
    return f"its loop {shown}" if len(loops) == 1 else f"one of its loops {shown}"
