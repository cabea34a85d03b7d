"""Zip and HDF5 files before Keras opens them: no way out of the file, and no more than it holds.

Both formats can declare what they do not hold (a zip's sizes, HDF5's empty or compressed datasets), and HDF5
can lead to other files (external links and storage, virtual datasets).
"""

import stat
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import h5py

from edgekit.errors import InputError
from edgekit.host import sandbox

DEFLATION = 1100
"""What one compressed byte can hold at most: DEFLATE reaches 1,032 (RFC 1951: 258 bytes in 2 bits)."""

SMALL = 1 << 20
"""Bytes that nobody counts."""

LONGEST_CONFIG = 64 << 20
"""Bytes of a configuration; the largest known, with vocabularies inside, has a few."""


def check_zip(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse a ``.keras`` file that leads out of itself, or holds more than it may.

    Raises:
        InputError: names lead elsewhere or occur twice, members are links, or are larger than can be.
    """
    members = archive.infolist()
    names = Counter(member.filename.replace("\\", "/") for member in members)
    if twice := [name for name, count in names.items() if count > 1]:
        raise refused(path, f"holds {twice[0]} more than once")
    for member in members:
        inside = PurePosixPath(member.filename.replace("\\", "/"))
        if inside.is_absolute() or ".." in inside.parts or ":" in "".join(inside.parts[:1]):
            raise refused(path, f"holds {member.filename}, which leads out of it")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise refused(path, f"holds {member.filename}, which is a link")
        if member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED} or member.flag_bits & 1:
            raise refused(path, f"holds {member.filename} in a form that Keras does not write")
        if member.file_size > SMALL and member.file_size > DEFLATION * member.compress_size:
            raise refused(path, f"declares {in_gib(member.file_size)} in {member.filename}, and does not hold them")
        if member.filename.endswith(".json") and member.file_size > LONGEST_CONFIG:
            raise refused(path, f"has a {member.filename} of {in_gib(member.file_size)}")
    bound(sum(member.file_size for member in members), path)


def elements(file: h5py.File, path: Path) -> int:
    """Numbers in all datasets of an HDF5 file, none of which leads out of it or declares what it does not hold.

    Raises:
        InputError: there are links to elsewhere, external or virtual data, or more than there can be.
    """
    total = count = 0
    for name, dataset in _datasets(file, path):
        plan = dataset.id.get_create_plist()
        if dataset.is_virtual or plan.get_external_count():
            raise refused(path, f"takes {name} from other files")
        size, stored = dataset.size or 0, dataset.id.get_storage_size()
        bytes_ = size * dataset.dtype.itemsize
        if bytes_ > SMALL and bytes_ > DEFLATION * stored:
            raise refused(path, f"declares {in_gib(bytes_)} in {name}, and does not hold them")
        total, count = total + bytes_, count + size
    bound(total, path)
    return count


def _datasets(file: h5py.File, path: Path) -> Iterator[tuple[str, Any]]:
    pending: list[tuple[str, Any]] = [("", file)]
    seen = set()
    while pending:
        place, group = pending.pop()
        for name in group:
            if isinstance(name, bytes):  # h5py's answer to what is no UTF-8
                raise ValueError(f"the name {name!r} is not UTF-8")
            inner = f"{place}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise refused(path, f"has a link at {inner} instead of weights")
            item = group[name]
            number = h5py.h5o.get_info(item.id).addr
            if isinstance(item, h5py.Dataset):
                yield inner, item
            elif isinstance(item, h5py.Group) and number not in seen:
                seen.add(number)
                pending.append((inner, item))


def bound(size: int, path: Path) -> None:
    """Refuse what would not fit into this process's memory.

    Raises:
        InputError: it is more bytes than the limit.
    """
    limit = sandbox.memory_limit() or sandbox.default_memory()
    if size > limit:
        raise InputError(
            f"{path.name} holds {in_gib(size)}, and edgekit may use {in_gib(limit)} of memory.",
            place=str(path),
            fix="if the model is to be trusted, raise the limit with --max-memory (such as 24G)",
        )


def refused(path: Path, what: str) -> InputError:
    """The complaint about a file that no Keras wrote."""
    return InputError(
        f"{path.name} {what}.", place=str(path), fix="get it from whom you trust, or save it again with Keras"
    )


def in_gib(size: int) -> str:
    """Bytes as people read them."""
    return f"{size / 2**30:,.1f} GiB" if size >= 2**29 else f"{size / 2**20:,.1f} MiB"
