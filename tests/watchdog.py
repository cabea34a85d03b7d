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


def held_bytes(pid: int) -> int:
    """Memory that a process alone takes from the machine; 0 once it is gone.

    Mapped files do not count: the system takes their pages back as soon as others need them.
    """
    try:
        lines = (PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0
    rows = (line.split() for line in lines if line.startswith(("RssAnon:", "RssShmem:")))
    return sum(int(row[1]) << 10 for row in rows)


class Watchdog:
    """Kills this process's children when they and it together hold too much memory, or when the time is over.

    A worker that dies so becomes an `Unsupported` in whoever waits for it. As a context manager it
    watches until the block ends; then ``why`` says what it did ("" if nothing) and ``peak_bytes``
    the most that all children held together, and this process beyond what it held at first, looked at
    five times a second. It leaves the children in ``spared`` alone.

    Args:
        seconds: after which all are killed.
        most_bytes: at which the largest is killed.
        spared: ids of children that count for nothing.
        growth: whether what the children hold already counts for nothing.
    """

    def __init__(self, seconds: float, most_bytes: int, spared: Collection[int] = (), *, growth: bool = False) -> None:
        self.why = ""
        self.peak_bytes = 0
        self._deadline = time.monotonic() + seconds
        self._seconds, self._most_bytes, self._spared = seconds, most_bytes, set(spared)
        self._free_bytes = held_bytes(os.getpid()) + (sum(self._held().values()) if growth else 0)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _held(self) -> dict[int, int]:
        return {pid: held_bytes(pid) for pid in children(os.getpid()) if pid not in self._spared}

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            held = self._held()
            total = sum(held.values()) + held_bytes(os.getpid()) - self._free_bytes
            self.peak_bytes = max(self.peak_bytes, total)
            if held and total > self._most_bytes:
                why = f"took more than {self._most_bytes / 2**30:.0f} GiB of memory"
                self._kill(max(held, key=lambda pid: held[pid]), why)
            if time.monotonic() > self._deadline:
                for pid in held:
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
