"""How a board's monotonic clock stands to this host's."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from shlex import quote
from typing import NamedTuple

import asyncssh

from edgekit.drivers.ssh.connection import LINE_S, LOST, Board, shell

READINGS = 15
"""How often the board's clock is read; every reading narrows the interval or leaves it."""

DOING = "reading its clock"

CLOCK = """
import sys, time
for line in sys.stdin:
    print(repr(time.monotonic()), flush=True)
"""


class Offset(NamedTuple):
    """What to add to the board's clock to come to the host's, in s, and half the width of its interval."""

    offset_s: float
    error_s: float


def offset(readings: Sequence[tuple[float, float, float]]) -> Offset:
    """The offset of a clock that was read between two readings of this host's.

    The board read its clock at some moment between the host's two readings, so each reading gives an
    interval that holds the offset for certain; the result is what they have in common (Marzullo's
    algorithm, 1984, without false clocks). Its error is at most half the shortest round trip.

    Args:
        readings: host clock before, board clock, host clock after, in s.
    """
    low = max(before - board for before, board, _ in readings)
    high = min(after - board for _, board, after in readings)
    # Clocks that drift while they are read leave a gap instead of an interval; it is no less unknown.
    return Offset((low + high) / 2, abs(high - low) / 2)


def joined(first: Offset, last: Offset) -> Offset:
    """One offset for all the time between two estimates: the middle, and room for the drift between them."""
    error = max(first.error_s, last.error_s) + abs(last.offset_s - first.offset_s) / 2
    return Offset((first.offset_s + last.offset_s) / 2, error)


class Clock:
    """A board's clock: one small process there that waits for questions.

    Args:
        board: whose clock.
        process: runs `CLOCK`.
    """

    def __init__(self, board: Board, process: asyncssh.SSHClientProcess[str]) -> None:
        self._board, self._process = board, process

    async def read(self) -> Offset:
        """How it stands now.

        Raises:
            DeviceError: it does not answer.
        """
        readings = []
        try:
            for _ in range(READINGS + 1):
                before = time.monotonic()
                self._process.stdin.write("\n")
                said = await asyncio.wait_for(self._process.stdout.readline(), LINE_S)
                readings.append((before, float(said), time.monotonic()))
        except (*LOST, asyncssh.Error, OSError, ValueError) as error:  # ValueError: an empty line, for it has ended
            raise self._board.lost(DOING) from error
        return offset(readings[1:])  # the first one may have waited for Python


@asynccontextmanager
async def clock_of(board: Board) -> AsyncIterator[Clock]:
    """The clock of a board for as long as it is needed.

    Raises:
        DeviceError: no connection.
    """
    connection = await board.connection()
    try:
        process = await connection.create_process(shell(f"exec {board.python} -S -c {quote(CLOCK)}"), request_pty=False)
    except (*LOST, asyncssh.Error, OSError) as error:
        raise board.lost(DOING) from error
    try:
        yield Clock(board, process)
    finally:
        process.close()
