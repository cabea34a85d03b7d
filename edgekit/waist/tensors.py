"""How values cross the border between a source and an artifact, and how far they are from one another.

All arrays here carry a leading sample axis: ``[N, *shape]``.
"""

import math
import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekit.host.replacing import replacing
from edgekit.nouns.model import Signature, TensorSpec
from edgekit.processing import images

Array = NDArray[np.generic]

SIGMOID_ROUNDING = 2.0**-23
"""How far apart runtimes compute a sigmoid: ONNX Runtime adds 0.5 last, so that what is near 0 has the last bit of 0.5.

A wake word that was not said has a score of 1e-6 or so, of which that leaves 30 dB.
"""


NAMES = "names.json"
"""The file that names the arrays of a folder ``0.npy``, ``1.npy`` and so on."""


def arrays(path: Path, *, writable: bool = False) -> dict[str, Array]:
    """Every array of an ``.npz``, or of a folder with `NAMES`.

    They may be larger than memory: unless packed, they stay in their files until they are looked at, and are read only.
    If ``writable``, what is changed is held in memory and never gets into the files.
    """
    if path.is_dir():
        names = msgspec.json.decode((path / NAMES).read_bytes(), type=list[str])
        files = (path / f"{i}.npy" for i in range(len(names)))
        return dict(zip(names, (load_array(file, writable=writable) for file in files), strict=True))
    with zipfile.ZipFile(path) as archive:
        return {
            entry.filename.removesuffix(".npy"): _member(path, archive, entry, writable=writable)
            for entry in archive.infolist()
        }


def load_array(path: Path, *, writable: bool = False) -> Array:
    """The array of an ``.npy``, which stays in its file until it is looked at; see `arrays`."""
    return np.asarray(np.load(path, mmap_mode="c" if writable else "r", allow_pickle=False))


def _member(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, *, writable: bool) -> Array:
    """An array of an ``.npz``, mapped if it lies there as it is."""
    with archive.open(entry) as member:
        version = np.lib.format.read_magic(member)  # type: ignore[no-untyped-call]
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, transposed, dtype = read(member)  # type: ignore[no-untyped-call]
        if entry.compress_type != zipfile.ZIP_STORED or 0 in (shape or (0,)) or not dtype.itemsize:
            member.seek(0)
            return np.asarray(np.lib.format.read_array(member, allow_pickle=False))  # type: ignore[no-untyped-call]
        start = entry.header_offset + _LOCAL_HEADER + member.tell()
    with path.open("rb") as file:
        file.seek(entry.header_offset + _LOCAL_HEADER - 4)
        start += sum(struct.unpack("<HH", file.read(4)))  # of the name and of what else the archive says of it
    return np.asarray(np.memmap(path, dtype, "c" if writable else "r", start, shape, "F" if transposed else "C"))


_LOCAL_HEADER = 30
"""Bytes before an entry's name in an archive; the last four are two lengths (PKWARE's APPNOTE, 4.3.7)."""


def stacked(rows: list[Array]) -> Array:
    """Arrays of one shape as one with a leading axis. ``rows`` is emptied on the way: large ones are held once.

    Raises:
        ValueError: a shape differs.
    """
    made = np.empty((len(rows), *rows[0].shape), rows[0].dtype)
    for index in reversed(range(len(rows))):
        row = rows.pop()
        if row.shape != made.shape[1:]:
            raise ValueError(f"one result is {list(row.shape)}, another {list(made.shape[1:])}")
        made[index] = row
    return made


def write_npz(path: Path, arrays: Mapping[str, Array]) -> Path:
    """Write arrays to an ``.npz``, whole or not at all.

    Unlike ``numpy.savez`` it takes any name (a tensor may be called ``file``).

    Args:
        path: where to write; replaced if it exists.
        arrays: by name, none of them of dtype object.

    Returns:
        ``path``.
    """
    with replacing(path) as aside, zipfile.ZipFile(aside, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, values in arrays.items():
            file_of = zipfile.ZipInfo(f"{name}.npy")  # of no date: the same arrays make the same file
            with archive.open(file_of, "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asarray(values, order="C"), allow_pickle=False)  # type: ignore[no-untyped-call]
    return path


def quantize(real: Array, scale: float, zero_point: int, dtype: str) -> Array:
    """Real values to stored integers: round half to even, saturate.

    Source: the TFLite 8-bit quantization specification, real = scale * (stored - zero_point).
    """
    limits = np.iinfo(np.dtype(dtype))
    stored = np.rint(np.asarray(real, np.float64) / scale) + zero_point
    return np.clip(stored, limits.min, limits.max).astype(dtype)


def dequantize(stored: Array, scale: float, zero_point: int) -> NDArray[np.float32]:
    """Stored integers to real values, float32."""
    return ((stored.astype(np.float64) - zero_point) * scale).astype(np.float32)


def distinct(random: np.random.Generator, shape: tuple[int, ...], below: int) -> NDArray[np.int64] | None:
    """Indices in 0..below-1 of which none occurs twice; or, if there are too few, no row of the last axis.

    A scatter whose indices repeat has no defined result.

    Args:
        random: the generator.
        shape: of the indices.
        below: how many values there are.

    Returns:
        None if even rows must repeat.
    """
    count, last = math.prod(shape), shape[-1] if shape else 1
    if count <= below:
        return random.choice(below, count, replace=False).reshape(shape)
    if last < 2 or last > ROW or count // last > below**last:
        return None
    rows = random.choice(below**last, count // last, replace=False)
    return np.stack(np.unravel_index(rows, (below,) * last), axis=-1).reshape(shape)


ROW = 4
"""The most coordinates of an index: more axes than that are no place in a tensor."""


def _grid(spec: TensorSpec) -> tuple[float, int] | None:
    """Scale and zero point if the file quantizes what is real in the source."""
    if spec.scale is None or spec.zero_point is None or np.issubdtype(np.dtype(spec.source_dtype), np.integer):
        return None
    return spec.scale, spec.zero_point


def to_file(spec: TensorSpec, values: Array) -> Array:
    """Values in the source's layout and dtype ``[N, *source_shape]`` as the file wants them ``[N, *shape]``."""
    if spec.image is not None:
        return images.to_bytes(values, spec.image)
    if spec.permutation is not None:
        values = values.transpose(0, *(axis + 1 for axis in spec.permutation))
    if not spec.source_shape:
        values = values.reshape(len(values), *spec.shape)  # scalars: TFLite files have them as [1]
    if (grid := _grid(spec)) is not None:
        return quantize(values, *grid, spec.dtype)
    return np.ascontiguousarray(values.astype(spec.dtype, copy=False))


def to_source(spec: TensorSpec, values: Array) -> Array:
    """Values from the file ``[N, *shape]`` in the source's layout and dtype ``[N, *source_shape]``."""
    if (grid := _grid(spec)) is not None:
        values = dequantize(values, *grid)
    if spec.permutation is not None:
        values = values.transpose(0, *(int(axis) + 1 for axis in np.argsort(spec.permutation)))
    if not spec.source_shape:
        values = values.reshape(len(values))
    return np.ascontiguousarray(values.astype(spec.source_dtype, copy=False))


def inputs_to_file(signature: Signature, samples: dict[str, Array]) -> dict[str, Array]:
    """Samples under source names to what the file wants, under the file's names."""
    return {spec.name: to_file(spec, samples[spec.source_name]) for spec in signature.inputs}


class FileSamples(Sequence[Array]):
    """An input's samples as the file wants them, each converted when it is its turn: all may not fit into memory."""

    def __init__(self, spec: TensorSpec, values: Array) -> None:
        self._spec, self._values = spec, values

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index: Any) -> Any:
        """One sample ``[*shape]``; the index is that of a sample."""
        return np.array(to_file(self._spec, self._values[index : index + 1])[0])


def each_to_file(signature: Signature, samples: dict[str, Array]) -> dict[str, FileSamples]:
    """The same as `inputs_to_file`, sample by sample."""
    return {spec.name: FileSamples(spec, samples[spec.source_name]) for spec in signature.inputs}


def each_to_source(signature: Signature, rows: Iterable[Mapping[str, Array]]) -> Iterator[dict[str, Array]]:
    """The same as `outputs_to_source` for outputs ``[*shape]`` of one sample after another."""
    for row in rows:
        whole = {name: values[np.newaxis] for name, values in row.items()}
        yield {name: values[0] for name, values in outputs_to_source(signature, whole).items()}


def outputs_to_source(signature: Signature, outputs: dict[str, Array]) -> dict[str, Array]:
    """The file's outputs under its names to the source's names, layout and dtype."""
    return {spec.source_name: to_source(spec, outputs[spec.name]) for spec in signature.outputs}


BLOCK = 1 << 20
"""Elements compared at once: whole outputs may hold half a gigabyte, and float64 copies more."""


def blocks(a: Array, b: Array) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Both arrays in float64, block by block."""
    a, b = a.reshape(-1), b.reshape(-1)
    for start in range(0, a.size, BLOCK):
        yield a[start : start + BLOCK].astype(np.float64), b[start : start + BLOCK].astype(np.float64)


IDENTICAL_DB = 999.0
"""What stands for an infinite SQNR: no noise at all."""


def sqnr_db(reference: Array, output: Array, *, undefined: bool = False) -> float:
    """Signal-to-quantization-noise ratio in dB, 10·log10(Σ r² / Σ (r − o)²).

    Of two arrays of one shape, of any dtype. -inf becomes -999 and +inf `IDENTICAL_DB` (JSON has no
    infinities). Elements that are the same NaN or
    infinity on both sides do not count; one that is not finite on one side only makes it -999. If ``undefined``, what
    is NaN in the reference does not count either: whoever divides 0 by 0 wants no number there.
    """
    signal = noise = 0.0
    for r, o in blocks(reference, output):
        same = (r == o) | (np.isnan(r) & (undefined | np.isnan(o)))
        if not np.all(same | (np.isfinite(r) & np.isfinite(o))):
            return -999.0
        signal += float(np.sum(np.square(r[np.isfinite(r)])))
        noise += float(np.sum(np.square(r[~same] - o[~same])))
    if noise == 0.0:
        return IDENTICAL_DB
    if signal == 0.0:
        return -999.0
    return float(10.0 * np.log10(signal / noise))
