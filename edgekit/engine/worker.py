"""The processes in which leaves run, started once and kept for a build; this is the parent's side.

A model that aborts its interpreter, or a converter that talks to the screen, never reaches
edgekit: the child's output goes to the log file, its death becomes an `Unsupported`, or a `DeviceError`
if it was busy at the bench. What runs in the child is `edgekit.engine.inside`.

It writes in a folder of its own; what it made is copied from there.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from edgekit.engine import calls
from edgekit.errors import DeviceError, EdgekitError, InputError, LeafCrashError, Unsupported
from edgekit.host import deadline, death, sandbox
from edgekit.host.cachedir import cache_folder
from edgekit.host.child import Child, DiedError, GarbledError, OverdueError
from edgekit.host.events import Listener, ignore
from edgekit.host.ownership import Scratch, temporary, temporary_place, there

BENCH = {"drivers", "meters"}
"""Rooms whose leaves load no model: if one dies, the bench is to be looked at."""

TRUSTED = BENCH | {"samples"}
"""Rooms whose leaves load no model and need what a reader of models gives up: devices, or what the user's code uses."""

WRITTEN = ("out", "outputs")
"""What the contracts of all other rooms call the folder or file that a method writes."""

DOINGS = {
    "": "loading its libraries",
    "describe": "reading the model",
    "to_waist": "converting the model",
    "as_it_is": "reading the model",
    "optimize": "optimizing the graph",
    "read": "reading the samples",
    "score": "computing the metric",
    "tensors": "listing the model's tensors",
    "first_divergence": "looking for the first operator that differs",
    "build": "building the file",
    "best_ms": "timing the file",
    "apply": "training",
    "find": "looking for devices",
    "set_up": "setting the device up",
    "state": "reading the device's state",
    "execute": "running commands on the device",
    "open": "putting the file on the device",
    "close": "clearing up on the device",
    "look": "looking for sensors",
    "available": "looking for sensors",
    "stop": "reading what the sensors gave",
}
"""Methods of leaves as steps that a user knows."""

RUNNING = {"sources": "running the model", "backends": "running the file", "drivers": "measuring on the device"}
"""What `run` is in each room."""


LIMITS_S = {
    "to_waist": 21600.0, "as_it_is": 21600.0, "build": 21600.0, "run": 21600.0, "best_ms": 600.0,
    "first_divergence": 300.0, "optimize": 3600.0,
}  # fmt: skip
"""Methods that convert, compile or run networks, which may hang → how many seconds one may take unless the call says.

Far beyond what the largest networks take; without a limit a service would wait for ever. The search for where a
file diverges is advice alone, and a refusal does not wait for it any longer.
"""


class Worker:
    """A child process; a dead one is replaced at the next call.

    Args:
        log: file to which everything the child prints is appended.
        memory: the most bytes of memory that a child that reads models may have; the machine's share without.
        seconds: what one inference may take (`edgekit.host.deadline`).
        also: a folder in which a child that reads models may write, beside its own.
    """

    def __init__(
        self, log: Path, memory: int | None = None, seconds: float | None = None, also: Path | None = None
    ) -> None:
        self._log = log
        self._also = also
        self._seconds = seconds or deadline.BASE_S
        self._memory = memory or sandbox.default_memory()
        self._child: Child | None = None
        self._folder: Scratch | None = None
        self._trusted = False

    def call(
        self,
        room: str,
        leaf: str,
        method: str,
        /,
        *,
        tell: Listener = ignore,
        limit_s: float | None = None,
        **arguments: Any,
    ) -> Any:
        """Call a leaf's method in the child and wait; no method only loads the leaf.

        Args:
            room: such as ``sources``.
            leaf: its name.
            method: of the room's contract.
            tell: gets what the leaf tells meanwhile (`edgekit.host.events`).
            limit_s: the most seconds that it may take; without, what `LIMITS_S` says.
            arguments: of the method.

        Returns:
            What the method returns, decoded by the annotation in the room's contract.

        Raises:
            EdgekitError: as the leaf raised it.
            InputError: a file's name is no text, a model needs more memory than it may have, or the child's folder was
                removed.
            Unsupported: the child died, for instance of a fault in a native library that read a model; or it took
                too long.
            DeviceError: it did so while it was busy with a device or a meter.
            LeafCrashError: the leaf raised anything else.
            CancelledError: the worker was closed meanwhile.
        """
        trusted = room in TRUSTED
        limit_s = LIMITS_S.get(method) if limit_s is None else limit_s
        child = self._running(trusted=trusted)
        own = self._own()
        try:
            with there(own), _aside(arguments, own, trusted=trusted) as given:
                return self._answer(child, calls.Request(room, leaf, method, given), arguments, tell, limit_s)
        finally:
            if not child.alive:
                self.close()

    def _answer(
        self, child: Child, request: calls.Request, arguments: dict[str, Any], tell: Listener, limit_s: float | None
    ) -> Any:
        """What the child answers, or in edgekit's words why it does not."""
        try:
            return calls.result(child.ask(calls.encoded(request), tell=tell, limit_s=limit_s), request)
        except DiedError as died:
            raise self._died(died, request, arguments) from died
        except OverdueError as error:
            raise _overdue(request, limit_s or 0) from error
        except (msgspec.MsgspecError, GarbledError) as error:
            raise _garbled(request, error, self._log) from error

    def _died(self, died: DiedError, request: calls.Request, arguments: dict[str, Any]) -> Exception:
        place = str(getattr(arguments.get("device"), "id", request.place))
        doing, leaf = _doing(request), request.leaf
        if request.room in BENCH and died.code != 1:
            return death.at_bench(died.code, died.words, leaf=leaf, doing=doing, place=place, log=self._log)
        if request.room == "samples" and died.code != 1:
            what = arguments.get("function") or arguments.get("origin") or leaf
            return death.of_users_code(died.code, what=str(what), doing=doing, log=self._log)
        found = death.of_reader(
            died.code, died.words, leaf=leaf, doing=doing, place=place, log=self._log, limit=self._memory
        )
        if died.code == 1 and not isinstance(found, InputError):  # Python's own: an exception that nobody caught
            return LeafCrashError(f"{leaf} failed in {request.method}", str(self._log))
        return found

    def start(self) -> None:
        """Start the child now, so that it loads while the caller does something else."""
        self._running(trusted=False)

    def _running(self, *, trusted: bool) -> Child:
        if self._child is None or not self._child.alive or self._trusted != trusted:
            self.close()
            self._trusted = trusted
            self._log.parent.mkdir(parents=True, exist_ok=True)
            # Converters leave files in the current folder; it is not the user's.
            with temporary_place():
                self._folder = folder = temporary("worker")
            self._child = Child(
                "edgekit.engine.inside",
                str(Path.cwd()),
                "0" if trusted else str(self._memory),
                str(self._seconds),
                *([] if self._also is None else [str(self._also)]),
                log=self._log,
                folder=folder.path,
                environment={"TMPDIR": str(folder.path), "EDGEKIT_CACHE": str(cache_folder())},
                apart=not trusted,
            )
        return self._child

    def _own(self) -> Path:
        return Path() if self._folder is None else self._folder.path

    def close(self) -> None:
        """End the child at once, from whatever thread; it holds nothing that is not in a temporary folder."""
        child, self._child = self._child, None
        folder, self._folder = self._folder, None
        if child is not None:
            child.close()
        if folder is not None:
            folder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _doing(request: calls.Request) -> str:
    return RUNNING[request.room] if request.method == "run" else DOINGS.get(request.method, request.method)


def _garbled(request: calls.Request, error: Exception, log: Path) -> EdgekitError:
    """The complaint about an answer that is none: a model's own code may have written to the pipe."""
    problem = f"{request.leaf} gave no proper answer ({error})."
    if request.room in BENCH:
        return DeviceError(problem, place=request.place, fix=f"see what it printed: {log}")
    return Unsupported(problem, place=request.place, fix="see whether the model runs code of its own")


def _overdue(request: calls.Request, limit_s: float) -> EdgekitError:
    problem = f"{request.leaf} did not finish within {limit_s:g} s while {_doing(request)}."
    if request.room in BENCH:
        return DeviceError(
            problem,
            place=request.place,
            fix="see that the device is attached and answers (edgekit devices), then run it again",
        )
    return Unsupported(
        problem, place=request.place, fix="choose another precision or target, or make the model smaller"
    )


@contextmanager
def _aside(arguments: dict[str, Any], own: Path, *, trusted: bool) -> Iterator[dict[str, Any]]:
    """The arguments with places to write in the child's own folder; what is written there is then copied out.

    Copied, not moved: whoever wrote a file may still hold it open.
    """
    wanted = {} if trusted else {name: path for name in WRITTEN if isinstance(path := arguments.get(name), Path)}
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
