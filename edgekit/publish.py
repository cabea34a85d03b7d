"""Results appear whole or not at all: a folder is made beside its place and renamed into it."""

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from edgekit.errors import InputError


def publish(folder: Path, make: Callable[[Path], None]) -> None:
    """Make a folder's content aside, then put it in the place of what was there.

    Args:
        folder: where the result shall stand; an earlier result of edgekit's there is replaced.
        make: writes the content into the folder that it is given.

    Raises:
        InputError: something that edgekit did not make stands there.
        OSError: the disk is full, or the place cannot be written to. Nothing is changed then.
    """
    if folder.exists() and not _replaceable(folder):
        raise InputError(
            f"{folder} holds files that edgekit did not make.",
            place=str(folder),
            fix="choose another folder with -o, or empty this one",
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.{os.getpid()}-", dir=folder.parent))
    try:
        aside.chmod(0o755)
        fresh, old = aside / "new", aside / "old"
        fresh.mkdir()
        make(fresh)
        if folder.exists():
            folder.rename(old)
        try:
            fresh.rename(folder)
        except OSError:
            # Another build put its result there between the two renames; both are whole, ours is newer.
            with suppress(OSError):
                folder.rename(aside / "theirs")
            fresh.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _replaceable(folder: Path) -> bool:
    return folder.is_dir() and ((folder / "manifest.json").is_file() or not any(folder.iterdir()))


def _sweep(folder: Path) -> None:
    """Remove what killed builds left beside this folder."""
    for old in folder.parent.glob(f".{folder.name}.*-*"):
        pid = old.name.removeprefix(f".{folder.name}.").partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists() and Path("/proc").exists():
            shutil.rmtree(old, ignore_errors=True)
