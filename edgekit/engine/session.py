"""What the verbs of one run share: the cache, the worker processes, the log and the progress."""

import os
import re
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from edgekit.engine import unfinished
from edgekit.engine.proxies import LeafProxies
from edgekit.engine.question import Question
from edgekit.engine.store import Answer, Store, digest_of
from edgekit.errors import CancelledError, EdgekitError, OutOfTimeError, Unsupported
from edgekit.host import cachedir
from edgekit.host.cachedir import cache_folder
from edgekit.host.ownership import RANDOM, temporary_place

if TYPE_CHECKING:
    from concurrent.futures import Future

    from edgekit.engine.worker import Worker
    from edgekit.host.events import Event

LOGS_KEPT = 20
"""How many logs of runs stay in the cache."""

LOG = re.compile(r"\d+(T\d+-[a-z0-9_]{8})?\.log")
"""How a log is named: by its time, earlier by its process."""


class Progress(Protocol):
    """What a long run tells whoever watches. Called from several threads."""

    def plan(self, steps: int) -> None:
        """There will be this many steps more."""

    def begin(self, step: str) -> None:
        """A step starts; its text is for people."""

    def tell(self, step: str, event: "Event") -> None:
        """A step that is under way tells how far it is, or something else (`edgekit.host.events`)."""

    def end(self, step: str, *, from_cache: bool) -> None:
        """A step is done."""


class Silent:
    """Progress that nobody watches."""

    def plan(self, steps: int) -> None:
        """Nothing."""

    def begin(self, step: str) -> None:
        """Nothing."""

    def tell(self, step: str, event: "Event") -> None:
        """Nothing."""

    def end(self, step: str, *, from_cache: bool) -> None:
        """Nothing."""


WORKERS = re.compile(rf"[/\\]edgekit-worker-{RANDOM}[/\\]")
"""A worker's own folder in a path."""


def log_file() -> Path:
    """This run's log, in the cache folder; the oldest beyond `LOGS_KEPT` are removed.

    A temporary file if the cache cannot be written to: it may still hold every answer.

    Raises:
        InputError: the cache's folder is somebody else's, or there is no temporary folder either.
    """
    folder = cache_folder() / "logs"
    try:
        cachedir.claim(cache_folder())
        folder.mkdir(exist_ok=True)
        handle, log = tempfile.mkstemp(prefix=f"{datetime.now(UTC):%Y%m%dT%H%M%S}-", suffix=".log", dir=folder)
    except OSError:
        return _temporary_log()
    os.close(handle)
    logs = [path for path in folder.iterdir() if LOG.fullmatch(path.name)]
    for old in sorted(logs, key=_age)[:-LOGS_KEPT]:
        old.unlink(missing_ok=True)
    return Path(log)


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another run just removed it
        return 0.0


def _temporary_log() -> Path:
    with temporary_place():
        handle, name = tempfile.mkstemp(prefix="edgekit-", suffix=".log")
    os.close(handle)
    return Path(name)


class Session(LeafProxies):
    """A run. Worker processes start when first needed and end with it; the methods of its leaves run there.

    Args:
        store: the cache.
        log: file for what libraries print.
        progress: who watches.
        max_memory: bytes that a process which reads models may have; `edgekit.host.sandbox.default_memory` without.
        max_seconds: what one inference may take; `edgekit.host.deadline.BASE_S` without.
    """

    def __init__(
        self,
        store: Store,
        log: Path,
        progress: Progress | None = None,
        *,
        max_memory: int | None = None,
        max_seconds: float | None = None,
    ) -> None:
        self.store = store
        self.log = log
        self.progress: Progress = progress or Silent()
        self.network: Path | None = None
        """The user's file that this run is about, once it is known."""
        self._max_memory, self._max_seconds = max_memory, max_seconds
        self._workers: dict[tuple[str, str], Worker] = {}
        self._locks: dict[tuple[str, str], threading.Lock] = defaultdict(threading.Lock)
        self._expected: tuple[tuple[str, str], ...] = ()
        self._loading: list[Future[Any]] = []
        self._cancelled = False
        self._here = threading.local()

    def _call(self, room: str, leaf: str, method: str, /, **arguments: Any) -> Any:
        """Call a leaf's method in its worker process (see `edgekit.engine.worker.Worker.call`); none only loads it.

        What it tells meanwhile is told to whoever watches, as of the step that this thread is at.

        Raises:
            CancelledError: the run was cancelled.
            OutOfTimeError: it is past the moment that `until` names.
        """
        from edgekit.engine.worker import Worker  # noqa: PLC0415  a run that the cache answers starts no process

        key = room, "" if room == "meters" else leaf  # meters import little and are many: one worker serves all
        with self._locks[key]:
            if self._cancelled:
                raise CancelledError
            if key not in self._workers:
                also = unfinished.place(self.store.root) if room == "passes" else None
                self._workers[key] = Worker(self.log, self._max_memory, self._max_seconds, also)
            limit_s = self._limit_s()
            if limit_s == 0:
                raise OutOfTimeError(f"There is no time left for {leaf}.", fix="give it more time")
            try:
                return self._workers[key].call(room, leaf, method, tell=self._tell, limit_s=limit_s, **arguments)
            except EdgekitError as error:
                if limit_s is not None and self._limit_s() == 0:
                    raise OutOfTimeError(error.problem, place=error.place, fix="give it more time") from error
                raise self._of_the_users(error) from error.__cause__

    def _of_the_users(self, error: EdgekitError) -> EdgekitError:
        """A refusal of a file that was made on the way is one of the network that it was made of."""
        place = Path(error.place)
        made = place.suffix and (self.store.root in place.parents or WORKERS.search(error.place))
        if type(error) is not Unsupported or self.network is None or not made:
            return error
        told = error.problem.replace(place.name, f"what was made of {self.network.name}")
        return Unsupported(told, place=str(self.network), fix=error.fix)

    @contextmanager
    def until(self, moment: float | None) -> Iterator[None]:
        """Let what this thread asks of leaves end at a moment (`time.monotonic`, s); None: whenever it is done.

        Raises:
            OutOfTimeError: in the context, at that moment.
        """
        before, self._here.until = getattr(self._here, "until", None), moment
        try:
            yield
        finally:
            self._here.until = before

    def _limit_s(self) -> float | None:
        """Seconds that a call may still take; None: what its method may."""
        moment = getattr(self._here, "until", None)
        return None if moment is None else max(0.0, moment - time.monotonic())

    def _tell(self, event: "Event") -> None:
        if step := getattr(self._here, "step", ""):
            self.progress.tell(step, event)

    def cancel(self) -> None:
        """End what is under way, from whatever thread: calls of leaves raise `CancelledError`, and no more start."""
        self._cancelled = True
        self._close_workers()

    def expect(self, leaves: Iterable[tuple[str, str]]) -> None:
        """Name the leaves (room, name) that this run needs unless everything is cached.

        At the first question that the cache cannot answer their workers start to import their
        libraries, while this process and the source's worker are busy with other things.
        """
        self._expected = tuple(dict.fromkeys(leaves))

    def _load_expected(self) -> None:
        expected, self._expected = self._expected, ()
        if not expected:
            return
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  as in call

        background = ThreadPoolExecutor(thread_name_prefix="edgekit-load")
        self._loading = [background.submit(self._call, room, leaf, "") for room, leaf in expected]
        background.shutdown(wait=False)  # nothing else is to come

    def ask[T](self, question: Question, kind: type[T], make: Callable[[Path], T]) -> Answer[T]:
        """An answer from the cache, or a new one, with the steps that led to it.

        Args:
            question: all that decides the answer; whoever watches is told of it as it says.
            kind: type of the result.
            make: writes the answer's files into the folder that it is given, and returns the result.

        Raises:
            InputError: the answer is not there, and the cache cannot be written to.
            Whatever ``make`` raises; then nothing is stored.
        """

        def work(out: Path) -> T:
            """The answer is not there: now the libraries are needed."""
            self._load_expected()
            return make(out)

        if not question.doing:
            return self.store.ask(question.step(), kind, work, question.before)
        self.progress.begin(question.doing)
        self._here.step = question.doing
        try:
            answer = self.store.ask(question.step(), kind, work, question.before)
        finally:
            self._here.step = ""
        self.progress.end(question.doing, from_cache=answer.from_cache)
        return answer

    def unfinished(self, question: Question) -> AbstractContextManager[Path]:
        """A folder in the cache for what a killed run leaves of a long step (see `edgekit.engine.unfinished`)."""
        return unfinished.held(self.store.root, digest_of(question.step().question))

    def _close_workers(self) -> None:
        for worker in list(self._workers.values()):
            worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cancelled = True
        while [load for load in self._loading if not (load.cancel() or load.done())]:
            self._close_workers()  # whoever is loading may be about to start one
            time.sleep(0.01)
        self._close_workers()
        self.store.close()
        if not self._workers and not self.log.is_relative_to(cache_folder()):
            self.log.unlink(missing_ok=True)  # a temporary log into which nobody wrote


def opened(
    progress: Progress,
    cache_limit_bytes: int | None = None,
    max_memory: int | None = None,
    max_seconds: float | None = None,
) -> Session:
    """A session with the user's cache and a log of its own.

    Args:
        progress: who watches.
        cache_limit_bytes: what the cache's answers may take; `edgekit.host.cachedir.limit_bytes` without.
        max_memory: see `Session`.
        max_seconds: as well.

    Raises:
        InputError: the cache's folder is somebody else's, or its limit is none.
    """
    folder = cache_folder()
    limit = cachedir.limit_bytes(folder) if cache_limit_bytes is None else cache_limit_bytes
    return Session(Store(folder, limit), log_file(), progress, max_memory=max_memory, max_seconds=max_seconds)
