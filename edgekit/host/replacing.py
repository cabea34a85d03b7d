"""Files that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekit.errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside ``path`` to write, which takes its place when the block ends; it is removed if the block fails.

    Whoever reads ``path`` meanwhile sees what was there before. What a killed process leaves is named as
    `edgekit.nouns.manifest.PART` says.
    """
    aside = path.with_name(f".edgekit-{os.urandom(4).hex()}.part")
    aside.touch(exist_ok=False)
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write(path: Path, content: bytes) -> None:
    """Put a file in the place of another, whole."""
    with replacing(path) as aside:
        aside.write_bytes(content)


def check_place(place: Path, option: str, name: str) -> None:
    """See, before any work, that a file can be put there; ``name`` is what one is called, for instance.

    Raises:
        InputError: its folder is not there, or a folder is in its place.
    """
    if place.is_dir():
        raise InputError(f"{place} is a folder.", place=option, fix=f"name a file in it: {option} {place / name}")
    if not place.parent.is_dir():
        raise InputError(f"There is no folder {place.parent}.", place=option, fix="create it, or name another place")
