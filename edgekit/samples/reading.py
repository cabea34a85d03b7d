"""Arrays from files: ``.npz``, ``.npy``, folders of ``.npy``, CSV. Nothing is ever unpickled."""

import csv
from collections.abc import Iterable
from contextlib import closing
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.nouns.model import Signature
from edgekit.samples import listing, npy
from edgekit.samples.content import LABEL_KEYS, Raw
from edgekit.samples.place import Place
from edgekit.waist.rows import pieces
from edgekit.waist.tensors import Array

EXACT_INTEGERS = 2.0**53
"""float64 holds every integer below this exactly (IEEE 754, 53-bit significand)."""


def read_file(path: Path, signature: Signature, place: Place) -> Raw:
    """An ``.npz``, ``.npy`` or CSV file, told apart by its first bytes.

    Raises:
        InputError: it is empty, damaged, pickled or none of these.
    """
    with path.open("rb") as file:
        head = file.read(8)
    if not head:
        raise InputError(f"{path.name} is empty.", place=str(path), fix="write the samples again")
    if head.startswith(b"PK"):
        return read_arrays(npy.load_archive(path, place), signature)
    if head.startswith(b"\x93NUMPY"):
        return Raw({"#1": npy.load(path)})
    if path.suffix.lower() in {".csv", ".tsv", ".txt"}:
        return _read_csv(path, signature, place)
    raise InputError(
        f"{path.name} is neither .npz nor .npy nor .csv: its first bytes are {head!r}.",
        place=str(path),
        fix="save the samples with numpy.savez, one array for each input",
    )


def read_arrays(arrays: dict[str, Array], signature: Signature) -> Raw:
    """Arrays by name, of which one may be the labels."""
    inputs = {spec.source_name for spec in signature.inputs}
    label = next((k for k in LABEL_KEYS if k in arrays and k not in inputs and len(arrays) > 1), None)
    return Raw(arrays, None if label is None else arrays.pop(label))


def read_folder(path: Path, signature: Signature, place: Place) -> Raw:
    """A folder of ``.npy`` files, one sample each.

    Sub-folders are inputs if all carry inputs' names, class labels otherwise.

    Raises:
        InputError: there are none, they differ in shape, or the inputs' folders differ in names.
    """
    inputs = [spec.source_name for spec in signature.inputs]
    if all((path / name).is_dir() for name in inputs):
        names = {name: [file.relative_to(path / name) for file in _files(path / name)] for name in inputs}
        for name, found in names.items():
            if found != names[inputs[0]]:
                raise InputError(
                    f"The folders {inputs[0]} and {name} hold differently named files.",
                    place=str(path),
                    fix="give the files of one sample the same name in every input's folder",
                )
        return Raw({name: _stack(_files(path / name), path, place) for name in inputs})
    files = _files(path)
    labels = class_labels(path, files)
    return Raw({"#1": _stack(files, path, place)}, *labels)


def class_labels(path: Path, files: list[Path]) -> tuple[Array | None, tuple[str, ...]]:
    """Labels int64 ``[N]`` from sub-folder names in sorted order, and a note; None for a flat folder."""
    folders = [file.relative_to(path).parts[0] if file.parent != path else "" for file in files]
    classes = sorted(set(folders))
    if "" in classes:
        return None, ()
    labels = np.array([classes.index(folder) for folder in folders], np.int64)
    shown = ", ".join(f"{i} = {name}" for i, name in enumerate(classes[:12]))
    return labels, (f"labels are the sub-folders in sorted order: {shown}{', …' * (len(classes) > 12)}",)


def _files(path: Path) -> list[Path]:
    return listing.files(path, {".npy"})


def _stack(files: list[Path], folder: Path, place: Place) -> Array:
    if not files:
        raise InputError(
            f"The folder {folder.name} holds neither .npy files nor images.",
            place=str(folder),
            fix="name a folder with samples, or an .npz",
        )
    first = npy.load(files[0])
    try:
        dtype = np.result_type(*{npy.load(file).dtype for file in files})
    except TypeError as error:
        raise npy.damaged(folder, error) from error
    stacked: Array = place.empty((len(files), *first.shape), dtype)
    for i, file in enumerate(files):
        array = npy.load(file)
        if array.shape != first.shape:
            raise InputError(
                f"{file.name} has shape {list(array.shape)}, {files[0].name} has {list(first.shape)}.",
                place=str(file),
                fix="give every sample the same shape",
            )
        stacked[i] = array
    return stacked


def _read_csv(path: Path, signature: Signature, place: Place) -> Raw:
    """Float columns; the header and a label column are optional."""
    if len(signature.inputs) != 1:
        raise InputError(
            f"A CSV file feeds one input, the model has {len(signature.inputs)}.",
            place=str(path),
            fix="save an .npz with one array for each input",
        )
    shape = signature.inputs[0].source_shape
    features = int(np.prod(shape))
    header, table = _table(path, place)
    label = _label_column(header, table, features)
    notes: tuple[str, ...] = ()
    labels = None
    if label is not None:
        named = header[label] if header else "unnamed"
        notes = (f"column {label + 1} ({named}) was read as the label",)
        labels = table[:, label]
        whole = np.array_equal(labels, np.rint(labels)) and np.abs(labels).max(initial=0.0) < EXACT_INTEGERS
        labels = labels.astype(np.int64) if whole else labels
        table = _without(table, label, place)
    if table.shape[1] != features:
        raise InputError(
            f"{path.name} has {table.shape[1]} feature columns, the model wants {features} (shape {list(shape)}).",
            place=str(path),
            fix="give one column for each value of the input, and at most one label column before them",
        )
    return Raw({"#1": table.reshape(-1, *shape)}, labels, notes)


def _label_column(header: list[str], table: NDArray[np.float64], features: int) -> int | None:
    """The column named as a label, or a first integer column if there is one column too many."""
    named = [i for i, name in enumerate(header) if name.strip().lower() in LABEL_KEYS]
    if named and table.shape[1] > 1:
        return named[0]
    first = table[:, 0]
    if (
        not header
        and table.shape[1] == features + 1
        and np.isfinite(first).all()
        and np.array_equal(first, np.rint(first))
    ):
        return 0
    return None


def _without(table: NDArray[np.float64], column: int, place: Place) -> NDArray[np.float64]:
    rest: NDArray[np.float64] = place.empty((len(table), table.shape[1] - 1), np.float64)
    for rows in pieces(table):
        rest[rows] = np.delete(table[rows], column, axis=1)
    return rest


def _table(path: Path, place: Place) -> tuple[list[str], NDArray[np.float64]]:
    """Header (empty if the first row is numeric) and rows as float64 ``[N, columns]``."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            delimiter = max(",;\t", key=first.count)
            rows = (row for row in csv.reader(file, delimiter=delimiter) if any(map(str.strip, row)))
            head = next(rows, [])
            header = [] if not head or _numeric(head) else head
            table = _numbers(path, chain([head] if head and not header else [], rows), 1 + bool(header), place)
    except (UnicodeDecodeError, csv.Error) as error:
        raise npy.damaged(path, error) from error
    if not len(table):
        raise InputError(f"{path.name} holds no rows of numbers.", place=str(path), fix="write the samples again")
    return header, table


def _numbers(path: Path, rows: Iterable[list[str]], start: int, place: Place) -> NDArray[np.float64]:
    """Rows of text as float64 ``[N, columns]``; ``start`` is the number of the first one."""
    columns = 0
    with closing(place.growing()) as table:
        for number, row in enumerate(rows, start):
            columns = columns or len(row)
            _require_row(path, number, row, columns)
            table.add(np.array([row], np.float64))
        whole: NDArray[np.float64] = table.done()
    return whole


def _require_row(path: Path, at: int, row: list[str], columns: int) -> None:
    if len(row) != columns or not _numeric(row):
        bad = next((cell for cell in row if not _numeric([cell])), f"{len(row)} columns instead of {columns}")
        raise InputError(
            f"Row {at} of {path.name} does not fit: {bad!r}.",
            place=f"{path}:{at}",
            fix="give every row the same number of numeric columns",
        )


def _numeric(row: list[str]) -> bool:
    try:
        [float(cell) for cell in row]
    except ValueError:
        return False
    return True
