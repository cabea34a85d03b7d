"""A child process in which leaves run, started once and kept for a build.

A model that aborts its interpreter, or a converter that talks to the screen, never reaches
edgekit: the child's output goes to the log file, its death becomes an `Unsupported`, or a `DeviceError`
where it was busy at the bench. Requests and replies are lines of JSON over the child's own pipes.
"""

import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import typing
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import msgspec

from edgekit import registry
from edgekit.config import cache_folder
from edgekit.errors import (
    REMEDIES,
    DeviceError,
    EdgekitError,
    InputError,
    LeafCrashError,
    Unsupported,
    from_os,
    full_disk,
)
from edgekit.ownership import Scratch, temporary

BENCH = {"devices", "meters"}
"""Rooms whose leaves load no model: where one dies, the bench is to be looked at."""


class Request(msgspec.Struct):
    """What a child is asked to do: a method of a leaf, with its arguments as JSON values."""

    room: str
    leaf: str
    method: str
    arguments: dict[str, Any]


class Reply(msgspec.Struct):
    """A result, or the error to raise in the parent (its class name, problem, place and fix)."""

    result: Any = None
    error: tuple[str, str, str, str] | None = None


class Worker:
    """A child process; a dead one is replaced at the next call.

    Args:
        log: file to which everything the child prints is appended.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Scratch | None = None

    def call(self, room: str, leaf: str, method: str, /, **arguments: Any) -> Any:
        """Call a leaf's method in the child and wait; no method only loads the leaf.

        Returns:
            What the method returns, decoded by the annotation in the room's contract.

        Raises:
            EdgekitError: as the leaf raised it.
            Unsupported: the child died, for instance of a fault in a native library that read a model.
            DeviceError: it died while it was busy with a device or a meter.
            LeafCrashError: the leaf raised anything else.
        """
        process = self._running()
        request = Request(room, leaf, method, {k: msgspec.to_builtins(v, enc_hook=str) for k, v in arguments.items()})
        stdin, stdout = typing.cast("IO[bytes]", process.stdin), typing.cast("IO[bytes]", process.stdout)
        try:
            stdin.write(msgspec.json.encode(request) + b"\n")
            stdin.flush()
            line = stdout.readline()
        except (BrokenPipeError, ValueError):  # ValueError: closed meanwhile by another thread
            line = b""
        except KeyboardInterrupt:  # nobody waits for the reply any more, and the next call must not get it
            self.close()
            raise
        if not line.endswith(b"\n"):  # the end of the child, perhaps in the middle of a reply
            code = process.wait()
            self.close()
            if code == 1:  # Python's own exit code for an exception that nobody caught
                raise LeafCrashError(f"{leaf} failed in {method}", str(self._log))
            bench = room in BENCH
            place = getattr(arguments.get("device"), "id", arguments.get("path", arguments.get("artifact", leaf)))
            raise (DeviceError if bench else Unsupported)(
                f"{leaf} died while it was busy with {method} ({_death(code)}).",
                place=str(place),
                fix=f"{_help(code, bench=bench)}; its last words are in {self._log}",
            )
        reply = msgspec.json.decode(line, type=Reply)
        if reply.error is not None:
            name, problem, place, fix = reply.error
            raise REMEDIES[name](problem, place=place, fix=fix)
        return msgspec.convert(reply.result, _hints(room, method)["return"]) if method else None

    def start(self) -> None:
        """Start the child now, so that it loads while the caller does something else."""
        self._running()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._log.parent.mkdir(parents=True, exist_ok=True)
            # Converters leave files in the current folder; it is not the user's.
            with temporary_place():
                self._folder = temporary("worker")
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "edgekit.worker", str(Path.cwd())],
                    cwd=self._folder.path,
                    env=os.environ | {"TMPDIR": str(self._folder.path), "EDGEKIT_CACHE": str(cache_folder())},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                )
        return self._process

    def close(self) -> None:
        """End the child at once; it holds nothing that is not in a temporary folder."""
        process, self._process = self._process, None
        folder, self._folder = self._folder, None
        if process is not None:
            process.kill()  # first: a thread that waits for a reply holds the pipe until its end comes
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):  # a request that never got through
                        pipe.close()
        if folder is not None:
            folder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def temporary_place() -> Iterator[None]:
    """While open, a machine without any usable temporary folder is the user's to mend.

    Raises:
        InputError: every place that Python knows is full or cannot be written to.
    """
    try:
        yield
    except FileNotFoundError as error:  # so Python reports it, with the places in its text
        raise InputError(
            "There is no temporary folder that can be written to.",
            place=os.environ.get("TMPDIR", "the system's temporary folders"),
            fix="free some space, or set TMPDIR to a folder that you can write to",
        ) from error


def _death(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _help(code: int, *, bench: bool) -> str:
    """What a user can do about a dead child; the kernel kills by SIGKILL where memory runs out."""
    if code == -signal.SIGKILL:
        return "it was killed, most often for want of memory: free some, or use a machine with more"
    if bench:
        return "see that the device is attached and answers (edgekit devices), then run it again"
    return "the model makes a native library abort: simplify it, or choose another precision or target"


def _hints(room: str, method: str) -> dict[str, Any]:
    contract = getattr(import_module(f"edgekit.{room}"), registry.ROOMS[room])
    return typing.get_type_hints(getattr(contract, method))


def _decode(hints: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        name: msgspec.convert(value, hints[name], dec_hook=lambda kind, text: kind(text))  # a Path, or a Path or None
        for name, value in arguments.items()
    }


def _follow_parent(parent: int) -> None:
    """End when the parent is gone: its pipe alone would only be noticed after the current call.

    Nobody else would remove the child's own folder with its temporary files then.
    """
    folder = Path.cwd()
    own = os.environ.get("TMPDIR") == str(folder)
    while os.getppid() == parent:
        time.sleep(0.5)
    if own:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def _answer(leaf: Any, request: Request) -> Any:
    arguments = _decode(_hints(request.room, request.method), request.arguments)
    return msgspec.to_builtins(getattr(leaf, request.method)(**arguments))


def _loaded(room: str, name: str) -> Any:
    """A leaf; what its libraries bring stays for good, so the garbage collector need not walk through it."""
    gc.disable()
    try:
        return registry.leaf(room, name)
    finally:
        gc.freeze()
        gc.enable()


def _serve(requests: IO[bytes], replies: IO[bytes]) -> None:
    leaves: dict[tuple[str, str], Any] = {}
    for line in requests:
        request = msgspec.json.decode(line, type=Request)
        try:
            key = request.room, request.leaf
            if key not in leaves:
                leaves[key] = _loaded(*key)
            reply = Reply(result=_answer(leaves[key], request) if request.method else None)
        except EdgekitError as error:
            reply = _refusal(full_disk(error) or error)
        except OSError as error:
            if (mended := from_os(error)) is None:
                raise
            reply = _refusal(mended)
        replies.write(msgspec.json.encode(reply) + b"\n")
        replies.flush()


def _refusal(error: EdgekitError) -> Reply:
    remedy = next(name for name, kind in REMEDIES.items() if isinstance(error, kind))
    return Reply(error=(remedy, _written(error.problem), _written(error.place), _written(error.fix)))


def _written(text: str) -> str:
    """Text that UTF-8 can hold: a damaged file's own may have halves of characters."""
    return text.encode("utf8", "backslashreplace").decode()


def main() -> None:
    """The child: keep the pipe to the parent, send everything else that is printed to the log.

    Its argument is the user's current folder, where the user's own modules may lie.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all: the parent decides what ends
    sys.path.append(sys.argv[1])  # last, so that a user's onnx.py or profile.py hides no library
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # a library that asks a question gets no answer
    threading.Thread(target=_follow_parent, args=(os.getppid(),), daemon=True).start()
    _serve(requests, replies)


if __name__ == "__main__":
    main()
