"""Keeps a run that goes astray from taking the machine with it: a limit of memory, and one of time.

Linux only (it reads ``/proc``); elsewhere it watches nothing.
"""

import os
import signal
import threading
import time
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Self

PROC = Path("/proc")


def children(parent: int) -> list[int]:
    """Process ids of all descendants, parents before their children."""
    below: dict[int, list[int]] = {}
    for folder in PROC.glob("[0-9]*"):
        try:
            above = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue  # it ended while it was looked at
        below.setdefault(above, []).append(int(folder.name))
    found = list(below.get(parent, ()))
    for pid in found:
        found += below.get(pid, ())
    return found


def resident_bytes(pid: int) -> int:
    """Memory that a process holds; 0 once it is gone."""
    try:
        return int((PROC / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


class Watchdog:
    """Kills this process's children when one holds too much memory, or when the time is over.

    A worker that dies so becomes an `Unsupported` in whoever waits for it. As a context manager it
    watches until the block ends; then ``why`` says what it did ("" if nothing) and ``peak_bytes``
    the most that one child held, looked at five times a second. It leaves the children in ``spared`` alone.
    """

    def __init__(self, seconds: float, most_bytes: int, spared: Collection[int] = ()) -> None:
        self.why = ""
        self.peak_bytes = 0
        self._deadline = time.monotonic() + seconds
        self._seconds, self._most_bytes, self._spared = seconds, most_bytes, set(spared)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            for pid in set(children(os.getpid())) - self._spared:
                held = resident_bytes(pid)
                self.peak_bytes = max(self.peak_bytes, held)
                if held > self._most_bytes:
                    self._kill(pid, f"took more than {self._most_bytes / 2**30:.0f} GiB of memory")
                elif time.monotonic() > self._deadline:
                    self._kill(pid, f"took more than {self._seconds:.0f} s")

    def _kill(self, pid: int, why: str) -> None:
        self.why = self.why or why
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
