"""The cache: one folder per answer, found by its question.

A question is a `Step` that is still to be done: what is asked, with every setting, and the digests of all that
goes in. Its SHA-256 names the folder ``answers/<key>/``, which holds the files of the answer and
``answer.json`` with their digests. A folder appears whole, by one rename, or not at all, so runs
may be killed or run side by side at any moment; whoever finishes second throws its own away.
A damaged answer is dropped and asked anew.

A run reads its answers under hard links of its own in ``tmp/``, made before it looks at them and
removed when it ends. So a prune may come at any moment too: what it drops stays for whoever reads it.

The answers longest unused go by themselves if all of them together outgrow a limit.
"""

import errno
import hashlib
import os
import re
import shutil
import stat
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from edgekit.engine import unfinished
from edgekit.errors import InputError, from_os
from edgekit.host import cachedir
from edgekit.host.ownership import Scratch, there
from edgekit.nouns.base import FileDigest, decoded
from edgekit.nouns.lineage import Step, chain

ANSWER = "answer.json"
"""The file of an answer that says what it is."""

KEY = re.compile(r"[0-9a-f]{64}")
"""How the folder of an answer is named."""

SCRATCH = "run-"
"""How the folders of runs in ``tmp/`` begin."""


class Stored(msgspec.Struct, frozen=True):
    """What ``answer.json`` holds: the step as it was done, the result, the files' digests, and that of all this."""

    step: Step
    result: Any
    files: dict[str, FileDigest]
    sha256: str = ""

    def sealed(self) -> "Stored":
        """The same with its digest, as it will be read."""
        plain = msgspec.json.decode(msgspec.json.encode([self.step, self.result, self.files]))
        return msgspec.structs.replace(self, sha256=digest_of(plain))

    @property
    def intact(self) -> bool:
        """Whether every word is as it was written."""
        return self.sha256 == self.sealed().sha256


class Answer[T](msgspec.Struct, frozen=True):
    """An answer: its value, the folder with its files (read only), and the steps that led to it, its own last."""

    result: T
    folder: Path
    files: dict[str, FileDigest]
    from_cache: bool
    steps: tuple[Step, ...] = ()

    @property
    def sha256(self) -> str:
        """Digest of all files of the answer, for the next question."""
        return digest_of_files(self.files)


class Store:
    """A cache folder.

    Args:
        root: where it lies; made when first written to.
        limit_bytes: what its answers may take together after a run that adds to them; no limit if None.
    """

    def __init__(self, root: Path, limit_bytes: int | None = None) -> None:
        self.root = root
        self.limit_bytes = limit_bytes
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._own: Scratch | None = None
        self._grown = False
        self._opening = threading.Lock()

    def ask[T](self, step: Step, kind: type[T], make: Callable[[Path], T], before: tuple[Step, ...] = ()) -> Answer[T]:
        """The stored answer, or a new one. Its files stay until `close`.

        Args:
            step: the question, which determines the answer.
            kind: type of the result. Its ``notes``, ``tools`` and ``evidence``, if it has any, become the step's.
            make: writes the answer's files into the folder it is given, and returns the result.
            before: the steps that led to what goes in.

        Raises:
            InputError: the answer is not there, and the cache cannot be written to.
            Whatever ``make`` raises; then nothing is stored.
        """
        key = digest_of(step.question)
        with self._locks[key]:  # threads of one build share the work
            found = self._find(key, kind)
            answer = found if found is not None else self._make(key, step, kind, make)
        return msgspec.structs.replace(answer, steps=chain(before, answer.steps))

    def close(self) -> None:
        """Let go of the answers, whose folders may be gone then, and keep to the limit."""
        own, self._own = self._own, None
        if own is not None:
            own.close()
        grown, self._grown = self._grown, False
        if grown and self.limit_bytes is not None:
            self.prune(self.limit_bytes)

    def _find[T](self, key: str, kind: type[T]) -> Answer[T] | None:
        folder = self.root / "answers" / key
        try:
            held = self._hold(folder, key)
            stored = decoded((held / ANSWER).read_bytes(), Stored)
            intact = stored.intact and all(file_digest(held / name) == digest for name, digest in stored.files.items())
            result = msgspec.convert(stored.result, kind)
        except (msgspec.MsgspecError, OSError):
            intact = False
        if not intact:
            self._forget(key)
            return None
        with suppress(OSError):  # last use, for prune; a read-only cache is still a cache
            os.utime(folder / ANSWER)
        return Answer(result, held, stored.files, from_cache=True, steps=(stored.step,))

    def _make[T](self, key: str, step: Step, kind: type[T], make: Callable[[Path], T]) -> Answer[T]:
        folder = self.root / "answers" / key
        with self._writing(), self.scratch() as scratch:
            temporary = scratch.path
            since = time.monotonic()
            with there(temporary):
                result = make(temporary)
            seconds = time.monotonic() - since
            files = {
                str(path.relative_to(temporary)): file_digest(path)
                for path in sorted(temporary.rglob("*"))
                if path.is_file()
            }
            stored = Stored(_done(step, result, files, seconds), msgspec.to_builtins(result), files).sealed()
            (temporary / ANSWER).write_bytes(msgspec.json.format(msgspec.json.encode(stored)))
            held = self._hold(temporary, key)  # before others see it, who might drop it
            folder.parent.mkdir(parents=True, exist_ok=True)
            try:
                temporary.rename(folder)
            except OSError as error:
                lost = error.errno in {errno.ENOTEMPTY, errno.EEXIST} and held != temporary
                if not lost and not (folder / ANSWER).is_file():
                    raise
            self._grown = True
        held = folder if held == temporary else held
        return Answer(msgspec.convert(stored.result, kind), held, files, from_cache=False, steps=(stored.step,))

    def _hold(self, folder: Path, key: str) -> Path:
        """An answer's files under names of this run's own; the answer itself if no such can be made.

        Raises:
            FileNotFoundError: there is no such answer, or it is being dropped.
        """
        if self._own is not None and (self._own.path / key).is_dir():
            return self._own.path / key  # asked before
        names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        if Path(ANSWER) not in names:
            raise FileNotFoundError(errno.ENOENT, "no answer", str(folder))
        try:
            own = self._private().path / key
            for name in names:
                (own / name).parent.mkdir(parents=True, exist_ok=True)
                _link(folder / name, own / name)
        except OSError as error:
            self._release(key)
            if isinstance(error, FileNotFoundError):
                raise
            return folder  # a read-only cache, which nobody prunes, or a full disk
        return own

    def _private(self) -> Scratch:
        with self._opening:
            if self._own is None:
                self._own = self.scratch()
            return self._own

    def _release(self, key: str) -> None:
        if self._own is not None:
            shutil.rmtree(self._own.path / key, ignore_errors=True)

    def _forget(self, key: str) -> None:
        """Drop what is there of an answer that is none."""
        self._release(key)
        if (folder := self.root / "answers" / key).is_dir():
            self._drop(folder)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A refusal of the cache's own disk gets its place and its remedy."""
        try:
            yield
        except OSError as error:
            mended = from_os(error)
            elsewhere = error.filename is not None and not Path(error.filename).is_relative_to(self.root)
            # no folder can be made there, as below /proc, or it was removed
            nowhere = isinstance(error, FileNotFoundError) and not (self.root / "tmp").is_dir()
            if not nowhere and (mended is None or elsewhere):
                raise
            limited = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE}
            raise InputError(
                f"The cache cannot be written to: {error.strerror}.",
                place=str(self.root),
                fix=mended.fix if mended and limited else "set EDGEKIT_CACHE to a folder that you can write to",
            ) from error

    def scratch(self) -> Scratch:
        """A new temporary folder on the cache's own disk.

        Raises:
            InputError: the cache's folder is somebody else's.
            OSError: it cannot be written to.
        """
        cachedir.claim(self.root)
        parent = self.root / "tmp"
        parent.mkdir(exist_ok=True)
        return Scratch(parent, SCRATCH)

    def _drop(self, folder: Path) -> None:
        """Move away first: half a removed folder must not look like an answer."""
        with suppress(OSError), self.scratch() as scratch:
            folder.rename(scratch.path / "dropped")

    def entries(self) -> list[tuple[Path, int, float]]:
        """Every answer: folder, bytes, time of last use in seconds since the epoch; oldest first."""
        rows = []
        for folder in (self.root / "answers").glob("*"):
            if not KEY.fullmatch(folder.name):
                continue
            with suppress(OSError):
                size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
                rows.append((folder, size, (folder / ANSWER).stat().st_mtime))
        return sorted(rows, key=lambda row: row[2])

    def prune(self, max_bytes: int = 0, min_age_s: float = 0.0) -> tuple[int, int]:
        """Drop the answers longest unused until ``max_bytes`` remain; a build that reads them goes on.

        Args:
            max_bytes: what may stay.
            min_age_s: answers used more recently stay anyway.

        Returns:
            Number of answers dropped, and their bytes.
        """
        rows = self.entries()
        total, dropped, freed = sum(size for _, size, _ in rows), 0, 0
        for folder, size, used in rows:
            if total - freed <= max_bytes or time.time() - used < min_age_s:
                break
            self._drop(folder)
            dropped, freed = dropped + 1, freed + size
        unfinished.drop(self.root, unfinished.KEPT_S if max_bytes else 0.0)
        return dropped, freed


def _done(step: Step, result: Any, files: dict[str, FileDigest], seconds: float) -> Step:
    """A step with what came of it: the result itself tells its notes, tools and evidence."""
    told = result[0] if isinstance(result, tuple) and len(result) == 1 else result
    return msgspec.structs.replace(
        step,
        made=digest_of_files(files) if files else "",
        seconds=round(seconds, 3),
        tools=step.tools | getattr(told, "tools", {}),
        notes=getattr(told, "notes", ()),
        evidence=getattr(told, "evidence", {}),
    )


def _link(file: Path, name: Path) -> None:
    """Another name for a file, or a copy if the disk or its owner permits none."""
    try:
        name.hardlink_to(file)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(file, name)


def digest_of(value: Any) -> str:
    """SHA-256 of the canonical JSON of plain data (or nouns)."""
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()


def digest_of_files(files: dict[str, FileDigest]) -> str:
    """One digest of several files, by their names and contents."""
    return digest_of({name: file.sha256 for name, file in files.items()})


def file_digest(path: Path) -> FileDigest:
    """Digest and size of a file.

    Raises:
        InputError: it is a pipe, a device or a socket, which hold nothing that stays.
        OSError: it cannot be read.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise InputError(f"{path.name} is no regular file.", place=str(path), fix="name a file, or a folder of files")
    with path.open("rb") as file:
        return FileDigest(sha256=hashlib.file_digest(file, "sha256").hexdigest(), bytes=path.stat().st_size)


def tree_digest(path: Path) -> FileDigest:
    """Digest and size of a file, or of a folder with all that is in it, links followed.

    Raises:
        InputError: a folder links to one that holds it.
        OSError: something cannot be read.
    """
    if not path.is_dir():
        return file_digest(path)
    files = {_named(file.relative_to(path)): file_digest(file) for file in tree(path)}
    return FileDigest(
        sha256=digest_of_files(files),
        bytes=sum(file.bytes for file in files.values()),
    )


def _named(path: Path) -> str:
    """A path as text that JSON can hold: names of files are bytes, not always UTF-8."""
    return str(path).encode("utf8", "backslashreplace").decode()


def tree(folder: Path) -> list[Path]:
    """Every file in a folder and below, sorted, links followed.

    Raises:
        InputError: a folder links to one that holds it.
        OSError: a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise error

    found, above = [], {str(folder): {folder.resolve()}}
    for place, below, names in os.walk(folder, followlinks=True, onerror=refuse):
        for name in below:
            real = Path(os.path.realpath(Path(place, name)))
            if real in above[place]:
                raise InputError(
                    f"{name} leads back to a folder that holds it.",
                    place=str(Path(place, name)),
                    fix="remove that link",
                )
            above[os.path.join(place, name)] = above[place] | {real}  # noqa: PTH118  as os.walk writes it
        found += [path for name in names if (path := Path(place, name)).is_file()]
    return sorted(found)
