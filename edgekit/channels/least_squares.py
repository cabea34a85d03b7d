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


SPAN = 1e-10
"""The share of the largest energy of a direction below which float32 tells nothing of it."""

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

    def add(self, rows: Rows, wanted: Rows, *, squares: bool = True) -> None:
        """Add some places, of any samples; without ``squares`` only what is read with what is wanted."""
        turned = rows.transpose(0, 2, 1)
        self.places += rows.shape[1]
        if squares:
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
        return self.covariances_with(self, centered=centered)

    def covariances_with(self, other: "Moments", *, centered: bool = True) -> tuple[Matrix, Matrix]:
        """The same with what others want, at the same places."""
        read, wanted = self.means()[0] * centered, other.means()[1] * centered
        own = self._squares / self.places - read[:, :, None] * read[:, None, :]
        return own, other._products / self.places - read[:, :, None] * wanted[:, None, :]


class Ridge:
    """Solves for matrices ``[groups, features, outputs]`` and offsets ``[groups, outputs]`` near to what is wanted.

    They are as small as the samples allow: how small is chosen on those that judge, by the others.

    Args:
        fitting: of most samples.
        judging: of the others; of none if there are too few.
        centered: there are offsets; they are 0 if not.
    """

    def __init__(self, fitting: Moments, judging: Moments, *, centered: bool) -> None:
        self._centered = centered
        self.weight = self._chosen(fitting, judging) if judging.places else USUAL
        self._whole = fitting + judging if judging.places else fitting

    def solved(self, wanted: Moments) -> tuple[Matrix, Matrix]:
        """Those nearest to what is wanted at all places that were read."""
        own, across = self._whole.covariances_with(wanted, centered=self._centered)
        change = _ridge(own, across, self.weight)
        read, means = self._whole.means()[0], wanted.means()[1]
        return change, (means - (read[:, None, :] @ change)[:, 0]) * self._centered

    def _chosen(self, fitting: Moments, judging: Moments) -> float:
        own, across = judging.covariances(centered=self._centered)
        found = fitting.covariances(centered=self._centered)

        def error(ridge: float) -> float:
            """The squared error on the rows that judge, less what no change alters."""
            change = _ridge(*found, ridge)
            return float(np.sum(change * (own @ change)) - 2 * np.sum(change * across))

        return min(RIDGES, key=error)


def spanned(rows: Rows) -> Rows:
    """An orthonormal basis ``[features, at most rows]`` of what rows ``[rows, features]`` span.

    A ridge regression lies in the span of what was read, so that it can be solved there: of 18,432 features that 200
    samples show, 200 numbers are to be found, not the inverse of a matrix of gigabytes. Rows that hold no numbers tell
    nothing; one direction of zeros is left if all are so, or zero.
    """
    wide = rows[np.isfinite(rows).all(axis=1)].astype(np.float64)
    if not wide.any():
        return np.zeros((rows.shape[1], 1), np.float32)
    values, vectors = np.linalg.eigh(wide @ wide.T)
    known = values > SPAN * values[-1]
    return np.asarray(wide.T @ (vectors[:, known] / np.sqrt(values[known])), np.float32)


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
