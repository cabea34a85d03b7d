"""A child process in which leaves run, started once and kept for a build.

A model that aborts its interpreter, or a converter that talks to the screen, never reaches
edgekit: the child's output goes to the log file, its death becomes an `Unsupported`, or a `DeviceError`
where it was busy at the bench. Requests and replies are lines of JSON over the child's own pipes.

A child that reads models gives up what it can before it reads one (`edgekit.host.sandbox`), since a model may be
a program of a stranger's. It writes in a folder of its own; what it made is copied from there.
"""

import faulthandler
import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
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

from edgekit.engine import death, registry
from edgekit.errors import (
    REMEDIES,
    EdgekitError,
    InputError,
    LeafCrashError,
    Unsupported,
    from_os,
    full_disk,
    out_of_memory,
    too_large,
)
from edgekit.host import sandbox
from edgekit.host.cachedir import cache_folder
from edgekit.host.ownership import Scratch, temporary, temporary_place

BENCH = {"drivers", "meters"}
"""Rooms whose leaves load no model: where one dies, the bench is to be looked at."""

WRITTEN = ("out", "outputs")
"""What the contracts of all other rooms call the folder or file that a method writes."""

LONGEST_REPLY = 1 << 28
"""Bytes of a reply that no honest leaf exceeds."""


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
        memory: the most bytes of memory that a child that reads models may have; the machine's share without.
    """

    def __init__(self, log: Path, memory: int | None = None) -> None:
        self._log = log
        self._memory = memory or sandbox.default_memory()
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Scratch | None = None
        self._bench = False

    def call(self, room: str, leaf: str, method: str, /, **arguments: Any) -> Any:
        """Call a leaf's method in the child and wait; no method only loads the leaf.

        Returns:
            What the method returns, decoded by the annotation in the room's contract.

        Raises:
            EdgekitError: as the leaf raised it.
            InputError: a file's name is no text, or a model needs more memory than it may have.
            Unsupported: the child died, for instance of a fault in a native library that read a model.
            DeviceError: it died while it was busy with a device or a meter.
            LeafCrashError: the leaf raised anything else.
        """
        bench = room in BENCH
        process = self._running(bench=bench)
        with _aside(arguments, self._own(), bench=bench) as given:
            request = Request(room, leaf, method, {k: msgspec.to_builtins(v, enc_hook=str) for k, v in given.items()})
            since = self._log.stat().st_size
            line = self._exchange(process, _encoded(request))
            if not line.endswith(b"\n"):  # the end of the child, perhaps in the middle of a reply
                raise self._ended(process, request, since, arguments)
            return _result(line, request)

    def _exchange(self, process: subprocess.Popen[bytes], request: bytes) -> bytes:
        stdin, stdout = typing.cast("IO[bytes]", process.stdin), typing.cast("IO[bytes]", process.stdout)
        try:
            stdin.write(request + b"\n")
            stdin.flush()
            return stdout.readline(LONGEST_REPLY)
        except (BrokenPipeError, ValueError):  # ValueError: closed meanwhile by another thread
            return b""
        except KeyboardInterrupt:  # nobody waits for the reply any more, and the next call must not get it
            self.close()
            raise

    def _ended(
        self, process: subprocess.Popen[bytes], request: Request, since: int, arguments: dict[str, Any]
    ) -> Exception:
        try:
            code = process.wait(timeout=10)
        except subprocess.TimeoutExpired:  # it closed its pipe, or its reply had no end
            process.kill()
            code = process.wait()
        self.close()
        leaf, method = request.leaf, request.method
        place = str(getattr(arguments.get("device"), "id", arguments.get("path", arguments.get("artifact", leaf))))
        if request.room in BENCH and code != 1:
            return death.at_bench(code, leaf, method, place=place, log=self._log)
        found = death.of_reader(code, leaf, method, place=place, log=self._log, since=since, limit=self._memory)
        if code == 1 and not isinstance(found, InputError):  # Python's own, for an exception that nobody caught
            return LeafCrashError(f"{leaf} failed in {method}", str(self._log))
        return found

    def start(self) -> None:
        """Start the child now, so that it loads while the caller does something else."""
        self._running(bench=False)

    def _running(self, *, bench: bool) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None or self._bench != bench:
            self.close()
            self._bench = bench
            self._log.parent.mkdir(parents=True, exist_ok=True)
            # Converters leave files in the current folder; it is not the user's.
            with temporary_place():
                self._folder = temporary("worker")
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [
                        sys.executable,
                        "-m",
                        "edgekit.engine.worker",
                        str(Path.cwd()),
                        "0" if bench else str(self._memory),
                    ],
                    cwd=self._folder.path,
                    env=os.environ | {"TMPDIR": str(self._folder.path), "EDGEKIT_CACHE": str(cache_folder())},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    start_new_session=not bench,  # without a terminal, to which it could type
                )
        return self._process

    def _own(self) -> Path:
        return Path() if self._folder is None else self._folder.path

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
def _aside(arguments: dict[str, Any], own: Path, *, bench: bool) -> Iterator[dict[str, Any]]:
    """The arguments with places to write in the child's own folder; what is written there is then copied out.

    Copied, not moved: whoever wrote a file may still hold it open.
    """
    wanted = {} if bench else {name: path for name in WRITTEN if isinstance(path := arguments.get(name), Path)}
    if not wanted:
        yield arguments
        return
    with tempfile.TemporaryDirectory(dir=own, prefix="made-", ignore_cleanup_errors=True) as folder:
        moved = {name: Path(folder) / name / (path.name or "out") for name, path in wanted.items()}
        for name, path in moved.items():
            (path if wanted[name].is_dir() else path.parent).mkdir(parents=True)
        yield arguments | moved
        for name, path in moved.items():
            _copy(path, wanted[name])


def _copy(made: Path, wanted: Path) -> None:
    """Copy a file or a folder's content; links and devices are not followed.

    Raises:
        Unsupported: there is something else than files and folders.
    """
    if made.is_symlink() or not (made.is_file() or made.is_dir() or not made.exists()):
        raise Unsupported(
            f"What reads the model made {made.name}, which is neither a file nor a folder.",
            place=str(wanted),
            fix="do not use this model: it seems to run code of its own",
        )
    if made.is_dir():
        wanted.mkdir(parents=True, exist_ok=True)
        for inner in made.iterdir():
            _copy(inner, wanted / inner.name)
    elif made.exists():
        shutil.copyfile(made, wanted, follow_symlinks=False)


def _encoded(request: Request) -> bytes:
    try:
        return msgspec.json.encode(request)
    except UnicodeEncodeError as error:
        named = ascii(error.object[max(0, error.start - 60) : error.end + 60])
        raise InputError(
            f"The name {named} is not UTF-8.", place=named, fix="rename the file or folder to plain text"
        ) from error


def _result(line: bytes, request: Request) -> Any:
    """What a reply holds, or the error that it tells of.

    Raises:
        Unsupported: it is no reply: a model's own code may have written to the pipe.
    """
    try:
        reply = msgspec.json.decode(line, type=Reply)
        hints = _hints(request.room, request.method) if request.method else {"return": None}
        result = msgspec.convert(reply.result, hints["return"]) if reply.error is None else None
        kind = REMEDIES[reply.error[0]] if reply.error is not None else None
    except (msgspec.MsgspecError, KeyError) as error:
        raise Unsupported(
            f"{request.leaf} gave no proper answer ({error}).",
            place=str(request.arguments.get("path", request.leaf)),
            fix="see whether the model runs code of its own",
        ) from error
    if reply.error is not None and kind is not None:
        raise kind(reply.error[1], place=reply.error[2], fix=reply.error[3])
    return result


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


def _serve(requests: IO[bytes], replies: IO[bytes], users_folder: str) -> None:
    leaves: dict[tuple[str, str], Any] = {}
    for line in requests:
        request = msgspec.json.decode(line, type=Request)
        place = str(request.arguments.get("path", request.leaf))
        try:
            key = request.room, request.leaf
            if key not in leaves:
                leaves[key] = _loaded(*key)
            _find_users_modules(request, users_folder)
            reply = Reply(result=_answer(leaves[key], request) if request.method else None)
        except EdgekitError as error:
            reply = _refusal(full_disk(error) or _too_large(error, place) or error)
        except MemoryError:
            reply = _refusal(too_large(place, sandbox.memory_limit()))
        except OSError as error:
            if (mended := from_os(error) or _too_large(error, place)) is None:
                raise
            reply = _refusal(mended)
        replies.write(_reply(reply, place) + b"\n")
        replies.flush()


def _find_users_modules(request: Request, folder: str) -> None:
    """Let modules be found in the user's current folder, from the first request on that names one.

    Not before: libraries try to import others that are not installed, and a stranger's folder may hold a file of
    such a name. And last, so that a user's onnx.py or profile.py hides no library.
    """
    options = request.arguments.get("options")
    if isinstance(options, dict) and options.get("custom_objects") and folder not in sys.path:
        sys.path.append(folder)


def _too_large(error: Exception, place: str) -> InputError | None:
    return too_large(place, sandbox.memory_limit()) if out_of_memory(error) else None


def _reply(reply: Reply, place: str) -> bytes:
    try:
        return msgspec.json.encode(reply)
    except UnicodeEncodeError as error:
        named = ascii(error.object[max(0, error.start - 60) : error.end + 60])
        refused = InputError(f"It holds text that is not UTF-8: {named}.", place=place, fix="export it again")
        return msgspec.json.encode(_refusal(refused))


def _refusal(error: EdgekitError) -> Reply:
    remedy = next(name for name, kind in REMEDIES.items() if isinstance(error, kind))
    return Reply(error=(remedy, _written(error.problem), _written(error.place), _written(error.fix)))


def _written(text: str) -> str:
    """Text that UTF-8 can hold: a damaged file's own may have halves of characters."""
    return text.encode("utf8", "backslashreplace").decode()


def main() -> None:
    """The child: keep the pipe to the parent, send everything else that is printed to the log.

    Its arguments are the user's current folder, where modules that the user names may lie, and the most bytes of
    memory that it may have; 0 for the bench, where it needs the network and whatever else a device is behind.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all: the parent decides what ends
    faulthandler.enable()  # to the log, where the parent reads in which library it died
    if memory := int(sys.argv[2]):
        sandbox.enter(Path.cwd(), memory)
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # a library that asks a question gets no answer
    threading.Thread(target=_follow_parent, args=(os.getppid(),), daemon=True).start()
    _serve(requests, replies, sys.argv[1])


if __name__ == "__main__":
    main()
