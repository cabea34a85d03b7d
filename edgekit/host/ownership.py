"""Whose a folder is, told by locks that the kernel holds.

A lock ends with its process, however that ends, so nothing is left to be removed by hand; and it is seen
from every container that shares the disk, where a process's number means another process or none.
If a file system knows no locks, nothing is waited for and nothing of others is removed.
"""

import errno
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from edgekit.errors import CancelledError, EdgekitError, InputError

RANDOM = r"[a-z0-9_]{8}"
"""What `tempfile.mkdtemp` puts behind a prefix."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW

_NO_LOCK_FILE = {errno.EACCES, errno.EPERM, errno.EROFS}
"""Why no lock file can be made beside a folder; then nobody can rename that folder either."""


class Scratch:
    """A temporary folder of this process, which others leave alone until `close` or the process's end.

    Args:
        parent: where it is made.
        prefix: of its name; what dead processes left under the same prefix is removed first (see `sweep`).

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, parent: Path, prefix: str) -> None:
        sweep(parent, prefix)
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            held = hold(self.path)
            if held is not None:  # else somebody swept it before it was held
                self._held = held
                return

    def close(self) -> None:
        """Remove the folder, unless it was renamed away."""
        shutil.rmtree(self.path, ignore_errors=True)
        held, self._held = self._held, -1
        if held >= 0:
            os.close(held)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def temporary(kind: str) -> Scratch:
    """A scratch folder ``edgekit-KIND-…`` among the system's temporary files.

    Raises:
        FileNotFoundError: there is no place for temporary files.
        OSError: it cannot be made there.
    """
    return Scratch(Path(tempfile.gettempdir()), f"edgekit-{kind}-")


def hold(folder: Path) -> int | None:
    """Mark a folder as in use until the returned file descriptor is closed.

    Returns:
        None if the folder is gone, or is just being removed.
    """
    try:
        handle = os.open(folder, _FOLDER)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError:
        return handle  # no locks here: nobody will take it for free
    if _is(handle, folder):
        return handle
    os.close(handle)
    return None


@contextmanager
def unheld(folder: Path) -> Iterator[bool]:
    """Whether a folder of this user's is in use by nobody; it stays so while the context is open."""
    try:
        handle = os.open(folder, _FOLDER)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = os.fstat(handle).st_uid == os.geteuid()
        except OSError:
            free = False
        yield free
    finally:
        os.close(handle)


def sweep(parent: Path, prefix: str) -> None:
    """Remove the scratch folders of a prefix whose processes have ended."""
    for old in leftovers(parent, prefix):
        with unheld(old) as free:
            if free:
                shutil.rmtree(old, ignore_errors=True)


def leftovers(parent: Path, prefix: str) -> list[Path]:
    """Everything in a folder that is named as `Scratch` names, in use or not."""
    pattern = re.compile(re.escape(prefix) + RANDOM)
    with suppress(OSError):
        return [path for path in parent.iterdir() if pattern.fullmatch(path.name)]
    return []


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Wait until nobody else writes into a folder or replaces it; others wait meanwhile.

    The lock is a file beside the folder, since the folder itself may be renamed, and is gone afterwards.

    Raises:
        InputError: nothing can be written beside it.
        OSError: there is no such place.
    """
    file = folder.parent / f".{folder.name[:200]}.edgekit-lock"
    handle = _locked(file, folder)
    try:
        yield
    finally:
        with suppress(OSError):
            if _is(handle, file):
                file.unlink()
        os.close(handle)


def _locked(file: Path, folder: Path) -> int:
    while True:
        try:
            handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            place = file
        except OSError as error:
            if error.errno == errno.ENOENT and file.parent.is_dir():
                raise InputError(
                    f"{file.parent} takes no files.", place=str(folder), fix="choose another folder"
                ) from error
            if error.errno not in _NO_LOCK_FILE:
                raise
            handle, place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY), folder
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:
            return handle  # no locks here
        except BaseException:
            os.close(handle)
            raise
        if _is(handle, place):
            return handle
        os.close(handle)  # whoever had it has removed it


def _is(handle: int, path: Path) -> bool:
    """Whether a path still names what is open."""
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except OSError:
        return False


@contextmanager
def there(folder: Path) -> Iterator[None]:
    """What fails in the block fails because this folder of edgekit's own was removed, if it is gone.

    Raises:
        InputError: it was, as by what clears old temporary files or the cache.
    """
    try:
        yield
    except (OSError, EdgekitError) as error:
        if isinstance(error, CancelledError) or folder.is_dir():
            raise
        raise InputError(
            "A folder of edgekit's own was removed while it worked.",
            place=str(folder),
            fix="run it again, and let nothing clear the cache or temporary files meanwhile",
        ) from error


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
