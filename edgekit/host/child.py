"""Child processes: the parent's side. A request goes in, events come while it is worked on, then one result.

Every child of edgekit that runs Python code of its own is one of these: workers, in which leaves run
(`edgekit.engine.worker`), and trials of files that may be malformed (`edgekit.waist.trial`). What runs inside one is
`edgekit.host.serving`. A call can be given a time limit, and `Child.close` ends it from another thread.
"""

import os
import select
import signal
import subprocess
import sys
import threading
import time
import typing
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec

from edgekit.errors import REMEDIES, CancelledError
from edgekit.host.events import Listener, ignore
from edgekit.host.serving import Frame, Reply

LONGEST_LINE = 1 << 28
"""Bytes of a reply that no honest child exceeds."""

LAST_WORDS = 1 << 20
"""How many bytes of what a dead child printed are read."""

_LOOK_S = 0.5
"""How often it is seen whether a child still runs: a process that it started may hold its pipe open."""


class DiedError(Exception):
    """The child ended without a reply: with which exit code (as `subprocess` tells it), and what it printed last."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(f"exit code {code}")
        self.code = code
        self.words = words


class OverdueError(Exception):
    """The call took longer than it was given; the child was ended."""


class GarbledError(Exception):
    """What came from the child is no frame of the protocol; the child was ended."""


class Child:
    """A Python process that answers requests one after another. Once it has failed it is closed: make another.

    Args:
        module: what is run, as with ``python -m``; it calls `edgekit.host.serving.serve`.
        arguments: of its command line.
        log: the file to which everything that it prints is appended.
        folder: its current folder; that of this process without.
        environment: variables to add.
        apart: without a terminal, to which it could type; and what it starts ends with it.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        log: Path,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        apart: bool = True,
    ) -> None:
        self._log = log
        self._apart = apart
        self._closed = False
        self._asking = threading.RLock()
        self._rest = b""
        with log.open("ab") as said:
            self.process = _started([sys.executable, "-m", module, *arguments], said, folder, environment, apart=apart)

    def ask(self, request: bytes, *, tell: Listener = ignore, limit_s: float | None = None) -> msgspec.Raw:
        """Send a request, one line of JSON, and wait for its result.

        Args:
            request: without a line feed.
            tell: gets the events of this call, in this thread; if it raises, the child is closed.
            limit_s: the most seconds that the call may take.

        Returns:
            The result, encoded as JSON.

        Raises:
            EdgekitError: as the child raised it.
            DiedError: it died.
            OverdueError: it took too long.
            GarbledError: it sent what nobody understands.
            CancelledError: `close` was called meanwhile.
        """
        with self._asking:
            since = self._said()
            until = None if limit_s is None else time.monotonic() + limit_s
            try:
                reply = self._reply(request, tell, until)
            except BaseException as error:  # an interruption too: nobody waits for the reply any more
                cancelled = self._closed
                code = self._end()
                if cancelled:
                    raise CancelledError from None
                if isinstance(error, EOFError):
                    raise DiedError(code, self._words(since)) from None
                raise
        if reply.last:
            self._end()
        if reply.error is not None:
            kind, problem, place, fix = reply.error
            raise REMEDIES[kind](problem, place=place, fix=fix)
        return reply.result

    def _reply(self, request: bytes, tell: Listener, until: float | None) -> Reply:
        try:
            stdin = typing.cast("IO[bytes]", self.process.stdin)
            stdin.write(request + b"\n")
            stdin.flush()
        except (BrokenPipeError, ValueError) as error:  # ValueError: closed
            raise EOFError from error
        while True:
            try:
                frame: Frame = msgspec.json.decode(self._line(until), type=Frame)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise GarbledError(str(error)) from error
            if not isinstance(frame, Reply):
                tell(frame)
            elif frame.error is not None and frame.error[0] not in REMEDIES:
                raise GarbledError(f"no error is called {frame.error[0]}")
            else:
                return frame

    def _line(self, until: float | None) -> bytes:
        """The next line.

        Raises:
            EOFError: there is no more.
            GarbledError: it has no end.
            OverdueError: it did not come in time.
        """
        stdout = typing.cast("IO[bytes]", self.process.stdout)
        waiting = select.poll()
        waiting.register(stdout, select.POLLIN)
        parts = [self._rest]
        while b"\n" not in parts[-1]:
            if until is not None and time.monotonic() > until:
                raise OverdueError
            ended = self.process.poll() is not None
            left = _LOOK_S if until is None else min(_LOOK_S, until - time.monotonic())
            if waiting.poll(0 if ended else max(0, left) * 1000):
                parts.append(os.read(stdout.fileno(), 1 << 16))
                if not parts[-1]:
                    raise EOFError
                if sum(map(len, parts)) > LONGEST_LINE:
                    raise GarbledError("a reply without end")
            elif ended:  # what it started may hold the pipe, but has nothing to say
                raise EOFError
        line, _, self._rest = b"".join(parts).partition(b"\n")
        return line

    def _said(self) -> int:
        """Bytes of the log; none if it is gone: other runs in the same cache remove old ones."""
        try:
            return self._log.stat().st_size
        except FileNotFoundError:
            return 0

    def _words(self, since: int) -> str:
        try:
            with self._log.open("rb") as file:
                file.seek(max(since, file.seek(0, os.SEEK_END) - LAST_WORDS))
                return file.read(LAST_WORDS).decode("utf8", "replace")
        except FileNotFoundError:
            return ""

    @property
    def alive(self) -> bool:
        """Whether it runs, as far as anybody knows."""
        return not self._closed and self.process.poll() is None

    def close(self) -> None:
        """End the process at once, from whatever thread; a call that waits for it raises `CancelledError`."""
        self._closed = True
        self._end()

    def _end(self) -> int:
        """End the process; its exit code."""
        stdout = self.process.stdout
        if not self._closed and stdout is not None and _hung_up(stdout):
            with suppress(subprocess.TimeoutExpired):  # it is about to end by itself, and its code tells why
                self.process.wait(timeout=10)
        self._kill()
        code = self.process.wait()
        self._closed = True
        with self._asking:  # a thread that waits for a reply holds the pipe until its end comes
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):  # a request that never got through
                        pipe.close()
        return code

    def _kill(self) -> None:
        if self._apart and self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)  # with what it started
        self.process.kill()


def _hung_up(pipe: IO[bytes]) -> bool:
    """Whether nobody holds the other end any more."""
    looking = select.poll()
    looking.register(pipe, 0)
    return any(found & select.POLLHUP for _, found in looking.poll(0))


def _started(
    command: Sequence[str],
    said: IO[bytes],
    folder: Path | None,
    environment: Mapping[str, str] | None,
    *,
    apart: bool,
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | (environment or {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=said,
        start_new_session=apart,
    )
