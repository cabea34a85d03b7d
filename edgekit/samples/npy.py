"""numpy's own files, ``.npy`` and ``.npz``, whose arrays lie on disk until they are looked at. Nothing is unpickled."""

import math
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from edgekit.errors import InputError
from edgekit.host import sandbox
from edgekit.samples.place import Place
from edgekit.waist.tensors import Array

UNREADABLE: tuple[type[Exception], ...] = (
    ValueError, EOFError, OSError, KeyError, TypeError, SyntaxError, OverflowError, MemoryError, RuntimeError,
    NotImplementedError, IndexError, AttributeError, ArithmeticError, tokenize.TokenError, SystemError,
    zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip
"""What numpy, zipfile and Pillow raise on what is truncated, damaged, encrypted or pickled."""

MOST_ARRAYS = 256
"""Far more than a network has inputs: each is a file that stays open."""

MOST_PACKED = 100
"""How many times its own size an archive may unpack to, unless it is small.

Deflate packs zeros 1032 to 1 (zlib's manual), numbers of which something can be learnt hardly 10 to 1.
"""

SMALL_BYTES = 1 << 30
"""What any archive may unpack to, if memory holds it."""

UNPACKED_BYTES = 1 << 20
"""How much is unpacked at once: zlib holds several times as much."""

_MAGIC = b"\x93NUMPY"


def load(path: Path) -> Array:
    """The array of an ``.npy``, mapped.

    Raises:
        InputError: it is damaged, or holds pickled objects.
    """
    try:
        with path.open("rb") as file:
            shape, _, dtype = _header(file)
            declared = _bytes(shape, dtype)
            if declared > path.stat().st_size:
                raise ValueError(f"it should hold {declared} bytes of numbers, and the file has {path.stat().st_size}")
            file.seek(0)
            loaded = np.load(path, mmap_mode="r", allow_pickle=False) if declared else np.load(file, allow_pickle=False)
    except UNREADABLE as error:
        raise damaged(path, error) from error
    return np.asarray(loaded)


def load_archive(path: Path, place: Place) -> dict[str, Array]:
    """The arrays of an ``.npz`` by name, unpacked one after another.

    Args:
        path: the archive.
        place: where they are unpacked to.

    Raises:
        InputError: it is damaged, empty, or unpacks to more than its size permits (see `MOST_PACKED`).
    """
    arrays: dict[str, Array] = {}
    name = ""
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            _require_sane(path, archive)
            for entry in archive.infolist():
                name = entry.filename.removesuffix(".npy")
                with archive.open(entry) as member:
                    arrays[name] = _unpacked(member, entry.file_size, place)
    except UNREADABLE as error:
        raise damaged(path, error, name) from error
    if not arrays:
        raise InputError(f"{path.name} holds no arrays.", place=str(path), fix="write the samples again")
    return arrays


def _require_sane(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse, before anything is unpacked, what a few KiB declare to be terabytes.

    Raises:
        InputError: it is more than `SMALL_BYTES` or memory, and far more than there can be in a file of this size;
            or it is more arrays than a process may hold open.
    """
    if len(archive.infolist()) > MOST_ARRAYS:
        raise InputError(
            f"{path.name} holds {len(archive.infolist()):,} arrays.",
            place=str(path),
            fix="save one array for each input, all samples in it: numpy.savez(path, name=numpy.stack(samples))",
        )
    size, packed = sum(_declared(archive, entry) for entry in archive.infolist()), path.stat().st_size
    limit = max(MOST_PACKED * packed, min(SMALL_BYTES, sandbox.memory_limit() or sandbox.default_memory()))
    if size > limit:
        raise InputError(
            f"{path.name}, a file of {packed / 2**20:.1f} MiB, says that it holds {size / 2**30:.1f} GiB of numbers.",
            place=str(path),
            fix="save the samples with numpy.savez, which does not pack them, or give fewer: some hundred are enough",
        )


def _declared(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    """The bytes that an array takes, by its own header and by the archive's, whichever says more."""
    if not entry.filename.endswith(".npy"):
        return entry.file_size
    with archive.open(entry) as file:
        shape, _, dtype = _header(file)
    return max(_bytes(shape, dtype), entry.file_size)


def _unpacked(member: IO[bytes], size: int, place: Place) -> Array:
    """An array of an archive; something else than an array is told apart by its dtype, bytes."""
    start = member.read(len(_MAGIC))
    member.seek(0)
    if start != _MAGIC:
        return np.asarray(start)
    shape, transposed, dtype = _header(member)
    if dtype.hasobject:
        raise ValueError("object array")
    declared, there = _bytes(shape, dtype), size - member.tell()
    if declared > there:
        raise ValueError(f"it should hold {declared} bytes of numbers, and there are {there}")
    values: Array = place.empty(shape[::-1] if transposed else shape, dtype)
    if declared:
        _fill(member, memoryview(values.reshape(-1).view(np.uint8).data))
    return values.T if transposed else values


def _fill(member: IO[bytes], into: memoryview) -> None:
    done = 0
    while done < len(into):
        part = member.read(min(UNPACKED_BYTES, len(into) - done))
        if not part:
            raise EOFError("it ends early")
        into[done : done + len(part)] = part
        done += len(part)
    member.read(1)  # at its end its checksum is looked at


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, "np.dtype[Any]"]:
    """Shape, whether in Fortran's order, and dtype of an ``.npy``.

    Raises:
        ValueError: it is damaged, or its version is unknown.
    """
    version = np.lib.format.read_magic(file)  # type: ignore[no-untyped-call]
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, transposed, dtype = read(file)  # type: ignore[no-untyped-call]
    if any(size < 0 for size in shape):
        raise ValueError(f"it has the shape {list(shape)}")
    return shape, transposed, dtype


def _bytes(shape: tuple[int, ...], dtype: "np.dtype[Any]") -> int:
    """The bytes of numbers; 0 of Python objects."""
    return 0 if dtype.hasobject else math.prod(shape) * int(dtype.itemsize)


def damaged(path: Path, error: BaseException, entry: str = "") -> InputError:
    """The complaint about a file, or a folder with one, that raised one of `UNREADABLE`."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    within = f" ({entry})" if entry else ""
    if "pickle" in reason.lower() or "object array" in reason.lower():
        return InputError(
            f"{path.name}{within} holds pickled objects, which edgekit never loads.",
            place=str(path),
            fix="save numeric arrays: np.savez(path, name=np.stack(samples))",
        )
    return InputError(f"{path.name}{within} is damaged: {reason}.", place=str(path), fix="write the samples again")
