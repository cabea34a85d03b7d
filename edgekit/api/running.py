"""A session for one call: its cache, its progress, and errors in the words of Python."""

import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple, get_args

from edgekit import config
from edgekit.config import toml
from edgekit.config.project import InferenceSeconds
from edgekit.engine.session import Session, Silent, opened
from edgekit.errors import EdgekitError, from_os
from edgekit.host import cachedir
from edgekit.host.ownership import temporary
from edgekit.nouns.model import Precision


class ProgressEvent(NamedTuple):
    """A step that begins or ends.

    ``step`` is its name for people; ``done`` of ``total`` steps are finished, as far as they are known yet;
    ``finished`` tells whether this one is, and ``from_cache`` whether the cache held its answer.
    """

    step: str
    done: int
    total: int
    finished: bool
    from_cache: bool = False


type Progress = bool | Callable[[ProgressEvent], object]
"""True shows a bar, or lines if there is no terminal; a function gets every `ProgressEvent`, False is silent."""


class Told(Silent):
    """Progress that a function is told of, one event at a time."""

    def __init__(self, tell: Callable[[ProgressEvent], object]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._done = self._total = 0

    def plan(self, steps: int) -> None:
        """More steps to come."""
        with self._lock:
            self._total += steps

    def begin(self, step: str) -> None:
        """Tell that a step begins."""
        with self._lock:
            self._tell(ProgressEvent(step, self._done, max(self._total, self._done), finished=False))

    def end(self, step: str, *, from_cache: bool) -> None:
        """Tell that a step is done."""
        with self._lock:
            self._done += 1
            self._tell(
                ProgressEvent(step, self._done, max(self._total, self._done), finished=True, from_cache=from_cache)
            )


@contextmanager
def session(
    progress: Progress,
    *,
    cache_limit: str | None = None,
    max_memory: str | None = None,
    max_seconds: float | None = None,
) -> Iterator[Session]:
    """A session with the user's cache.

    Args:
        progress: who watches.
        cache_limit: what the cache may keep (``"50G"``).
        max_memory: what a process that reads models may use (``"24G"``).
        max_seconds: what one inference may take.

    Raises:
        EdgekitError: whatever a verb complains of, with keywords instead of the command line's options.
    """
    with complaining():
        limit = None if cache_limit is None else cachedir.parsed(cache_limit, "cache_limit")
        memory = None if max_memory is None else config.memory_bytes(max_memory, "max_memory")
        if max_seconds is not None:
            toml.check(max_seconds, InferenceSeconds, Path("edgekit"), "max_seconds")
        for doubt in cachedir.doubts(cachedir.cache_folder()):
            warnings.warn(doubt, stacklevel=4)
        with _watcher(progress) as watching, opened(watching, limit, memory, max_seconds) as s:
            yield s


@contextmanager
def in_memory(running: Session) -> Iterator[Path]:
    """A folder for what the program holds in memory: beside the cache, whose disk has room for it, if that can be."""
    try:
        scratch = running.store.scratch()
    except OSError:  # a read-only cache
        scratch = temporary("memory")
    with scratch:
        yield scratch.path


def _watcher(progress: Progress) -> Any:
    """A context that gives who watches."""
    if callable(progress):
        return nullcontext(Told(progress))
    if not progress:
        return nullcontext(Silent())
    from edgekit.report.lines import watcher  # noqa: PLC0415  only if it is shown
    from edgekit.report.shown import screen  # noqa: PLC0415  as above

    return watcher(screen())


@contextmanager
def complaining() -> Iterator[None]:
    """Complaints name keywords if the command line's name options; what the system refuses is an `EdgekitError`."""
    try:
        yield
    except EdgekitError as error:
        raise in_python(error) from error.__cause__
    except OSError as error:
        if (mended := from_os(error)) is None:
            raise
        raise in_python(mended) from error


def in_python(error: EdgekitError) -> EdgekitError:
    """The same error in the words of Python: ``--eval PATH`` is ``eval=PATH``; a command keeps its options."""
    error.problem, error.place, error.fix = map(_keywords, (error.problem, error.place, error.fix))
    return error


_OTHERS = {"shape": "shapes", "constant": "constants", "target": "targets"}
"""Options that are given several times on the command line → the keyword that takes all of them."""

_VALUE = rf"X|[A-Z][A-Z_]+(?::[A-Z]+)?|{'|'.join((*get_args(Precision), *config.METRICS))}"


def _keywords(text: str) -> str:
    return (
        text
        if "edgekit " in text
        else re.sub(rf"(?<![\w-])(?:--([a-z][a-z-]*)(?: ({_VALUE})\b)?|-t\b)", _keyword, text)
    )


def _keyword(option: re.Match[str]) -> str:
    name, value = (option[1] or "target").replace("-", "_"), option[2]
    name = _OTHERS.get(name, name)
    if value is None:
        return name
    return f"{name}={value}" if value.isupper() else f'{name}="{value}"'
