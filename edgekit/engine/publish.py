"""Results appear whole or not at all: a folder is made beside its place and renamed into it."""

import ctypes
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from edgekit.errors import InputError, from_os
from edgekit.host.cachedir import cache_folder
from edgekit.host.ownership import Scratch, leftovers, unheld, writing
from edgekit.nouns.manifest import FILE_NAME, PART, PROFILES

OLD = "old"
"""Where an earlier result lies until the new one stands in its place."""


def publish[T](folder: Path, make: Callable[[Path], T]) -> T:
    """Make a folder's content aside, then put it in the place of what was there.

    Whoever else writes into the folder (`edgekit.host.ownership.writing`) waits meanwhile.

    Args:
        folder: where the result shall stand; an earlier result of edgekit's there is replaced.
        make: writes the content into the folder that it is given. Nobody changes the earlier result meanwhile.

    Returns:
        What ``make`` returns.

    Raises:
        InputError: something that edgekit did not make stands there, or nothing can be written there,
            for instance because the disk is full. Nothing is changed then.
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


def _put[T](folder: Path, make: Callable[[Path], T]) -> T:
    with Scratch(folder.parent, _prefix(folder)) as aside:
        aside.path.chmod(0o755)
        fresh = aside.path / "new"
        fresh.mkdir()
        made = make(fresh)
        profiles = folder / PROFILES
        if profiles.is_symlink():
            (fresh / PROFILES).symlink_to(profiles.readlink())
        elif profiles.is_dir():
            shutil.copytree(profiles, fresh / PROFILES, symlinks=True)
        if not _exchange(fresh, folder):
            _replace(folder, fresh, aside.path)
    return made


def _exchange(fresh: Path, folder: Path) -> bool:
    """Let two folders change places at once, so that nobody sees none; False where it cannot be done.

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


def check(folder: Path) -> None:
    """Look, before the work is done, whether a result can be put there; leaves nothing behind.

    Raises:
        InputError: something that edgekit did not make stands there, or nothing can be written there.
    """
    folder = folder.resolve()
    if Path.cwd().is_relative_to(folder):
        raise InputError(
            "A result replaces its folder as a whole, so it cannot be the folder that you are in.",
            place=str(folder),
            fix="name a new folder, for instance -o dist",
        )
    refuse_cache(folder)
    if folder.exists() and (foreign := _foreign(folder)):
        raise InputError(
            f"{folder.name} {foreign}.",
            place=str(folder),
            fix="choose another folder with -o, or move that away",
        )
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


def _files(folder: Path) -> Iterator[Path]:
    """Everything below a folder but folders; links are not followed.

    Raises:
        OSError: a folder cannot be read, so that nobody knows what it holds.
    """

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # another build replaces its result at this moment
            raise error

    for place, below, names in os.walk(folder, onerror=refuse):
        yield from (Path(place, name) for name in names)
        yield from (path for name in below if (path := Path(place, name)).is_symlink())


def _foreign(folder: Path) -> str:
    """What keeps a folder from being replaced, as the end of a sentence; empty if all in it is edgekit's."""
    if not folder.is_dir():
        return "is a file, and a folder is needed"
    found = sorted(str(path.relative_to(folder)) for path in _files(folder))
    found = [name for name in found if Path(name).parts[0] != PROFILES and not PART.fullmatch(name)]
    try:
        manifest = json.loads((folder / FILE_NAME).read_bytes())
        own = {FILE_NAME, *(name for artifact in manifest["artifacts"] for name in artifact["files"])}
    except FileNotFoundError:
        own = set()
        if FILE_NAME in found or not folder.is_dir():
            return ""  # another build is replacing its result at this moment
    except (OSError, ValueError, KeyError, TypeError):
        own = set()
    return next((f"holds what edgekit did not make: {name}" for name in found if name not in own), "")
