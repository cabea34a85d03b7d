"""How a board's monotonic clock stands to this host's."""

import time
from collections.abc import Sequence
from shlex import quote
from typing import NamedTuple

import asyncssh

from edgekit.devices.ssh.connection import LOST, Board, shell

READINGS = 15
"""How often the board's clock is read; every reading narrows the interval or leaves it."""

CLOCK = """
import sys, time
for line in sys.stdin:
    print(repr(time.monotonic()), flush=True)
"""


class Offset(NamedTuple):
    """What to add to the board's clock to come to the host's, in s, and half the width of its interval."""

    offset_s: float
    error_s: float


UNKNOWN = Offset(0.0, 0.0)
"""Where no moment of the block matters."""


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


async def read(board: Board) -> Offset:
    """Read a board's clock through one process there.

    Raises:
        DeviceError: it does not answer.
    """
    doing = "reading its clock"
    connection = await board.connection()
    readings = []
    try:
        line = shell(f"exec {board.python} -S -c {quote(CLOCK)}")
        async with connection.create_process(line, request_pty=False) as process:
            for _ in range(READINGS + 1):
                before = time.monotonic()
                process.stdin.write("\n")
                said = await process.stdout.readline()
                readings.append((before, float(said), time.monotonic()))
            process.stdin.write_eof()
    except LOST as error:
        raise board.lost(doing) from error
    except (ValueError, asyncssh.Error) as error:
        raise board.refused(doing, error) from error
    return offset(readings[1:])  # the first one waited for Python
