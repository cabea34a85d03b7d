"""Results appear whole or not at all: a folder is made beside its place and renamed into it."""

import ctypes
import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

import msgspec

from edgekit.engine import contents
from edgekit.engine.contents import Contents
from edgekit.errors import InputError, from_os
from edgekit.host.cachedir import cache_folder
from edgekit.host.ownership import Scratch, leftovers, unheld, writing

OLD = "old"
"""Where an earlier result lies until the new one stands in its place."""


class Published[T](msgspec.Struct, frozen=True):
    """A result in its place: what ``make`` returned, the user's files beside it, edgekit's that are no longer there."""

    made: T
    kept: tuple[str, ...]
    gone: tuple[str, ...]


def publish[T](folder: Path, make: Callable[[Path], T]) -> Published[T]:
    """Make a folder's content aside, then put it in the place of what was there.

    Profiles, and all that edgekit did not write, stay.

    Whoever else writes into the folder (`edgekit.host.ownership.writing`) waits meanwhile.

    Args:
        folder: where the result shall stand; an earlier result of edgekit's there is replaced.
        make: writes the content into the folder that it is given. Nobody changes the earlier result meanwhile.

    Raises:
        InputError: a file of the user's has the name of one that is to be written, or nothing can be written
            there, for instance because the disk is full. Nothing is changed then.
    """
    folder = folder.resolve()  # a link stays a link
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with writing(folder):
            _recover(folder)
            check(folder)
            return _put(folder, make)
    except OSError as error:
        if from_os(error) is None:
            raise
        raise _refusal(folder, error) from error


def _put[T](folder: Path, make: Callable[[Path], T]) -> Published[T]:
    with Scratch(folder.parent, _prefix(folder)) as aside:
        aside.path.chmod(0o755)
        fresh = aside.path / "new"
        fresh.mkdir()
        made = make(fresh)
        written = {str(path.relative_to(fresh)) for path in fresh.rglob("*") if not path.is_dir()}
        there = contents.of(folder)
        there.refuse(folder, written)
        there.carry(folder, fresh)
        if _exchange(fresh, folder):
            _bring(fresh, folder, there)
        else:
            _replace(folder, fresh, aside.path)
            _bring(aside.path / OLD, folder, there)
    return Published(made, there.kept, tuple(sorted(there.own - written)))


def _bring(old: Path, folder: Path, there: Contents) -> None:
    """Bring what the user put into the earlier folder at the last moment, after it was looked at."""
    late = set(contents.of(old).users) - {*there.users}
    for name in sorted(late):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(folder / name):
            (old / name).rename(folder / name)


def _exchange(fresh: Path, folder: Path) -> bool:
    """Let two folders change places at once, so that nobody sees none; False if it cannot be done.

    Source: rename(2), ``RENAME_EXCHANGE`` of renameat2 (Linux 3.15, glibc 2.28; not on every file system).
    """
    try:
        renameat2 = ctypes.CDLL(None).renameat2
    except AttributeError:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(renameat2(here, os.fsencode(fresh), here, os.fsencode(folder), exchange) == 0)


def _replace(folder: Path, fresh: Path, aside: Path) -> None:
    with suppress(FileNotFoundError):  # nothing was there
        folder.rename(aside / OLD)
    try:
        fresh.rename(folder)
    except OSError:
        _restore(aside, folder)
        raise


def _recover(folder: Path) -> None:
    """Put back an earlier result that a build had just taken away when it was killed, and remove what it left."""
    for left in leftovers(folder.parent, _prefix(folder)):
        with unheld(left) as free:
            if free:
                _restore(left, folder)
                shutil.rmtree(left, ignore_errors=True)


def _restore(aside: Path, folder: Path) -> None:
    if not os.path.lexists(folder):
        with suppress(OSError):
            (aside / OLD).rename(folder)


def _prefix(folder: Path) -> str:
    """How what is made aside is named: 200 characters leave room for the rest."""
    return f".{folder.name[:200]}.edgekit-"


def check(folder: Path, names: Collection[str] = ()) -> None:
    """Look, before the work is done, whether a result can be put there; leaves nothing behind.

    Args:
        folder: where it shall stand.
        names: of files that will be in it.

    Raises:
        InputError: a file of the user's has such a name, or nothing can be written there.
    """
    folder = folder.resolve()
    if Path.cwd().is_relative_to(folder) or folder == Path.home():
        raise InputError(
            "A result replaces its folder as a whole, so it cannot be the folder that you are in, or your home.",
            place=str(folder),
            fix="name a new folder, for instance -o dist",
        )
    refuse_cache(folder)
    try:
        contents.of(folder).refuse(folder, names)
    except InputError:
        with writing(folder):  # another build may just have replaced its result: look again while none does
            contents.of(folder).refuse(folder, names)
    there = next(parent for parent in folder.parents if parent.exists())
    try:
        Path(tempfile.mkdtemp(prefix=_prefix(folder), dir=there)).rmdir()
    except OSError as error:
        raise _refusal(folder, error) from error


def refuse_cache(folder: Path) -> None:
    """Refuse a place for results that holds the cache, or lies in it: what is there goes when edgekit likes.

    Raises:
        InputError: it does.
    """
    folder, cache = folder.resolve(), cache_folder().resolve()
    if folder.is_relative_to(cache) or cache.is_relative_to(folder):
        raise InputError(
            f"Results and the cache ({cache}) cannot share a folder.",
            place=str(folder),
            fix="choose another folder with -o, or move the cache with EDGEKIT_CACHE",
        )


def _refusal(folder: Path, error: OSError) -> InputError:
    """The operating system's refusal, about the place where the result shall stand."""
    mended = from_os(error)
    problem = mended.problem if mended is not None else f"{error.strerror}."
    space = "free some space, or " if error.errno in {errno.ENOSPC, errno.EDQUOT} else ""
    return InputError(
        f"The result cannot be written: {problem}", place=str(folder), fix=f"{space}choose another folder with -o"
    )
