"""Samples at rest: what was read (`Raw`) and what fits a network (`Samples`)."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from edgekit.waist.tensors import Array, write_npz

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
    may be wrong (images without preprocessing), each of which the linter passes on.
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

    @property
    def constant(self) -> bool:
        """Whether every float or 8-bit input holds one value only, so that nothing can be calibrated on it."""
        measured = [v for v in self.inputs.values() if v.dtype.kind == "f" or v.dtype.itemsize == 1]
        return bool(measured) and all(v.size > 1 and v.min() == v.max() for v in measured)

    def take(self, n: int) -> "Samples":
        """At most ``n`` samples, evenly spaced, so that data sorted by class keeps its classes."""
        if n >= len(self):
            return self
        rows = np.arange(n) * len(self) // n
        inputs = {name: values[rows] for name, values in self.inputs.items()}
        labels = None if self.labels is None else self.labels[rows]
        return Samples.of(inputs, labels, origin=self.origin, notes=self.notes, doubts=self.doubts)

    def save(self, path: Path, labels: Path | None = None) -> Path:
        """Write the inputs as ``.npz`` under the source's names, whole or not at all; labels, if any, as ``.npy``."""
        if labels is not None and self.labels is not None:
            np.save(labels, self.labels, allow_pickle=False)
        return write_npz(path, self.inputs)


def _digest(inputs: Mapping[str, Array], labels: Array | None) -> str:
    digest = hashlib.sha256()
    for name in sorted(inputs):
        _add(digest, f"input {name}", inputs[name])
    if labels is not None:
        _add(digest, "labels", labels)
    return digest.hexdigest()


def _add(digest: "hashlib._Hash", what: str, values: Array) -> None:
    little = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False))
    digest.update(f"{what}\0{little.dtype.str}\0{little.shape}\0".encode())
    digest.update(little.data if little.size else b"")
