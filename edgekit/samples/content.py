"""Samples at rest: what was read (`Raw`) and what fits a network (`Samples`)."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from edgekit.nouns.samples import Kept
from edgekit.samples.place import Place
from edgekit.waist.ordering import by_content
from edgekit.waist.rows import pieces, write_array, write_arrays
from edgekit.waist.tensors import Array, arrays, load_array

LABEL_KEYS = ("y", "labels", "label")
"""Names under which labels are found, unless an input of the network is called so."""


@dataclass(frozen=True)
class Raw:
    """Arrays as found: by name, each with a leading sample axis; names starting with ``#`` are positions.

    ``notes`` and ``doubts`` are those of `Samples`.
    """

    arrays: dict[str, Array]
    labels: Array | None = None
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Samples:
    """Samples that fit a network.

    ``inputs`` maps each input's source name to ``[N, *source_shape]`` in the source's dtype;
    ``labels`` is ``[N, ...]`` or None; ``origin`` says where they come from; ``sha256`` is the
    digest of names, dtypes, shapes and little-endian contents, whatever file held them; ``notes``
    say how they were read (casts, guessed label columns); ``doubts`` are what had to be assumed and
    may be wrong (images that nobody described), each of which the linter passes on.
    """

    inputs: dict[str, Array]
    labels: Array | None
    origin: str
    sha256: str
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        inputs: Mapping[str, Array],
        labels: Array | None = None,
        *,
        origin: str,
        notes: tuple[str, ...] = (),
        doubts: tuple[str, ...] = (),
    ) -> Self:
        """Samples with their digest; see the class for shapes."""
        return cls(dict(inputs), labels, origin, _digest(inputs, labels), notes, doubts)

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    @classmethod
    def opened(cls, kept: Kept, folder: Path) -> Self:
        """Samples in the folder of an answer (see `save`); they stay in their files until they are looked at."""
        labels = load_array(folder / "labels.npy") if kept.labelled else None
        return cls(arrays(folder / "samples"), labels, kept.origin, kept.sha256, kept.notes, kept.doubts)

    @property
    def constant(self) -> bool:
        """Whether every float or 8-bit input holds one value only, so that nothing can be calibrated on it."""
        measured = self._measured
        return bool(measured) and all(v.size > 1 and v.min() == v.max() for v in measured.values())

    @property
    def still(self) -> tuple[str, ...]:
        """The float and 8-bit inputs that are the same in all samples, two at least: no other value shows its range."""
        return tuple(
            name
            for name, values in self._measured.items()
            if len(values) > 1 and all((values[rows] == values[:1]).all() for rows in pieces(values))
        )

    @property
    def _measured(self) -> dict[str, Array]:
        """Inputs whose values have a range to be measured; wider integers are indices and lengths."""
        return {
            name: v
            for name, v in self.inputs.items()
            if v.dtype.kind == "f" or (v.dtype.kind in "iu" and v.dtype.itemsize == 1)
        }

    @property
    def kept(self) -> Kept:
        """What is told of them where they are kept, all of them."""
        return Kept(
            origin=self.origin,
            total=len(self),
            total_sha256=self.sha256,
            used=len(self),
            sha256=self.sha256,
            labelled=self.labels is not None,
            notes=self.notes,
            doubts=self.doubts,
            constant=self.constant,
            still=self.still,
        )

    def take(self, n: int, place: Place | None = None) -> "Samples":
        """At most ``n`` samples, chosen by their contents alone and as if drawn, in the order that they have."""
        return self if n >= len(self) else self.rows(np.sort(by_content(self.inputs)[:n]), place)

    def rows(self, numbers: Sequence[int] | NDArray[np.integer], place: Place | None = None) -> "Samples":
        """The samples of these numbers, in their order: some, shuffled, or repeated.

        Args:
            numbers: of samples, from 0.
            place: where they are put.
        """
        chosen, place = np.asarray(numbers, np.int64), place or Place()
        inputs = {name: _rows(values, chosen, place) for name, values in self.inputs.items()}
        labels = None if self.labels is None else _rows(self.labels, chosen, place)
        return Samples.of(inputs, labels, origin=self.origin, notes=self.notes, doubts=self.doubts)

    def save(self, folder: Path, labels: Path | None = None) -> Path:
        """Write the inputs as a new folder that `edgekit.waist.tensors.arrays` reads; labels, if any, as ``.npy``."""
        if labels is not None and self.labels is not None:
            write_array(labels, self.labels)
        return write_arrays(folder, self.inputs)


def _rows(values: Array, numbers: NDArray[np.int64], place: Place) -> Array:
    taken: Array = place.empty((len(numbers), *values.shape[1:]), values.dtype)
    for part in pieces(taken):
        taken[part] = values[numbers[part]]
    return taken


def _digest(inputs: Mapping[str, Array], labels: Array | None) -> str:
    digest = hashlib.sha256()
    for name in sorted(inputs):
        _add(digest, f"input {name}", inputs[name])
    if labels is not None:
        _add(digest, "labels", labels)
    return digest.hexdigest()


def _add(digest: "hashlib._Hash", what: str, values: Array) -> None:
    little = values.dtype.newbyteorder("<")
    digest.update(f"{what}\0{little.str}\0{values.shape}\0".encode())
    for rows in pieces(values) if values.size else ():
        digest.update(np.ascontiguousarray(values[rows], little).data)
