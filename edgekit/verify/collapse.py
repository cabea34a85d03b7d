"""Outputs, channels and columns that vary in the source and do not in the artifact, or end where the source goes on.

A detector that concatenates boxes in pixels and scores in 0..1 loses the scores in int8: they share one scale, and are
constant. Boxes that calibration never saw so large are clipped. An SQNR of the whole tensor shows neither.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.nouns.verification import Made, OutputPart
from edgekit.verify.parts import (
    FEWEST_VALUES,
    NOISE,
    SILENT,
    Compared,
    Slices,
    asked_for,
    columns_asked_for,
    constant,
    name_of,
    rare,
    sides,
    told_axes,
)
from edgekit.waist.tensors import IDENTICAL_DB, Array, blocks

BEYOND = 0.05
"""A value is clipped if it lies beyond the ends of the artifact's by this share of its range: no rounding does."""

BEYOND_STEPS = 2.0
"""And by this many steps of the artifact's levels: a softmax in int8 ends at 255/256, where its source reaches 1."""

CLIPPED = 0.02
"""Share of a part's values that are clipped, from which on that is told: ranges of percentiles clip a hundredth."""

FEWEST_CLIPPED = 3
"""The fewest such values: the error of many operators moves the one or two that lie farthest out, and clips nothing."""

HARMED_DB = 25.0
"""SQNR below which a part that is clipped has lost by it: ranges that err least clip outliers, at no harm."""

LOOKED_AT = 1 << 16
"""Values from which the step of an output's levels is read."""

NAMED = 4
"""The most parts of an output that are named."""

Shares = NDArray[np.float64]


class Whole(NamedTuple):
    """What is known of a whole output: the source's peak, and the least margin beyond its ends (`BEYOND_STEPS`)."""

    peak: float
    margin: float


def collapsed(both: Compared, made: Made | None) -> tuple[OutputPart, ...]:
    """Parts of an output that are constant or clipped in the artifact, neighbours as one, the largest first.

    Args:
        both: the source's output and the artifact's.
        made: how the output came to be: a branch stands for its columns.

    Returns:
        At most `NAMED`; one without a name is the whole output.
    """
    reference, output = both.reference, both.output
    if len(reference) < 2 or not reference[0].size:
        return ()
    told = Whole(both.peak, BEYOND_STEPS * _step(output))
    whole = both.along(0) if reference.ndim > 1 else None
    if whole is not None and (share := _clipped_whole(reference, output, whole, told)) >= CLIPPED:
        return (OutputPart(name="", branch=False, sqnr_db=_db(whole.joined(0, len(whole.signal))), clipped=share),)
    cuts = {} if made is None else made.cuts
    found = [part for axis in told_axes(reference, cuts) for part in _along(both, axis, cuts.get(axis, ()), told)]
    return tuple(sorted(found, key=lambda part: (not part.constant, -part.clipped))[:NAMED])


def _along(both: Compared, axis: int, cuts: tuple[int, ...], told: Whole) -> Iterator[OutputPart]:
    """Stretches of slices along an axis that are constant, and such that are clipped; they end where branches do."""
    seen, reference = both.along(axis), both.reference
    if seen.values < FEWEST_VALUES:
        return
    judged = columns_asked_for(both, axis, cuts) & ~rare(seen)
    level = constant(seen)
    flat = judged & (level | _unmoved(both, axis, cuts, told.margin))
    beyond = np.where(judged & ~flat, _beyond(reference, both.output, axis, seen, told.margin), 0.0)
    for is_constant, chosen in ((True, flat), (False, (beyond >= CLIPPED) & (seen.sqnr_db < HARMED_DB))):
        if chosen.all() and reference.shape[axis + 1] > 1 and is_constant:
            continue  # the whole output is, which is told as such
        for start, stop in _stretches(chosen, cuts):
            joined = seen.joined(start, stop)
            yield OutputPart(
                name=name_of(reference, axis, start, stop),
                branch=_is_branch(start, stop, cuts, len(chosen))
                and (not is_constant or bool(level[start:stop].all())),
                sqnr_db=_db(joined),
                constant=is_constant,
                clipped=0.0 if is_constant else float(beyond[start:stop].max()),
            )


def _is_branch(start: int, stop: int, cuts: tuple[int, ...], length: int) -> bool:
    return bool(cuts) and start in {0, *cuts} and stop in {*cuts, length}


def _unmoved(both: Compared, axis: int, cuts: tuple[int, ...], margin: float) -> NDArray[np.bool_]:
    """Whether slices are the same for every sample in the artifact alone, such as boxes that are but their anchors.

    The source must move a slice by more than rounding hides, unless a whole branch stands still: a place that is always
    background moves by less. Of probabilities it must move one by what counts at all.
    """
    first, *others = (np.moveaxis(row, axis, 0) for row in both.output)
    same = np.ones(len(first), np.bool_)
    for other in others:
        same[same] = ~(other[same] != first[same]).reshape(np.count_nonzero(same), -1).any(1)
        if not same.any():
            return same
    change = np.zeros(np.count_nonzero(same))
    first, *others = (np.moveaxis(row, axis, 0)[same].astype(np.float64) for row in both.reference)
    for other in others:
        known = np.isfinite(other) & np.isfinite(first)
        moved = np.subtract(other, first, out=np.zeros(known.shape), where=known)
        change = np.maximum(change, np.abs(moved).reshape(len(change), -1).max(1, initial=0.0))
    least = np.full(len(same), max(margin, NOISE * both.peak))
    for start, stop in pairwise((0, *cuts, len(same)) if cuts else ()):
        if same[start:stop].all():
            least[start:stop] = NOISE * both.peak
    same[same] = change > np.maximum(least[same], SILENT if both.peak <= 1 else 0.0)
    return same


def _stretches(chosen: NDArray[np.bool_], cuts: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Where neighbours that are chosen begin and end; a cut parts them."""
    ends = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]]).astype(np.int8)))
    for start, stop in ends.reshape(-1, 2):
        inner = [cut for cut in cuts if start < cut < stop]
        yield from pairwise((int(start), *inner, int(stop)))


def _beyond(reference: Array, output: Array, axis: int, seen: Slices, least_margin: float) -> Shares:
    """For each slice the share of the source's values that lie beyond the ends of the artifact's."""
    (low, high), (least, most) = seen.source, seen.got
    margin = np.maximum(BEYOND * (high - low), least_margin)
    if not ((high > most + margin) | (low < least - margin)).any():
        return np.zeros(len(low))
    counted = np.zeros(len(low))
    for part, a, b in sides(reference, output, axis):
        ends = least[part, None], most[part, None]
        counted[part] += _cut_off(a, b, ends, margin[part, None]).sum(1)
    return np.where(counted < FEWEST_CLIPPED, 0.0, counted / seen.values)


def _cut_off[Ends: (float, Shares)](a: Shares, b: Shares, ends: tuple[Ends, Ends], margin: Ends) -> NDArray[np.bool_]:
    """Which values of the source lie beyond the artifact's ends, where the artifact's own are at that end.

    Noise moves them in by other amounts each; what clips leaves them in one place.
    """
    least, most = ends
    cut: NDArray[np.bool_] = (a > most + margin) & (b > most - margin / 2)
    cut |= (a < least - margin) & (b < least + margin / 2)
    return cut


def _clipped_whole(reference: Array, output: Array, seen: Slices, told: Whole) -> float:
    """The share of all values of an output that lie beyond the ends of the artifact's; 0 if constant or unharmed."""
    joined = seen.joined(0, len(seen.signal))
    if joined.values < FEWEST_VALUES or not asked_for(joined, told.peak)[0] or constant(joined)[0]:
        return 0.0
    if joined.sqnr_db[0] >= HARMED_DB:
        return 0.0
    (low, high), (least, most) = ((float(side[0]) for side in ends) for ends in (joined.source, joined.got))
    margin = max(BEYOND * (high - low), told.margin)
    counted = sum(int(_cut_off(a, b, (least, most), margin).sum()) for a, b in blocks(reference, output))
    return counted / reference.size if counted >= FEWEST_CLIPPED else 0.0


def _step(output: Array) -> float:
    """The least distance of two values of an output, of those that are looked at: next to nothing if it is no grid."""
    levels = np.unique(output.ravel()[:LOOKED_AT].astype(np.float64))
    gaps = np.diff(levels[np.isfinite(levels)])
    return float(gaps.min(initial=np.inf)) if gaps.size else 0.0


def _db(part: Slices) -> float | None:
    level = float(part.sqnr_db[0])
    return None if level == IDENTICAL_DB else level
