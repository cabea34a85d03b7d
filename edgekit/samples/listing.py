"""The files of a folder of samples."""

from collections.abc import Collection
from pathlib import Path

from edgekit.errors import InputError


def files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """All files in a folder and below it whose names end in one of the suffixes, sorted.

    Raises:
        InputError: one is a pipe, a device or a dangling link, from which nobody could read, or read to the end.
    """
    found = sorted(file for file in folder.rglob("*") if file.suffix.lower() in suffixes and not file.is_dir())
    for file in found:
        if not file.is_file():
            raise InputError(f"{file.name} is no regular file.", place=str(file), fix="take it out of the folder")
    return found
