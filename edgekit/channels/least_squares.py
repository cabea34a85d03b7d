"""Ridge regression from sums over places, added up piece by piece, so that no sample has to be left out for memory."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Rows = NDArray[np.float32]

RIDGES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Weights of the distance to the weights before, beside the mean variance of a feature; held-out samples choose."""

USUAL = 1e-3
"""The ridge if there are too few samples to hold any out."""


PIECE = 1 << 24
"""So many numbers are read from activations at once."""


class Moments:
    """Sums over places of what is read ``[groups, places, features]`` and wanted ``[groups, places, outputs]``."""

    def __init__(self) -> None:
        self.places = 0
        self._squares: Matrix = np.zeros((1, 1, 1))
        self._products: Matrix = np.zeros((1, 1, 1))
        self._read: Matrix = np.zeros((1, 1))
        self._wanted: Matrix = np.zeros((1, 1))

    def add(self, rows: Rows, wanted: Rows) -> None:
        """Add some places, of any samples."""
        turned = rows.transpose(0, 2, 1)
        self.places += rows.shape[1]
        self._squares = self._squares + (turned @ rows).astype(np.float64)
        self._products = self._products + (turned @ wanted).astype(np.float64)
        self._read = self._read + rows.sum(axis=1, dtype=np.float64)
        self._wanted = self._wanted + wanted.sum(axis=1, dtype=np.float64)

    def __add__(self, other: "Moments") -> "Moments":
        made = Moments()
        made.places = self.places + other.places
        made._squares, made._products = self._squares + other._squares, self._products + other._products
        made._read, made._wanted = self._read + other._read, self._wanted + other._wanted
        return made

    def means(self) -> tuple[Matrix, Matrix]:
        """Those of what is read ``[groups, features]`` and of what is wanted ``[groups, outputs]``."""
        return self._read / self.places, self._wanted / self.places

    def covariances(self, *, centered: bool = True) -> tuple[Matrix, Matrix]:
        """What is read with itself ``[groups, features, features]``, and with what is wanted, over all places."""
        read, wanted = (mean * centered for mean in self.means())
        own = self._squares / self.places - read[:, :, None] * read[:, None, :]
        return own, self._products / self.places - read[:, :, None] * wanted[:, None, :]


def solved(fitting: Moments, judging: Moments, *, centered: bool) -> tuple[Matrix, Matrix]:
    """The matrices ``[groups, features, outputs]`` and offsets ``[groups, outputs]`` nearest to what is wanted.

    They are as small as the samples allow: how small is chosen on those that judge, by the others.

    Args:
        fitting: of most samples.
        judging: of the others; of none if there are too few.
        centered: there are offsets; they are 0 if not.
    """
    whole = fitting + judging if judging.places else fitting
    ridge = _chosen(fitting, judging, centered=centered) if judging.places else USUAL
    change = _ridge(*whole.covariances(centered=centered), ridge)
    read, wanted = whole.means()
    return change, (wanted - (read[:, None, :] @ change)[:, 0]) * centered


def _chosen(fitting: Moments, judging: Moments, *, centered: bool) -> float:
    own, across = judging.covariances(centered=centered)
    found = fitting.covariances(centered=centered)

    def error(ridge: float) -> float:
        change = _ridge(*found, ridge)
        return float(np.sum(change * (own @ change)) - 2 * np.sum(change * across))

    return min(RIDGES, key=error)


def _ridge(own: Matrix, across: Matrix, ridge: float) -> Matrix:
    scale = np.trace(own, axis1=1, axis2=2)[:, None, None] / own.shape[1] + 1e-12
    made: Matrix = np.linalg.solve(own + ridge * scale * np.eye(own.shape[1]), across)
    return made


def parts(count: int, size: int, held_out: int) -> Sequence[tuple[bool, NDArray[np.int64]]]:
    """The numbers of samples in pieces of ``size``, and whether one judges: of each ``held_out`` the last."""
    numbers = np.arange(count)
    judges = numbers % held_out == held_out - 1
    return [
        (judging, chosen[start : start + size])
        for judging in (False, True)
        for chosen in (numbers[judges == judging],)
        for start in range(0, len(chosen), size)
    ]
