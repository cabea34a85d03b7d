"""The cache: one folder per answer, found by its question.

A question is plain data: what was asked, with every setting, and the digests of all that went in.
Its SHA-256 names the folder ``answers/<key>/``, which holds the files of the answer and
``answer.json`` with their digests. A folder appears whole, by one rename, or not at all, so runs
may be killed or run side by side at any moment; whoever finishes second throws its own away.
A damaged answer is dropped and asked anew.
"""

import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from edgekit.types import FileDigest

ANSWER = "answer.json"


class Stored(msgspec.Struct, frozen=True):
    """What ``answer.json`` holds: the question (for people), the result, the files' digests."""

    question: dict[str, Any]
    result: Any
    files: dict[str, FileDigest]


@dataclass(frozen=True)
class Answer[T]:
    """An answer: its value, and the folder with its files (read only)."""

    result: T
    folder: Path
    files: dict[str, FileDigest]
    from_cache: bool

    @property
    def sha256(self) -> str:
        """Digest of all files of the answer, for the next question."""
        return digest_of({name: file.sha256 for name, file in self.files.items()})


class Store:
    """A cache folder.

    Args:
        root: where it lies; made when first written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)

    def ask[T](self, question: dict[str, Any], kind: type[T], make: Callable[[Path], T]) -> Answer[T]:
        """The stored answer, or a new one.

        Args:
            question: plain data that determines the answer.
            kind: type of the result.
            make: writes the answer's files into the folder it is given, and returns the result.

        Raises:
            Whatever ``make`` raises; then nothing is stored.
        """
        key = digest_of(question)
        with self._locks[key]:  # threads of one build share the work
            found = self._find(key, kind)
            return found if found is not None else self._make(key, question, kind, make)

    def _find[T](self, key: str, kind: type[T]) -> Answer[T] | None:
        folder = self.root / "answers" / key
        try:
            stored = msgspec.json.decode((folder / ANSWER).read_bytes(), type=Stored)
            intact = all(file_digest(folder / name) == digest for name, digest in stored.files.items())
            result = msgspec.convert(stored.result, kind)
        except FileNotFoundError:
            if folder.is_dir():
                self._drop(folder)
            return None
        except (msgspec.MsgspecError, OSError):
            intact = False
        if not intact:
            self._drop(folder)
            return None
        with suppress(OSError):  # last use, for prune; a read-only cache is still a cache
            os.utime(folder / ANSWER)
        return Answer(result, folder, stored.files, from_cache=True)

    def _make[T](self, key: str, question: dict[str, Any], kind: type[T], make: Callable[[Path], T]) -> Answer[T]:
        folder = self.root / "answers" / key
        temporary = self.scratch()
        try:
            result = make(temporary)
            files = {
                str(path.relative_to(temporary)): file_digest(path)
                for path in sorted(temporary.rglob("*"))
                if path.is_file()
            }
            stored = Stored(question, msgspec.to_builtins(result), files)
            (temporary / ANSWER).write_bytes(msgspec.json.format(msgspec.json.encode(stored)))
            folder.parent.mkdir(parents=True, exist_ok=True)
            try:
                temporary.rename(folder)
            except OSError:
                if not (folder / ANSWER).is_file():
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return Answer(msgspec.convert(stored.result, kind), folder, files, from_cache=False)

    def scratch(self) -> Path:
        """A new temporary folder on the cache's own disk, named by this process; also sweeps dead ones."""
        parent = self.root / "tmp"
        parent.mkdir(parents=True, exist_ok=True)
        for old in parent.iterdir():
            if not alive(old.name.partition("-")[0]):
                shutil.rmtree(old, ignore_errors=True)
        return Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=parent))

    def _drop(self, folder: Path) -> None:
        """Move away first: half a removed folder must not look like an answer."""
        with suppress(OSError):
            doomed = self.scratch() / "dropped"
            folder.rename(doomed)
            shutil.rmtree(doomed.parent, ignore_errors=True)

    def entries(self) -> list[tuple[Path, int, float]]:
        """Every answer: folder, bytes, time of last use in seconds since the epoch; oldest first."""
        rows = []
        for folder in (self.root / "answers").glob("*"):
            with suppress(OSError):
                size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
                rows.append((folder, size, (folder / ANSWER).stat().st_mtime))
        return sorted(rows, key=lambda row: row[2])

    def prune(self, max_bytes: int = 0, min_age_s: float = 0.0) -> tuple[int, int]:
        """Drop the answers longest unused until ``max_bytes`` remain.

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
        return dropped, freed


def digest_of(value: Any) -> str:
    """SHA-256 of the canonical JSON of plain data (or nouns)."""
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()


def file_digest(path: Path) -> FileDigest:
    """Digest and size of a file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return FileDigest(sha256=hashlib.file_digest(file, "sha256").hexdigest(), bytes=path.stat().st_size)


def tree_digest(path: Path) -> FileDigest:
    """Digest and size of a file, or of a folder with all that is in it."""
    if path.is_file():
        return file_digest(path)
    files = {str(file.relative_to(path)): file_digest(file) for file in sorted(path.rglob("*")) if file.is_file()}
    return FileDigest(
        sha256=digest_of({name: file.sha256 for name, file in files.items()}),
        bytes=sum(file.bytes for file in files.values()),
    )


@cache
def code_digest() -> str:
    """Digest of edgekit's own code, less what only shows: a changed line invalidates what it may have made."""
    root = Path(__file__).parent
    shows = {"cli", "report"}
    digests = {}
    for folder, _, names in root.walk():
        place = folder.relative_to(root)
        for path in (place / name for name in names if name.endswith(".py")):
            if path.parts[0] not in shows:
                digests[str(path)] = hashlib.sha256((root / path).read_bytes()).hexdigest()
    return digest_of(digests)


def alive(pid: str) -> bool:
    """Whether a process of that number runs on this machine."""
    if not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
