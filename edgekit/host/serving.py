"""The child's side of `edgekit.host.child`: requests come in, events and one reply for each go out.

Both are lines over the child's own pipes. Whatever else is printed, by the process or its libraries, goes to stderr,
and a library that asks a question gets no answer.
"""

import faulthandler
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec

from edgekit.errors import REMEDIES, EdgekitError, InputError, from_os, full_disk, out_of_memory, too_large
from edgekit.host import deadline, events, sandbox

LOOK_S = 0.5
"""How often a process looks whether its parent is gone, or time is over."""


class Reply(msgspec.Struct, tag=True):
    """A result, or the error to raise in the parent (its class name, problem, place and fix).

    ``last``: the child ends with it.
    """

    result: msgspec.Raw = msgspec.Raw(b"null")
    error: tuple[str, str, str, str] | None = None
    last: bool = False


Frame = events.Advance | events.Remark | events.Scalar | Reply
"""What one line from a child holds."""


def serve(answer: Callable[[bytes], Any]) -> None:
    """Answer requests until there are no more, or the parent is gone.

    Args:
        answer: takes a request, a line of JSON, and returns the result. An `EdgekitError` crosses to the parent; any
            other error ends this process with its traceback on stderr.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all: the parent decides what ends
    faulthandler.enable()  # the parent reads in which library it died
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    writer = _Writer(replies)
    threading.Thread(target=_watch, args=(os.getppid(), writer), daemon=True).start()
    for line in requests:
        with events.told_to(writer.tell):
            reply = _reply(answer, line)
        writer.write(reply)


class _Writer:
    """Lines to the parent; several threads may tell events."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()

    def tell(self, event: events.Event) -> None:
        """Send an event; what no encoding has in names and texts of a stranger's file is replaced."""
        if isinstance(event, events.Scalar):
            self.write(msgspec.structs.replace(event, name=readable(event.name)))
        else:
            self.write(msgspec.structs.replace(event, text=readable(event.text)))

    def write(self, frame: Frame) -> None:
        """Send one line whole, whatever other threads send."""
        with self._lock:
            self._write(frame)

    def end_if_late(self) -> None:
        """Say that what is under way takes too long, and end this process.

        Looked at again with the lock held: what has just ended is answered already, or is about to be, and a second
        reply to it would be taken for that to the next request.
        """
        if deadline.overdue() is None:
            return
        with self._lock:
            if (late := deadline.overdue()) is not None:
                self._write(Reply(error=_crossing(late), last=True))
                os._exit(0)

    def _write(self, frame: Frame) -> None:
        self._pipe.write(msgspec.json.encode(frame) + b"\n")
        self._pipe.flush()


def _reply(answer: Callable[[bytes], Any], line: bytes) -> Reply:
    try:
        return Reply(result=msgspec.Raw(msgspec.json.encode(answer(line))))
    except EdgekitError as error:
        return Reply(error=_crossing(error))


def _crossing(error: EdgekitError) -> tuple[str, str, str, str]:
    remedy = next(name for name, kind in REMEDIES.items() if isinstance(error, kind))
    return remedy, readable(error.problem), readable(error.place), readable(error.fix)


def readable(text: str) -> str:
    """Text that UTF-8 can hold: a damaged file's own may have halves of characters."""
    return text.encode("utf8", "backslashreplace").decode()


@contextmanager
def remedied(place: str) -> Iterator[None]:
    """While open, a full disk and too little memory are the user's to mend, whatever a library makes of them.

    Args:
        place: the file that is being worked on.

    Raises:
        InputError: there is no space, too little memory, or text that is not UTF-8.
    """
    try:
        yield
    except EdgekitError as error:
        if (mended := full_disk(error) or _too_large(error, place)) is None:
            raise
        raise mended from error
    except MemoryError as error:
        raise too_large(place, sandbox.memory_limit()) from error
    except OSError as error:
        if (mended := from_os(error) or _too_large(error, place)) is None:
            raise
        raise mended from error


def _too_large(error: Exception, place: str) -> InputError | None:
    return too_large(place, sandbox.memory_limit()) if out_of_memory(error) else None


def _watch(parent: int, writer: _Writer) -> None:
    """End when the parent is gone (its pipe alone would only be noticed after the current call) or time is over.

    Nobody else would remove the child's own folder with its temporary files if the parent is gone.
    """
    folder = Path.cwd()
    own = os.environ.get("TMPDIR") == str(folder)
    while os.getppid() == parent:
        writer.end_if_late()
        with deadline.looked_away():
            time.sleep(LOOK_S)
    if own:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)
