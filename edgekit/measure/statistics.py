"""Figures with intervals, from blocks. A block, a fresh process, is the unit of replication.

Processes differ more than inferences within one do, so that thousands of inferences in one process
are one observation of the process. Every interval here is at 95 % and over blocks; each method was
chosen by its coverage in simulations (docs/explanation/measurement.md, ``tests.studies.measurement.coverage``).
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgekit.nouns.profile import Comparison, Estimate, Latency

CONFIDENCE = 0.95
"""Confidence of every interval; each side misses with at most half of the rest."""

TAIL = (1 - CONFIDENCE) / 2
"""How often each end of an interval may miss."""

FEWEST_BLOCKS = 6
"""Below this not even the smallest and the largest of n enclose a median with 95 %: 2 · 0.5⁵ = 6.25 %."""

RESAMPLES = 4000
"""Bootstrap samples; 1,000 suffice for an interval's end, more make it steadier (Efron & Tibshirani 1993, §12)."""

OUTLIER_MADS = 14.8
"""Farther from the median than this many median absolute deviations is far out: 10 σ of a normal distribution."""

EQUAL = 1e-9
"""Values that differ by no more than this share of them are equal: 1 ns in a second is all that a clock tells."""

NORMAL = 1.959964
"""The 97.5 % point of the normal distribution."""

Array = NDArray[np.float64]


def binomial(n: int, p: float) -> Array:
    """Probabilities of 0 … n successes in n trials, ``[n + 1]``; by logarithms, exact to rounding."""
    k = np.arange(n + 1)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    log = factorials[n] - factorials - factorials[::-1] + k * math.log(p) + (n - k) * math.log1p(-p)
    return np.asarray(np.exp(log), np.float64)


def ranks(n: int, q: float) -> tuple[int | None, int | None]:
    """Which of n sorted, independent values enclose the q-quantile with 95 %; None if no value does.

    The exact distribution-free interval (David & Nagaraja 2003, Order Statistics, §7.1), from 1.
    """
    chances = binomial(n, q)
    low = int(np.sum(np.cumsum(chances) <= TAIL))
    high = n + 1 - int(np.sum(np.cumsum(chances[::-1]) <= TAIL))
    return low or None, high if high <= n else None


def fewest(q: float) -> int:
    """The smallest n at which n independent values enclose the q-quantile with 95 %.

    The largest of n lies below the quantile with probability qⁿ, which must not exceed 2.5 %:
    36 for p90, 72 for p95, 368 for p99, and 6 for the median.
    """
    return math.ceil(math.log(TAIL) / math.log(max(q, 1 - q)))


def estimate_median(values: Sequence[float]) -> Estimate:
    """The median over blocks of one value a block, with its order-statistic interval.

    Makes no assumption about how blocks are distributed. Below `FEWEST_BLOCKS` there is a value but no
    interval; without values there is neither.
    """
    n = len(values)
    if n == 0:
        return Estimate(value=None, reason="there are no blocks")
    median = float(np.median(values))
    if n < FEWEST_BLOCKS:
        return Estimate(value=median, n=n, reason=_few(n))
    ordered = sorted(values)
    low, high = ranks(n, 0.5)
    assert low is not None
    assert high is not None
    return Estimate(value=median, low=float(ordered[low - 1]), high=float(ordered[high - 1]), n=n)


def _few(n: int, what: str = "blocks") -> str:
    return f"{n} {what} give no 95 % interval; that needs {FEWEST_BLOCKS}"


def estimate_mean(values: Sequence[float], seed: int = 0) -> Estimate:
    """The mean over blocks of one value a block, with a symmetric bootstrap-t interval over blocks.

    Efron & Tibshirani 1993, §12.5; symmetric after Hall 1988 (J. R. Stat. Soc. B 50:35). The percentile
    bootstrap covers 85–90 % instead of 95 at 10 blocks.
    """
    x = np.asarray(values, np.float64)
    n = len(x)
    if n == 0:
        return Estimate(value=None, reason="there are no blocks")
    mean = float(x.mean())
    if n < FEWEST_BLOCKS:
        return Estimate(value=mean, n=n, reason=_few(n))
    drawn = x[np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))]
    away, spread = np.abs(drawn.mean(axis=1) - mean), drawn.std(axis=1, ddof=1)
    equal = EQUAL * float(np.abs(x).max())
    # n times the same block has no spread: infinitely far away, unless it is the mean itself.
    t = np.divide(away, spread, out=np.where(away > equal, np.inf, 0.0), where=spread > equal)
    half = float(np.quantile(t, CONFIDENCE, method="higher") * x.std(ddof=1)) if x.std() > equal else 0.0
    if not math.isfinite(half):
        return Estimate(value=mean, n=n, reason="most blocks are equal to the last digit, so that no interval is told")
    return Estimate(value=mean, low=mean - half, high=mean + half, n=n)


def student(df: int) -> float:
    """The 97.5 % point of Student's t, from the normal one by its expansion (Abramowitz & Stegun 26.7.5).

    Good to 0.1 % from 5 degrees of freedom on.
    """
    z = NORMAL
    terms: tuple[float, ...] = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / float(df) ** power for power, term in enumerate(terms, 1))


def percentile(latencies_by_block: Sequence[Array], q: float) -> Estimate:
    """A percentile of an inference's latency over all processes, with an interval over blocks.

    Every block weighs alike, else fast processes, which do more inferences in their time, would count
    more. ``value`` is None for fewer inferences than `fewest`. The interval is the order-statistic one
    (Woodruff 1952, J. Am. Stat. Assoc. 47:635) for as many *independent* inferences as the blocks are
    worth: q (1 - q) by the variance over blocks of each block's share of inferences up to the value,
    reduced for the few blocks that tell that variance (Korn & Graubard 1998, Survey Methodology
    24:193). If that number is too small, ``low`` or ``high`` is None, for ``reason``: ten processes
    that differ cannot say how slow one in a hundred is.

    Args:
        latencies_by_block: for each block ``[runs]``, in any unit.
        q: between 0 and 1; 0.9 for p90.
    """
    blocks = [block for block in latencies_by_block if len(block)]
    count, runs = len(blocks), sum(map(len, blocks))
    name, needed = f"p{100 * q:g}", fewest(q)
    if runs < needed:
        return Estimate(value=None, n=runs, reason=f"n too small: {runs} inferences, {name} needs {needed}")
    pooled = np.concatenate(blocks)
    weights = np.concatenate([np.full(len(block), 1 / (count * len(block))) for block in blocks])
    order = np.argsort(pooled, kind="stable")
    ordered, share = pooled[order], np.cumsum(weights[order])
    value = _at(ordered, share, q)
    if count < FEWEST_BLOCKS:
        return Estimate(value=value, n=runs, reason=_few(count))
    worth = _worth(blocks, value, q)
    low, high = ranks(worth, q)
    ends = [None if rank is None else _at(ordered, share, rank / (worth + 1)) for rank in (low, high)]
    reason = ""
    if None in ends:
        end = "upper" if high is None else "lower"
        reason = (
            f"the blocks differ so much that their inferences are worth {worth} independent ones: "
            f"{name} has no {end} limit below {needed}"
        )
    return Estimate(value=value, low=ends[0], high=ends[1], n=runs, reason=reason)


def _at(ordered: Array, share: Array, q: float) -> float:
    """The smallest value up to which at least a share q of the weight lies."""
    return float(ordered[min(int(np.searchsorted(share, q - 1e-12)), len(ordered) - 1)])


def _worth(blocks: Sequence[Array], value: float, q: float) -> int:
    """How many independent inferences the blocks are worth at a percentile (see `percentile`)."""
    runs, count = sum(map(len, blocks)), len(blocks)
    below = np.array([np.mean(block <= value) for block in blocks])
    variance = float(below.var(ddof=1)) / count
    if variance * runs <= q * (1 - q):  # blocks that differ by no more than chance are not worth more than all
        return runs
    return min(runs, max(1, int(q * (1 - q) / variance * (NORMAL / student(count - 1)) ** 2)))


def latency(blocks: Sequence[Array], init_ms: Sequence[float | None], first_ms: Sequence[float | None]) -> Latency:
    """Latency over the counted blocks.

    Args:
        blocks: times of each counted block in ms, ``[readings]``.
        init_ms: what each of the same blocks took to load, None if it did not say.
        first_ms: what its first inference took.
    """
    filled = [np.asarray(block, np.float64) for block in blocks if len(block)]
    return Latency(
        blocks=len(filled),
        runs=sum(map(len, filled)),
        seconds=float(sum(block.sum() for block in filled)) / 1e3,
        init_ms=told(init_ms),
        first_ms=told(first_ms),
        median_ms=estimate_median([float(np.median(block)) for block in filled]),
        p90_ms=percentile(filled, 0.9),
        p99_ms=percentile(filled, 0.99),
        mean_ms=estimate_mean([float(block.mean()) for block in filled]),
    )


def told(values: Sequence[float | None]) -> Estimate:
    """`estimate_median` of what the blocks told, with a reason if none did."""
    known = [value for value in values if value is not None]
    return estimate_median(known) if known else Estimate(value=None, reason="the device does not tell")


def compare(a: Sequence[float], b: Sequence[float], tail: float = TAIL) -> Comparison:
    """Whether A is faster than B, from the medians of blocks that were run in pairs.

    The ratio is the Hodges–Lehmann estimate over the pairs' log-ratios (the median of the means of all
    two of them), its interval the exact one that inverts Wilcoxon's signed-rank test (Hodges & Lehmann
    1963, Ann. Math. Stat. 34:598; Hollander & Wolfe 1999, Nonparametric Statistical Methods, §3.2–3.3).
    It needs log-ratios that are symmetric about their centre, which holds exactly if A and B are the
    same, since then each pair could as well have been drawn the other way round: at most 5 % false alarms
    whatever the blocks' distribution. It needs no seed, and swapping A and B inverts the result exactly.

    Args:
        a: medians of A's blocks, ``[pairs]``, above 0.
        b: those of B's in the same unit; index *i* of both is one pair.
        tail: how often each end of the interval may miss.

    Raises:
        ValueError: they are not of one length, or not all finite and above 0.
    """
    if len(a) != len(b) or not all(0 < value < math.inf for value in (*a, *b)):
        raise ValueError("compare needs pairs of finite times above 0")
    n = len(a)
    if n == 0:
        return Comparison(ratio=None, reason="there are no pairs")
    logs = np.log(np.asarray(a, np.float64)) - np.log(np.asarray(b, np.float64))
    first, second = np.triu_indices(n)
    walsh = np.sort((logs[first] + logs[second]) / 2)
    ratio = math.exp(float(np.median(walsh)))
    if n < FEWEST_BLOCKS:
        return Comparison(ratio=ratio, pairs=n, reason=_few(n, "pairs"))
    rank = _signed_rank(n, tail)
    if not rank:
        return Comparison(ratio=ratio, pairs=n, reason=f"{n} pairs give no {1 - 2 * tail:.1%} interval")
    low, high = math.exp(walsh[rank - 1]), math.exp(walsh[-rank])
    where = "lies below 1" if high < 1 else "lies above 1" if low > 1 else f"contains 1{_wild(logs)}"
    return Comparison(
        ratio=ratio,
        low=low,
        high=high,
        pairs=n,
        verdict="faster" if high < 1 else "slower" if low > 1 else "no difference shown",
        reason=f"the {100 * (1 - 2 * tail):.3g} % interval {low:.3g}–{high:.3g} {where}",
    )


def _signed_rank(n: int, tail: float) -> int:
    """Which of the n (n + 1) / 2 sorted Walsh averages, from 1, ends the interval at either side; 0: none does."""
    chances = np.zeros(n * (n + 1) // 2 + 1)  # of each sum of the ranks 1 … n that carry a plus sign
    chances[0] = 1.0
    for rank in range(1, n + 1):
        chances[rank:] = (chances[rank:] + chances[:-rank]) / 2
        chances[:rank] /= 2
    return int(np.sum(np.cumsum(chances) <= tail))


def apart(a: Sequence[float], b: Sequence[float], tail: float = TAIL) -> Estimate:
    """How many times B's values are A's, from blocks that were *not* run in pairs.

    The Hodges–Lehmann estimate over all quotients of a block of A by one of B, with the exact interval that inverts
    the rank-sum test of Wilcoxon, Mann and Whitney (Hollander & Wolfe 1999, §4.3–4.4). What the device did between
    two sessions is not in it.

    Args:
        a: a figure of A's blocks, above 0.
        b: the same of B's, in the same unit.
        tail: how often each end of the interval may miss.
    """
    if not len(a) or not len(b):
        return Estimate(value=None, reason="there are no blocks")
    logs = np.sort(np.subtract.outer(np.log(np.asarray(a, np.float64)), np.log(np.asarray(b, np.float64))).ravel())
    ratio, n = math.exp(float(np.median(logs))), min(len(a), len(b))
    if n < FEWEST_BLOCKS:
        return Estimate(value=ratio, n=n, reason=_few(n))
    rank = int(np.sum(np.cumsum(_rank_sums(len(a), len(b))) <= tail))
    if not rank:
        return Estimate(value=ratio, n=n, reason=f"{n} blocks give no {1 - 2 * tail:.1%} interval")
    return Estimate(value=ratio, low=math.exp(logs[rank - 1]), high=math.exp(logs[-rank]), n=n)


def _rank_sums(n: int, m: int) -> Array:
    """Probabilities of Mann and Whitney's U = 0 … n·m if both groups are alike, ``[n·m + 1]``.

    By what the largest of all belongs to (Mann & Whitney 1947, Ann. Math. Stat. 18:50).
    """
    none: Array = np.zeros(n * m + 1)
    none[0] = 1.0
    rows = [none] * (m + 1)  # of i of the first group and j = 0 … m of the second
    for i in range(1, n + 1):
        new: list[Array] = [none]
        for j in range(1, m + 1):
            mine = np.roll(rows[j], j)  # i - 1 of the first, and its largest above all j of the second
            new.append((i * mine + j * new[j - 1]) / (i + j))
        rows = new
    return np.asarray(rows[m], np.float64)


def _wild(logs: Array) -> str:
    """A hint if a single pair far from the others may be why nothing is shown."""
    away = np.abs(logs - np.median(logs))
    far = np.flatnonzero(away > OUTLIER_MADS * np.median(away)) + 1
    if len(far) != 1 or not np.median(away):
        return ""
    return f"; pair {far[0]} lies far from the others, which 12 or more pairs outweigh"
