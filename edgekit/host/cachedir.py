"""The cache's folder: that it is edgekit's, who may write to it, and how large it may become."""

import os
import re
import shutil
import stat
from pathlib import Path

from edgekit.errors import InputError

TAG = "CACHEDIR.TAG"
"""The file that marks a folder as a cache, so that backups leave it out (https://bford.info/cachedir/)."""

TAGGED = b"""Signature: 8a477f597d28d172789f06886806bc55
# This folder is edgekit's cache. Everything in it can be made again: edgekit cache prune empties it.
"""
"""What the tag holds; the first line is the standard's."""

LAYOUT: dict[str, str | None] = {
    "answers": r"[0-9a-f]{64}",
    "tmp": r"\d+-[a-z0-9_]{8}",
    "logs": r"\d+\.log",
    "places": r"edgekit[-_].+",
    "tools": None,
    "emulators": None,
}
"""What caches without a tag hold, made before there was one: folder → the names in it (None: any)."""

LIMIT_VARIABLE = "EDGEKIT_CACHE_LIMIT"
"""The environment variable that bounds the cache's answers, such as ``50G``."""

LIMIT_BYTES = 20 * 1024**3
"""The bound without it, if the disk is large."""

LIMIT_SHARE = 0.1
"""The bound without it on small disks: this share of the disk."""

UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def claim(folder: Path) -> None:
    """Make a folder the cache, or see that it is.

    Raises:
        InputError: it holds what edgekit did not put there, or its name is no text.
        OSError: it cannot be made, read or written to.
    """
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:  # paths in it could not be told to worker processes
        raise InputError(
            "The name of the folder for the cache is no text in UTF-8.",
            place=ascii(str(folder)),
            fix="set EDGEKIT_CACHE to a folder whose name is plain text",
        ) from error
    if _tagged(folder):
        return
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(path.name for path in folder.iterdir())
    if foreign := next((name for name in names if not _own(folder, name)), ""):
        if _tagged(folder):
            return  # another run began between the two looks
        raise InputError(
            f"The folder for the cache holds what edgekit did not make: {foreign}.",
            place=str(folder),
            fix="set EDGEKIT_CACHE to an empty or a new folder",
        )
    try:
        with (folder / TAG).open("xb") as file:
            file.write(TAGGED)
    except FileExistsError:
        pass  # another run was first
    except OSError:
        if not names:
            raise  # else a cache that is only read, or whose disk is full


def _tagged(folder: Path) -> bool:
    """Whether it carries the tag, or the part of it that a full disk left room for."""
    try:
        return TAGGED.startswith((folder / TAG).read_bytes())
    except FileNotFoundError:
        return False


def _own(folder: Path, name: str) -> bool:
    """Whether a name in a cache without a tag is edgekit's."""
    if name == TAG:
        return TAGGED.startswith((folder / TAG).read_bytes())
    if name not in LAYOUT or not (folder / name).is_dir():
        return False
    pattern = LAYOUT[name]
    return pattern is None or all(re.fullmatch(pattern, path.name) for path in (folder / name).iterdir())


def doubts(folder: Path) -> tuple[str, ...]:
    """Why what lies in a cache need not be this user's own, as sentences; nothing if it can be trusted."""
    try:
        seen = folder.stat()
    except OSError:
        return ()
    if not stat.S_ISDIR(seen.st_mode):
        return ()
    found = []
    if seen.st_uid != os.geteuid():
        found.append(f"The cache {folder} belongs to another user ({seen.st_uid}), who decides what is built from it.")
    if seen.st_mode & stat.S_IWOTH:
        found.append(f"Everybody can write to the cache {folder} and so change what is built from it: chmod o-w it.")
    return tuple(found)


def limit_bytes(folder: Path) -> int:
    """How many bytes of answers a cache keeps: ``EDGEKIT_CACHE_LIMIT``, or the smaller of `LIMIT_BYTES` and
    `LIMIT_SHARE` of its disk.

    Raises:
        InputError: the variable holds no size.
    """
    if said := os.environ.get(LIMIT_VARIABLE):
        return parsed(said, LIMIT_VARIABLE)
    there = next((path for path in (folder, *folder.parents) if path.is_dir()), Path("/"))
    try:
        return min(LIMIT_BYTES, int(shutil.disk_usage(there).total * LIMIT_SHARE))
    except OSError:
        return LIMIT_BYTES


def parsed(size: str, place: str) -> int:
    """``500M`` or ``2 GiB`` in bytes.

    Raises:
        InputError: it is no size; ``place`` is what said it.
    """
    match = re.fullmatch(r"(\d{1,15})\s*([KMGT]?)(i?B)?", size.strip(), flags=re.IGNORECASE | re.ASCII)
    if match is None:
        raise InputError(f"{size!r} is no size.", place=place, fix=f"write for instance {place} 500M or {place} 2G")
    return int(match[1]) * UNITS[match[2].upper()]


def cache_folder() -> Path:
    """``EDGEKIT_CACHE``, or the platform's cache folder for edgekit."""
    named = os.environ.get("EDGEKIT_CACHE")
    if named:
        return Path(named).absolute()  # workers run in other folders
    import platformdirs  # noqa: PLC0415  only if nothing is named

    return platformdirs.user_cache_path("edgekit")
