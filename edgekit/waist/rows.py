"""Arrays written to files piece by piece: all of one may not fit into memory."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec
import numpy as np
from numpy.typing import DTypeLike

from edgekit.waist.tensors import NAMES, Array, write_npz

PIECE_BYTES = 1 << 24
"""How much of an array is worked on at once."""


def pieces(values: Array) -> Iterator[slice]:
    """Slices of the leading axis, each of about `PIECE_BYTES`."""
    rows = max(1, PIECE_BYTES // max(1, values.nbytes // max(1, len(values))))
    return (slice(start, start + rows) for start in range(0, len(values), rows))


class NpyFile:
    """An ``.npy`` file of an array ``[N, *shape]`` in C order, N being what was added until it is closed.

    Args:
        path: where to write.
        shape: of one row.
        dtype: of all.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.path = path
        self._shape, self._dtype, self._count = shape, np.dtype(dtype), 0
        self._file: IO[bytes] = path.open("wb")
        self._write_header()

    def _write_header(self) -> None:
        """The header, which is as long whatever N is: numpy leaves room for it to grow."""
        described = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),  # type: ignore[no-untyped-call]
            "fortran_order": False,
            "shape": (self._count, *self._shape),
        }
        np.lib.format.write_array_header_1_0(self._file, described)  # type: ignore[no-untyped-call]

    def add(self, values: Array) -> None:
        """Add rows ``[n, *shape]``, in the dtype of all.

        Raises:
            ValueError: they have another shape.
            OSError: the disk is full.
        """
        if values.shape[1:] != self._shape:
            raise ValueError(f"one result is {list(values.shape[1:])}, another {list(self._shape)}")
        if values.nbytes:
            self._file.write(np.ascontiguousarray(values, self._dtype).reshape(-1).view(np.uint8).data)
        self._count += len(values)

    def close(self) -> None:
        """Complete the file."""
        if not self._file.closed:
            self._file.seek(0)
            self._write_header()
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def write_array(path: Path, values: Array) -> Path:
    """Write an array ``[N, ...]``, block by block; a single number as it is."""
    if not values.ndim:
        np.save(path, values, allow_pickle=False)
        return path
    with NpyFile(path, values.shape[1:], values.dtype) as file:
        for part in pieces(values):
            file.add(values[part])
    return path


def write_arrays(folder: Path, arrays: Mapping[str, Array]) -> Path:
    """Write arrays ``[N, ...]`` as a new folder that `edgekit.waist.tensors.arrays` reads."""
    folder.mkdir()
    for i, values in enumerate(arrays.values()):
        write_array(folder / f"{i}.npy", values)
    return _named(folder, arrays)


def write_rows(path: Path, rows: Iterable[Mapping[str, Array]]) -> Path:
    """Write the results of one sample after another as an ``.npz``, whole or not at all; none is kept in memory.

    Args:
        path: where to write; replaced if it exists.
        rows: for each sample its arrays ``[*shape]`` by name, the same names, shapes and dtypes for each.

    Returns:
        ``path``, with an array ``[N, *shape]`` for each name.

    Raises:
        ValueError: a shape differs from sample to sample.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="rows-") as folder, ExitStack() as opened:
        files: dict[str, NpyFile] = {}
        for row in rows:
            for name, values in row.items():
                if name not in files:
                    made = NpyFile(Path(folder) / f"{len(files)}.npy", values.shape, values.dtype)
                    files[name] = opened.enter_context(made)
                files[name].add(values[np.newaxis])
        opened.close()
        return write_npz(path, {name: np.load(file.path, mmap_mode="r") for name, file in files.items()})


def _named(folder: Path, names: Iterable[str]) -> Path:
    (folder / NAMES).write_bytes(msgspec.json.encode(list(names)))
    return folder
