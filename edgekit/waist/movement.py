"""How close an output comes in what changes from sample to sample.

What all samples share, such as logits that are all about -11 or a detector's anchors, counts in an SQNR like any other
energy, and hides that the rest is lost: a bird classifier with 15 dB chose another class in two of three samples.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.waist.ordering import evenly
from edgekit.waist.tensors import BLOCK, IDENTICAL_DB, Array, blocks

FEWEST = 8
"""Samples of which a mean tells what they share."""

LEAST = 1e-2
"""Share of an output's energy that must change: samples that are nearly alike, such as video frames, show no loss."""

ROUNDING = 1e-10
"""The same of an output in single precision that changes by its rounding alone."""

FOLLOWS_DB = 10.0
"""SQNR of what varies from which on an output follows its source: a tenth of that energy may be error."""

LOOKED_AT = 64
"""Samples that tell whether inputs change."""


class Movement(NamedTuple):
    """What changes in an output from sample to sample: its SQNR, the share of the output's energy, and the variance."""

    sqnr_db: float
    share: float
    variance: float


def varying_sqnr_db(reference: Array, output: Array) -> float | None:
    """SQNR in dB of a float output ``[N, *shape]`` without its mean over the samples; an error of the mean is none.

    An answer that is the same for all samples has 0 dB. None if the samples are few, or hardly change it.
    """
    found = moved(reference, output)
    return None if found is None or found.share <= LEAST else found.sqnr_db


def moved(reference: Array, output: Array) -> Movement | None:
    """The same, however little of an output ``[N, *shape]`` changes; None if that is rounding, or samples are few."""
    if reference.dtype.kind != "f" or len(reference) < FEWEST:
        return None
    known = np.array(
        [bool(np.isfinite(a).all() and np.isfinite(b).all()) for a, b in zip(reference, output, strict=True)]
    )
    if known.sum() < FEWEST:
        return None
    own = off = energy = 0.0
    for a, b in _places(reference, output, known):
        error = b - a
        own += float(np.square(a - a.mean(0)).sum())
        off += float(np.square(error - error.mean(0)).sum())
        energy += float(np.square(a).sum())
    if own <= ROUNDING * energy:
        return None
    level_db = IDENTICAL_DB if off == 0 else float(10 * np.log10(own / off))
    return Movement(level_db, own / energy, own / (int(known.sum()) * reference[0].size))


def stepped_db(variance: float, width: float) -> float:
    """SQNR in dB that rounding to steps of a width leaves of a variance; their own is width² / 12 (Bennett 1948)."""
    return float(10 * np.log10(12 * variance / width**2)) if width else float("inf")


def step(values: Array) -> float:
    """The least difference between two values of an output: one of integers has no smaller one; 0 if all are equal."""
    flat = values.ravel()
    levels = np.unique(flat[:: max(1, flat.size // BLOCK)]).astype(np.float64)
    return float(np.diff(levels).min()) if len(levels) > 1 else 0.0


def moves(values: Array) -> bool:
    """Whether a channel of an input ``[N, *shape]``, its last axis, changes by more than `LEAST` of what it differs by.

    That of a film which stands still hardly does from sample to sample. Sensors beside each other are channels.
    """
    if len(values) < FEWEST:
        return False
    shown = np.nan_to_num(values[evenly(len(values), LOOKED_AT)].astype(np.float64), posinf=0.0, neginf=0.0)
    shown = shown.reshape(len(shown), -1, shown.shape[-1] if shown.ndim > 2 else 1)
    changes, differs = (np.square(shown - shown.mean(over)).sum((0, 1)) for over in (0, (0, 1)))
    return bool((changes > LEAST * differs).any())


def _places(
    reference: Array, output: Array, rows: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Both sides ``[N, places]`` in float64, some places at a time."""
    sides = [side.reshape(len(side), -1) for side in (reference, output)]
    each = max(1, BLOCK // len(rows))
    for start in range(0, sides[0].shape[1], each):
        first, second = (side[:, start : start + each][rows].astype(np.float64) for side in sides)
        yield first, second


def varies(values: Array, noise: float = 1e-6) -> bool:
    """Whether an output ``[N, *shape]`` changes from sample to sample by more than rounding."""
    if values.dtype.kind != "f":
        return bool((values != values[:1]).any())
    change = peak = 0.0
    for row in values:
        for both in blocks(row, values[0]):
            known, first = (np.nan_to_num(side, posinf=0, neginf=0) for side in both)
            change = max(change, float(np.abs(known - first).max(initial=0.0)))
            peak = max(peak, float(np.abs(known).max(initial=0.0)))
    return change > noise * peak


def follows(expected: Array, got: Array) -> bool:
    """Whether most of what varies is right; what all classes of a sample share chooses none.

    Key points and other measures have a highest one too, often of two that are nearly alike.
    """
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite follows nothing
        moved: Array = expected.astype(np.float64) - expected.mean(axis=0, dtype=np.float64)
        error: Array = got.astype(np.float64) - expected.astype(np.float64)
        own, off = (float(np.square(side - side.mean(axis=-1, keepdims=True)).sum()) for side in (moved, error))
    return own > 10 ** (FOLLOWS_DB / 10) * off
