"""The parts of an output, each judged for itself: a whole tensor's SQNR hides one that is small.

Parts are the branches that the network concatenates at its end (`edgekit.waist.branches`), and beside
them the columns: the slices along an axis, each of which may mean something else.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edgekit.nouns.verification import Made, OutputPart
from edgekit.waist.rows import pieces
from edgekit.waist.tensors import BLOCK, IDENTICAL_DB, Array, blocks

FLOOR_DB = 3.0
"""SQNR below which a quantized output, or part of one, is of no use: half of its energy is error.

An answer of nothing but zeros has 0 dB, whatever the network. Columns of healthy int8 networks (eight of
the shared ones, from keyword spotting to EfficientNet) have 14 dB and more; scores beside boxes in pixels,
which int8 loses, have 0 dB.
"""

SILENT = 0.05
"""A probability that no sample takes further from 0, or from 1, has not been asked for: 13 steps of 8 bits."""

RARELY = 0.9
"""A part that is exactly 0 in more than this share of its values is a feature behind a ReLU that hardly fires."""

FEWEST_VALUES = 16
"""A column of fewer values is not judged: a single logit near 0 has any SQNR."""

MOST_COLUMNS = 1024
"""Axes that are longer hold positions, not meanings."""

NOISE = 1e-5
"""Share of an output's largest magnitude below which a variation is rounding in single precision."""


@dataclass(frozen=True)
class Slices:
    """Sums over every slice along one axis, each array ``[slices]``."""

    signal: NDArray[np.float64]
    noise: NDArray[np.float64]
    source: tuple[NDArray[np.float64], NDArray[np.float64]]
    got: tuple[NDArray[np.float64], NDArray[np.float64]]
    zeros: NDArray[np.float64]
    values: int

    def joined(self, start: int, stop: int) -> "Slices":
        """Several slices as one."""
        part = slice(start, stop)
        return Slices(
            self.signal[part].sum(keepdims=True),
            self.noise[part].sum(keepdims=True),
            (self.source[0][part].min(keepdims=True), self.source[1][part].max(keepdims=True)),
            (self.got[0][part].min(keepdims=True), self.got[1][part].max(keepdims=True)),
            self.zeros[part].sum(keepdims=True),
            self.values * (stop - start),
        )

    @property
    def sqnr_db(self) -> NDArray[np.float64]:
        """SQNR of every slice; `IDENTICAL_DB` without noise."""
        with np.errstate(divide="ignore", invalid="ignore"):
            found = 10 * np.log10(self.signal / self.noise)
        clipped: NDArray[np.float64] = np.where(self.noise == 0, IDENTICAL_DB, np.clip(found, -999.0, IDENTICAL_DB))
        return clipped


def slices(reference: Array, output: Array, axis: int) -> Slices:
    """Sums over the slices of ``[N, *shape]`` along ``axis`` of the shape, if both sides are finite."""
    n = reference.shape[axis + 1]
    sums = np.zeros((3, n))
    low, high = np.full((2, n), np.inf), np.full((2, n), -np.inf)
    for part, a, b in sides(reference, output, axis):
        known = np.isfinite(a) & np.isfinite(b)
        sums[:, part] += [
            np.square(np.where(known, a, 0)).sum(1),
            np.square(np.where(known, a, 0) - np.where(known, b, 0)).sum(1),
            (a == 0).sum(1),
        ]
        for side, values in enumerate((a, b)):
            low[side, part] = np.minimum(low[side, part], np.where(known, values, np.inf).min(1, initial=np.inf))
            high[side, part] = np.maximum(high[side, part], np.where(known, values, -np.inf).max(1, initial=-np.inf))
    values = reference[0].size // n * len(reference)
    return Slices(sums[0], sums[1], (low[0], high[0]), (low[1], high[1]), sums[2], values)


def sides(
    reference: Array, output: Array, axis: int
) -> Iterator[tuple[slice, NDArray[np.float64], NDArray[np.float64]]]:
    """Some slices along an axis of both sides, ``[slices, values]`` in float64, and which: `BLOCK` values at most."""
    n = reference.shape[axis + 1]
    each = max(1, reference[0].size // n)
    together = max(1, BLOCK // each)
    for r, g in zip(reference, output, strict=True):
        first, second = np.moveaxis(r, axis, 0), np.moveaxis(g, axis, 0)
        for start in range(0, n, together):
            part = slice(start, min(start + together, n))
            a, b = (side[part].reshape(part.stop - part.start, -1) for side in (first, second))
            for left in range(0, each, BLOCK):
                some = slice(left, left + BLOCK)
                yield part, a[:, some].astype(np.float64), b[:, some].astype(np.float64)


class Compared:
    """Both sides of an output, float ``[N, *shape]``; what is summed over them is summed once."""

    def __init__(self, reference: Array, output: Array) -> None:
        self.reference, self.output = reference, output
        self._along: dict[int, Slices] = {}

    @cached_property
    def peak(self) -> float:
        """The largest finite magnitude of the source."""
        pairs = blocks(self.reference, self.reference)
        return max((float(np.abs(a[np.isfinite(a)]).max(initial=0.0)) for a, _ in pairs), default=0.0)

    def along(self, axis: int) -> Slices:
        """Sums over the slices along an axis of the shape; see `slices`."""
        if axis not in self._along:
            self._along[axis] = slices(self.reference, self.output, axis)
        return self._along[axis]


def worst(both: Compared, made: Made | None) -> tuple[OutputPart, ...]:
    """The branch that comes least close, of those that the samples ask for, and a column that is lost in none that is.

    Args:
        both: the source's output and the artifact's.
        made: how the output came to be; without it there are only columns.
    """
    cuts = {} if made is None else made.cuts
    branches = [part for axis in cuts for part in _branches(both, axis, cuts[axis])]
    columns = [part for axis in told_axes(both.reference) for part in _columns(both, axis, cuts.get(axis, ()))]
    found = sorted(branches, key=_rank)[:1]
    lost = [] if any(map(is_lost, found)) else [part for part in columns if is_lost(part)]
    return (*found, *sorted(lost, key=_rank)[:1])


def _rank(part: OutputPart) -> tuple[bool, float]:
    return not is_lost(part), _db(part)


def is_lost(part: OutputPart) -> bool:
    """Whether a part carries nothing any more."""
    return part.constant or _db(part) < FLOOR_DB


def _db(part: OutputPart) -> float:
    return IDENTICAL_DB if part.sqnr_db is None else part.sqnr_db


def told_axes(reference: Array, cuts: Iterable[int] = ()) -> list[int]:
    """Axes along which a slice may have a meaning: any, since heads keep scores behind anchors, before places."""
    return sorted({*cuts, *(axis for axis, size in enumerate(reference.shape[1:]) if 2 <= size <= MOST_COLUMNS)})


def rare(part: Slices) -> NDArray[np.bool_]:
    """Whether slices hold features that hardly fire: see `RARELY`."""
    found: NDArray[np.bool_] = (part.source[0] >= 0) & (part.zeros > RARELY * part.values)
    return found


def _branches(both: Compared, axis: int, cuts: tuple[int, ...]) -> Iterator[OutputPart]:
    whole = both.along(axis)
    ends = (0, *cuts, both.reference.shape[axis + 1])
    for start, stop in pairwise(ends):
        part = whole.joined(start, stop)
        if asked_for(part, both.peak)[0] or _lost_constant(part, both.peak):
            yield _part(part, 0, name_of(both.reference, axis, start, stop), branch=True)


def _columns(both: Compared, axis: int, cuts: tuple[int, ...]) -> Iterator[OutputPart]:
    whole = both.along(axis)
    if whole.values < FEWEST_VALUES:
        return
    judged = np.flatnonzero(columns_asked_for(both, axis, cuts) & ~rare(whole))
    if len(judged):
        order = np.where(constant(whole), -np.inf, whole.sqnr_db)
        index = int(judged[np.argmin(order[judged])])
        yield _part(whole, index, name_of(both.reference, axis, index, index + 1), branch=False)


def columns_asked_for(both: Compared, axis: int, cuts: tuple[int, ...]) -> NDArray[np.bool_]:
    """`asked_for` of the slices along an axis.

    A class that no sample raises stands beside others that some do: scores of a detector are probabilities, whatever
    boxes in pixels they are joined to. A branch that no sample raises at all is judged by the whole output's peak.
    """
    whole = both.along(axis)
    peaks = np.full(len(whole.signal), both.peak)
    for start, stop in pairwise((0, *cuts, len(peaks))):
        low, high = whole.joined(start, stop).source
        if (own := max(-float(low[0]), float(high[0]))) >= SILENT:
            peaks[start:stop] = own
    return asked_for(whole, peaks)


def asked_for(part: Slices, peak: float | NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether the samples show anything of a slice: it varies, and is no probability that no sample raises.

    Args:
        part: the slices.
        peak: the largest magnitude among slices that are like it, of each slice or of all: up to 1 their values may be
            probabilities.
    """
    low, high = part.source
    never = (high < SILENT) & (part.got[1] < SILENT)
    always = (low > 1 - SILENT) & (part.got[0] > 1 - SILENT)
    silent = (low >= 0) & (never | always) & (peak <= 1 + NOISE)
    judged: NDArray[np.bool_] = (high - low > NOISE * peak) & ~silent
    return judged


def is_silent(reference: Array, output: Array) -> bool:
    """Whether an output holds probabilities each of which both sides keep at 0, or at 1, for every sample."""
    if reference.dtype.kind != "f":
        return False
    ends = np.round(np.asarray(reference[:1], np.float64))
    return bool(
        np.isin(ends, (0, 1)).all()
        and all(
            reference[rows].min(initial=0.0) >= 0
            and reference[rows].max(initial=0.0) <= 1 + NOISE
            and all((np.abs(np.asarray(side[rows], np.float64) - ends) < SILENT).all() for side in (reference, output))
            for rows in pieces(reference)
        )
    )


def _lost_constant(part: Slices, peak: float) -> bool:
    """A branch that is constant in the source counts if the artifact is off by a visible share of the output."""
    low, high = part.source
    off = max(abs(float(part.got[0][0] - low[0])), abs(float(part.got[1][0] - high[0])))
    return bool(high[0] - low[0] <= NOISE * peak and off > SILENT * peak)


def constant(part: Slices) -> NDArray[np.bool_]:
    """Whether a slice has one value only in the artifact."""
    same: NDArray[np.bool_] = part.got[0] == part.got[1]
    return same


def _part(part: Slices, index: int, name: str, *, branch: bool) -> OutputPart:
    decibels = float(part.sqnr_db[index])
    return OutputPart(
        name=name,
        branch=branch,
        sqnr_db=None if decibels == IDENTICAL_DB else decibels,
        constant=bool(constant(part)[index]),
    )


def name_of(reference: Array, axis: int, start: int, stop: int) -> str:
    """What a part is called: channels of an image or a sequence, columns of a table."""
    what = "columns" if axis == reference.ndim - 2 else "channels" if axis == 1 else f"axis {axis}, indices"
    if stop - start == 1:
        return f"{what.removesuffix('s').replace('indice', 'index')} {start}"
    return f"{what} {start}..{stop - 1}"
