"""What lies in a result's folder: edgekit's own files, which a build replaces, and the user's, which it keeps."""

import json
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from edgekit.errors import InputError
from edgekit.nouns.manifest import FILE_NAME, PART, PROFILES

MOST_KEPT = 1_000
"""The most files of the user's that a result's folder may hold: with more it is a place for something else."""


class Contents(msgspec.Struct, frozen=True):
    """The files of a folder, by their paths in it: edgekit's by its manifest, and all others.

    ``users`` are files, links and empty folders. Recorded profiles and files that are being written are in neither.
    """

    own: frozenset[str] = frozenset()
    users: tuple[str, ...] = ()

    @property
    def kept(self) -> tuple[str, ...]:
        """The user's files and folders as they stand beside the manifest, folders with a slash."""
        parts = [Path(name).parts for name in self.users]
        return tuple(sorted({first if not rest else f"{first}/" for first, *rest in parts}))

    def refuse(self, folder: Path, names: Collection[str]) -> None:
        """Refuse to write files that would take the place of the user's.

        Raises:
            InputError: a file or folder of the user's has such a name, or lies where a folder is needed.
        """
        wanted = {str(part) for name in names for part in (Path(name), *Path(name).parents)} - {"."}
        for name in self.users:
            if name in wanted or set(names) & {str(parent) for parent in Path(name).parents}:
                raise InputError(
                    f"{folder.name} holds {name}, which edgekit did not write and would have to overwrite.",
                    place=str(folder / name),
                    fix="move that away, or choose another folder with -o",
                )

    def carry(self, folder: Path, fresh: Path) -> None:
        """Let the user's files and the profiles stand in the folder that will take the place of theirs.

        Files get a second name, so that whoever has one open goes on writing into it; if the disk has no
        hard links, they are copied.
        """
        for name in self.users:
            for parent in reversed(Path(name).parents[:-1]):
                if not (fresh / parent).is_dir():
                    _folder_like(folder / parent, fresh / parent)
            if (folder / name).is_dir() and not (folder / name).is_symlink():
                _folder_like(folder / name, fresh / name)
            else:
                _link(folder / name, fresh / name)
        profiles = folder / PROFILES
        if profiles.is_symlink():
            (fresh / PROFILES).symlink_to(profiles.readlink())
        elif profiles.is_dir():
            shutil.copytree(profiles, fresh / PROFILES, symlinks=True, copy_function=_link)


def _folder_like(source: Path, target: Path) -> None:
    """A new folder with another one's mode, times and owner, whom only the superuser can keep."""
    target.mkdir()
    shutil.copystat(source, target)
    with suppress(PermissionError):
        shutil.chown(target, source.stat().st_uid, source.stat().st_gid)


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def of(folder: Path) -> Contents:
    """What a folder holds; nothing if there is none.

    Raises:
        InputError: it is a file, or holds more than `MOST_KEPT` files of the user's.
        OSError: a folder in it cannot be read, so that nobody knows what it holds.
    """
    if not os.path.lexists(folder):
        return Contents()
    if not folder.is_dir():
        raise _refused(folder, "is a file, and a folder is needed")
    own = _listed(folder)
    users: list[str] = []
    for path in _entries(folder):
        name = str(path.relative_to(folder))
        if name in own or PART.fullmatch(name) or (Path(name).parts[0] == PROFILES and (folder / PROFILES).is_dir()):
            continue
        users.append(name)
        if len(users) > MOST_KEPT:
            raise _refused(folder, f"holds more than {MOST_KEPT:,} files that edgekit did not write")
    return Contents(frozenset(own), tuple(sorted(users)))


def _refused(folder: Path, problem: str) -> InputError:
    return InputError(
        f"{folder.name} {problem}.", place=str(folder), fix="choose another folder with -o, or move that away"
    )


def _listed(folder: Path) -> set[str]:
    """The files that a folder's manifest lists, itself among them; none if it has none, or one of another program's."""
    try:
        manifest = json.loads((folder / FILE_NAME).read_bytes())
        files = {name for artifact in manifest["artifacts"] for name in artifact["files"]}
        bundle = manifest.get("integration") or {"files": ()}
        return {FILE_NAME, *files, *bundle["files"], *manifest.get("extras", {})}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()


def _entries(folder: Path) -> Iterator[Path]:
    """Every file, link and empty folder below a folder; links are not followed.

    Raises:
        OSError: a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # another build replaces its result at this moment
            raise error

    for place, below, names in os.walk(folder, onerror=refuse):
        yield from (Path(place, name) for name in names)
        yield from (path for name in below if (path := Path(place, name)).is_symlink())
        if not below and not names and Path(place) != folder:
            yield Path(place)
