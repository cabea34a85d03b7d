"""Arrays larger than memory: they lie in files, of which the system loads what is looked at."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from edgekit.waist.rows import PIECE_BYTES, pieces
from edgekit.waist.tensors import Array


class Place:
    """A folder on whose disk arrays lie, in files without names that go with their arrays.

    Args:
        folder: where; the system's temporary folder if None.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> Any:
        """An array to be filled.

        Raises:
            OSError: the disk has no space for it.
        """
        wanted = np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * wanted.itemsize
        if not size:
            return np.empty(shape, wanted)
        with self._file() as file:
            _reserve(file, size)
            return np.asarray(np.memmap(file, wanted, "r+", shape=shape))

    def stack(self, rows: Sequence[Array]) -> Any:
        """Arrays ``[*shape]`` of one shape and dtype as one ``[N, *shape]``.

        Raises:
            OSError: the disk has no space for it.
        """
        made = self.empty((len(rows), *rows[0].shape), rows[0].dtype)
        for number, row in enumerate(rows):
            made[number] = row
        return made

    def growing(self) -> "Growing":
        """An array of which nobody knows yet how long it will be."""
        return Growing(self._file)

    def _file(self) -> Any:
        return tempfile.TemporaryFile(dir=self._folder)


def _reserve(file: Any, size: int) -> None:
    """Give a file its space now: a page that finds none when it is written kills the process.

    Raises:
        OSError: the disk has no space for it.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    for start in range(0, size, PIECE_BYTES):  # macOS has no such call
        file.write(bytes(min(PIECE_BYTES, size - start)))
    file.flush()


class Growing:
    """An array ``[N, ...]`` that is written as it comes, in a dtype that holds all of it, as in `numpy.concatenate`."""

    def __init__(self, opened: Any) -> None:
        self._opened = opened
        self._file: Any = None
        self._dtype: np.dtype[Any] = np.dtype(np.float32)
        self._shape: tuple[int, ...] = ()
        self._count = 0

    def add(self, values: Array) -> None:
        """Add samples ``[n, ...]``.

        Raises:
            ValueError: they have another shape than those before.
            TypeError: they are Python objects, or of a dtype that does not go with the one before.
        """
        if values.dtype.hasobject:
            raise TypeError("it gives Python objects, not arrays of numbers")
        if self._file is None:
            self._file, self._dtype, self._shape = self._opened(), values.dtype, values.shape[1:]
        if values.shape[1:] != self._shape:
            raise ValueError(f"its items differ in shape: {list(values.shape[1:])} after {list(self._shape)}")
        wider = np.promote_types(self._dtype, values.dtype)
        if wider != self._dtype:
            self._widen(wider)
        self._file.write(np.ascontiguousarray(values, self._dtype).data if values.size else b"")
        self._count += len(values)

    def __len__(self) -> int:
        return self._count

    def close(self) -> None:
        """Let go of the file; what `done` gave stays."""
        if self._file is not None:
            self._file.close()

    def done(self) -> Any:
        """All of it."""
        shape = (self._count, *self._shape)
        if self._file is None or 0 in shape or not self._dtype.itemsize:
            return np.empty(shape, self._dtype)
        self._file.flush()
        return np.asarray(np.memmap(self._file, self._dtype, "r+", shape=shape))

    def _widen(self, dtype: np.dtype[Any]) -> None:
        held, count = self.done(), self._count
        self.close()
        self._file, self._dtype, self._count = self._opened(), dtype, 0
        for rows in pieces(held) if count else ():
            self.add(held[rows].astype(dtype))
