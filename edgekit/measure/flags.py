"""Remarks in plain words on how latencies are distributed. Nothing is left out because it is flagged.

Blocks in which the device itself reports that it throttled were marked by the protocol; here they are named.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.measure.statistics import FEWEST_BLOCKS, OUTLIER_MADS, TAIL, estimate_median
from edgekit.nouns.profile import Block, Device, Estimate, Run, per_reading

Array = NDArray[np.float64]

NOTABLE = 0.03
"""A smaller difference between blocks, modes, first and last is not worth a remark."""

LOUD = 0.01
"""A larger share of the loop in an inference's time is worth a remark."""

SMALLEST_MODE = 0.1
"""A share of inferences that is smaller is a tail, not a mode."""

THINNED = 1000
"""So many inferences, evenly spaced, are tested for modes: the test takes them as independent."""

DIP_LIMITS = {
    6: 0.404, 8: 0.435, 10: 0.441, 15: 0.459, 20: 0.471, 50: 0.497, 100: 0.511, 200: 0.519, 1000: 0.535
}  # fmt: skip
"""95 % points of √n · dip for n uniform values, the worst case among distributions with one mode.

100,000 simulations for each n below 200, 20,000 above; ``tests/measure/test_flags.py`` repeats some.
"""


def remarks(blocks: Sequence[Block], latencies: Sequence[NDArray[Any] | None]) -> tuple[str, ...]:
    """All remarks on the blocks of one artifact, in the order in which they were run.

    Blocks that are not counted are named, and left out of everything else. They are called by their
    place in the whole measurement, from 1, as its progress shows them.

    Args:
        blocks: all blocks.
        latencies: those of each block in ms, ``[readings]``; None if the device gives no single ones.
    """
    rows = [(b, taken) for b, taken in zip(blocks, latencies, strict=True) if b.counted and b.latency is not None]
    medians = np.array([b.latency.middle_ms for b, _ in rows if b.latency is not None])
    names = [block.index + 1 for block, _ in rows]
    arrays = [np.asarray(taken, np.float64) for _, taken in rows if taken is not None and len(taken)]
    each = per_reading([block for block, _ in rows])
    shares = [b.harness_share for b, _ in rows if b.harness_share is not None]
    found = [
        left_out(blocks),
        untold(blocks),
        shared_readings(each),
        loud_harness(shares),
        outlying_inferences(arrays) if each == 1 else "",
        slower_blocks(medians, names) or outlying_blocks(medians, names),
        trend(medians),
        trend_within(arrays),
        modes_within(arrays),
    ]
    return tuple(remark for remark in found if remark)


def crowded(run: Run, device: Device) -> str:
    """That a run has more threads than the device, or the cores that it is pinned to, can run at once."""
    there = len(run.cores) or device.cores
    if there is None or run.threads <= there:
        return ""
    where = f"{device.id} has {there} CPU core{'s' * (there > 1)}"
    if run.cores:
        where = f"the run is pinned to {there} core{'s' * (there > 1)}"
    return f"{run.threads} threads take turns, since {where}: the latency is that of a crowded device"


def throttling(block: Block) -> tuple[str, ...]:
    """Why the device held its clock down before a block, after it, or at a moment between that it remembers."""
    states = [state for state in (block.before, block.after) if state is not None]
    reasons = [word for state in states for word in state.throttled or ()]
    known = block.before.has_throttled if block.before is not None else None
    if known is not None and block.after is not None:
        reasons += [word for word in block.after.has_throttled or () if word not in known]
    return tuple(dict.fromkeys(reasons))


def untold(blocks: Sequence[Block]) -> str:
    """That a device which remembers throttling from before a block cannot tell of it anew."""
    before = [block.before for block in blocks if block.before is not None]
    reasons = dict.fromkeys(word for state in before for word in state.has_throttled or ())
    if not reasons:
        return ""
    why = ", ".join(reasons)
    return f"the device has throttled since it started ({why}): whether it did again within a block is not known"


def left_out(blocks: Sequence[Block]) -> str:
    """Which blocks are not counted, and why, in the device's words."""
    gone = [block for block in blocks if not block.counted]
    if not gone:
        return ""
    reasons = dict.fromkeys(word for block in gone for word in throttling(block))
    why = f" ({', '.join(reasons)})" if reasons else ""
    names, one = spans([block.index + 1 for block in gone]), len(gone) == 1
    return (
        f"the device throttled{why} in block{'' if one else 's'} {names}; {'it is' if one else 'they are'} not counted"
    )


def shared_readings(each: int) -> str:
    """That several inferences share a reading of the clock."""
    if each == 1:
        return ""
    return f"an inference is too short to be timed alone: each time is the mean of {each} in a row; no percentiles"


def loud_harness(shares: Sequence[float]) -> str:
    """That the loop itself takes a part of an inference's time that is worth a remark."""
    share = float(np.median(shares)) if shares else 0.0
    return f"the timing loop itself is {100 * share:.1f} % of each time" if share > LOUD else ""


def far_out(values: Array) -> NDArray[np.bool_]:
    """Which values lie farther than `OUTLIER_MADS` from the median; none if half of them are equal."""
    away = np.abs(values - np.median(values))
    mad = float(np.median(away))
    return away > OUTLIER_MADS * mad if mad > 0 else np.zeros(len(values), bool)


def outlying_inferences(blocks: Sequence[Array]) -> str:
    """Inferences far from their own block's median."""
    far = [block[far_out(block)] for block in blocks]
    count, runs = sum(map(len, far)), sum(map(len, blocks))
    if not count:
        return ""
    worst = max(float(values.max()) for values in far if len(values))
    return f"{count} of {runs} inferences lie far from their block's median, up to {worst:.3g} ms; they are counted"


def outlying_blocks(medians: Array, names: Sequence[int]) -> str:
    """Blocks whose median lies far from those of the others, and more than `NOTABLE`."""
    if not len(medians):
        return ""
    ratios = medians / np.median(medians)
    far = np.flatnonzero(far_out(medians) & (np.abs(ratios - 1) > NOTABLE))
    told = [f"block {names[i]} took {ratios[i]:.2f} times as long" for i in far]
    return f"{', '.join(told)} as the median block; nothing is left out" if told else ""


def slower_blocks(medians: Array, names: Sequence[int]) -> str:
    """Whether blocks fall into a fast and a slow group: their medians have more than one mode (`several_modes`)."""
    if len(medians) < FEWEST_BLOCKS or not several_modes(medians):
        return ""
    limit = split(medians)
    slow, fast = medians[medians > limit], medians[medians <= limit]
    more = float(np.median(slow) / np.median(fast)) - 1
    listed = spans([name for name, median in zip(names, medians, strict=True) if median > limit])
    return f"blocks {listed} were slower than the others by {_percent(more)}" if more > NOTABLE else ""


def spans(names: Sequence[int]) -> str:
    """Numbers in ascending order as a reader would write them: ``1, 4–7``."""
    groups: list[list[int]] = []
    for name in names:
        if groups and name == groups[-1][-1] + 1:
            groups[-1].append(name)
        else:
            groups.append([name])
    return ", ".join(str(group[0]) if len(group) == 1 else f"{group[0]}–{group[-1]}" for group in groups)


def trend(medians: Array) -> str:
    """Whether latency rose or fell over the blocks, by more than chance orders them.

    The order must be told from chance by the Mann–Kendall test (Mann 1945, Econometrica 13:245; exact, 5 %),
    and the median slope (Sen 1968, J. Am. Stat. Assoc. 63:1379) must come to more than `NOTABLE` from the first
    block to the last. The last block by the first alone says nothing: between processes that vary by 17 % it
    is off by more than 3 % nine times out of ten.
    """
    n = len(medians)
    if n < FEWEST_BLOCKS:
        return ""
    first, second = np.triu_indices(n, 1)
    rises = medians[second] - medians[first]
    if not _orderly(int((rises > 0).sum()), int((rises < 0).sum()), n):
        return ""
    change = float(np.median(rises / (second - first))) * (n - 1) / float(np.median(medians))
    return f"latency {_moved(change)} from the first block to the last" if abs(change) > NOTABLE else ""


def _orderly(rising: int, falling: int, n: int) -> bool:
    """Whether so few of the pairs contradict the order that chance does it in at most 5 % of cases; ties contradict."""
    chances = np.ones(1)  # of each number of inversions in a random order of n
    for size in range(2, n + 1):
        chances = np.convolve(chances, np.full(size, 1 / size))
    contrary = len(chances) - 1 - max(rising, falling)
    return bool(chances[: contrary + 1].sum() <= TAIL)


def trend_within(blocks: Sequence[Array]) -> str:
    """Whether latency rose or fell within blocks: each one's last quarter by its first, over blocks."""
    long = [block for block in blocks if len(block) >= 8]
    ratios = [float(np.median(b[-(len(b) // 4) :]) / np.median(b[: len(b) // 4])) for b in long]
    seen: Estimate = estimate_median(ratios)
    if seen.value is None or seen.low is None or seen.high is None or seen.low <= 1 <= seen.high:
        return ""
    change = seen.value - 1
    return f"latency {_moved(change)} within a block" if abs(change) > NOTABLE else ""


def _moved(change: float) -> str:
    return f"{'rose' if change > 0 else 'fell'} by {_percent(abs(change))}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def modes_within(blocks: Sequence[Array]) -> str:
    """Whether inferences of one process have several modes, as on cores of two kinds or at two clock speeds."""
    most = max(THINNED // max(len(blocks), 1), 1)
    thinned = [block[:: math.ceil(len(block) / most)] / np.median(block) for block in blocks]
    values = np.concatenate([np.zeros(0), *thinned])
    if len(values) < min(DIP_LIMITS) or not several_modes(values):
        return ""
    limit = split(values)
    slow, fast = values[values > limit], values[values <= limit]
    more, share = float(np.median(slow) / np.median(fast)) - 1, len(slow) / len(values)
    if more <= NOTABLE or not SMALLEST_MODE <= share <= 1 - SMALLEST_MODE:
        return ""
    return f"within blocks latency has two modes or more: {_percent(share)} are slower by {_percent(more)}"


def split(values: Array) -> float:
    """The largest value of the lower of two groups with the least squares within them (2-means, exact in 1-D)."""
    ordered = np.sort(values)
    n, sums = len(ordered), np.cumsum(ordered)
    k = np.arange(1, n)
    between = (sums[:-1] - k * sums[-1] / n) ** 2 / (k * (n - k))
    return float(ordered[int(np.argmax(between))])


def several_modes(values: Array) -> bool:
    """Whether the dip is larger than that of 95 % of uniform samples (Hartigan & Hartigan 1985, Ann. Stat. 13:70).

    Of 10 blocks a group is seen from 4 on; a smaller one is seen by `far_out`. Rejected: Ashman's D > 2 on a
    2-means split (Ashman et al. 1994, Astron. J. 108:2348), which is 2.65 for the halves of a normal distribution.
    """
    n, sizes = len(values), list(DIP_LIMITS)
    limit = float(np.interp(math.log(n), np.log(sizes), list(DIP_LIMITS.values())))
    return math.sqrt(n) * dip(values) > limit


def dip(values: Array) -> float:
    """The largest distance between a sample's distribution and the nearest one with a single mode.

    Hartigan 1985, Appl. Stat. 34:320 (AS 217): the mode is enclosed by ever smaller intervals in which the
    greatest convex minorant and the least concave majorant lie farthest apart. A coarse clock makes equal
    values, which are first spread evenly over its step.
    """
    x = _spread(np.sort(values))
    n = len(x)
    rank = np.arange(n + 1) / n
    low, high = rank[:-1], rank[1:]
    distance, first, last = 1 / n, 0, n
    while True:
        part, lower, upper = x[first:last], low[first:last], high[first:last]
        under, over = _minorant(part, lower), _minorant(part, -upper)
        convex = np.interp(part, part[under], lower[under])
        concave = np.interp(part, part[over], upper[over])
        gaps = concave - convex
        gap = max(gaps[under].max(), gaps[over].max())
        if gap <= distance:
            return float(distance / 2)
        if gaps[under].max() >= gaps[over].max():
            left = under[int(np.argmax(gaps[under]))]
            right = over[over >= left][0]
        else:
            right = over[np.flatnonzero(gaps[over] == gap)[-1]]
            left = under[under <= right][-1]
        outside = max((upper - convex)[: left + 1].max(), (concave - lower)[right:].max())
        distance = max(distance, outside)
        if left == 0 and right == len(part) - 1:
            return float(distance / 2)
        first, last = first + int(left), first + int(right) + 1


def _spread(ordered: Array) -> Array:
    """Equal values spread over the smallest step between values, so that all differ."""
    distinct, where, counts = np.unique(ordered, return_inverse=True, return_counts=True)
    step = float(np.diff(distinct).min()) if len(distinct) > 1 else 1.0
    within = np.arange(len(ordered)) - (np.cumsum(counts) - counts)[where]
    return np.asarray(ordered + step * ((within + 0.5) / counts[where] - 0.5), np.float64)


def _minorant(x: Array, y: Array) -> NDArray[np.int64]:
    """Indices of the vertices of the greatest convex function below the points (monotone chain)."""
    hull: list[int] = []
    for i in range(len(x)):
        while len(hull) > 1 and (y[hull[-1]] - y[hull[-2]]) * (x[i] - x[hull[-1]]) >= (y[i] - y[hull[-1]]) * (
            x[hull[-1]] - x[hull[-2]]
        ):
            hull.pop()
        hull.append(i)
    return np.array(hull, np.int64)
