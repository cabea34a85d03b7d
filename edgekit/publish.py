"""Results appear whole or not at all: a folder is made beside its place and renamed into it."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from edgekit.errors import InputError, from_os
from edgekit.manifest import FILE_NAME, PROFILES
from edgekit.store import alive

ATTEMPTS = 20
"""Renames before giving up on a place into which other builds keep putting their results."""


def publish(folder: Path, make: Callable[[Path], None]) -> None:
    """Make a folder's content aside, then put it in the place of what was there.

    Args:
        folder: where the result shall stand; an earlier result of edgekit's there is replaced.
        make: writes the content into the folder that it is given.

    Raises:
        InputError: something that edgekit did not make stands there, or nothing can be written there,
            for instance because the disk is full. Nothing is changed then.
    """
    check(folder)
    folder = folder.resolve()  # a link stays a link
    try:
        _put(folder, make)
    except OSError as error:
        if from_os(error) is None:
            raise
        raise _refusal(folder, error) from error


def _put(folder: Path, make: Callable[[Path], None]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.{os.getpid()}-", dir=folder.parent))
    try:
        aside.chmod(0o755)
        fresh = aside / "new"
        fresh.mkdir()
        make(fresh)
        if (folder / PROFILES).is_dir():
            shutil.copytree(folder / PROFILES, fresh / PROFILES)
        _replace(folder, fresh, aside)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _replace(folder: Path, fresh: Path, aside: Path) -> None:
    """Other builds may put their result there at any moment: all are whole, the last one stays."""
    for attempt in range(ATTEMPTS):
        with suppress(FileNotFoundError):  # nothing was there, or another build just took it away
            folder.rename(aside / f"old{attempt}")
        try:
            fresh.rename(folder)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST} or attempt == ATTEMPTS - 1:
                raise
        else:
            return


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
    if folder.exists() and (foreign := _foreign(folder)):
        raise InputError(
            f"{folder.name} {foreign}.",
            place=str(folder),
            fix="choose another folder with -o, or move that away",
        )
    there = next(parent for parent in folder.parents if parent.exists())
    try:
        Path(tempfile.mkdtemp(prefix=f".{folder.name}.{os.getpid()}-", dir=there)).rmdir()
    except OSError as error:
        raise _refusal(folder, error) from error


def _refusal(folder: Path, error: OSError) -> InputError:
    """The operating system's refusal, about the place where the result shall stand."""
    mended = from_os(error)
    problem = mended.problem if mended is not None else f"{error.strerror}."
    space = "free some space, or " if error.errno in {errno.ENOSPC, errno.EDQUOT} else ""
    return InputError(
        f"The result cannot be written: {problem}", place=str(folder), fix=f"{space}choose another folder with -o"
    )


def _foreign(folder: Path) -> str:
    """What keeps a folder from being replaced, as the end of a sentence; empty if all in it is edgekit's."""
    if not folder.is_dir():
        return "is a file, and a folder is needed"
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())
    found = [name for name in found if Path(name).parts[0] != PROFILES]
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


def _sweep(folder: Path) -> None:
    """Remove what killed builds left beside this folder."""
    start = f".{folder.name}."
    for old in folder.parent.iterdir():
        pid = old.name.removeprefix(start).partition("-")[0]
        if old.name.startswith(start) and pid.isdigit() and not alive(pid):
            shutil.rmtree(old, ignore_errors=True)
