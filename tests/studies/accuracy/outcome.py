"""What came of one way to make a network int8, sample by sample, and paired comparisons of two such ways."""

from math import sqrt
from typing import Any

import msgspec
import numpy as np

Z = 1.959964
"""Of the normal distribution, for 95 %."""

DRAWS = 2000
"""Of a bootstrap."""


class Outcome(msgspec.Struct, kw_only=True):
    """One file of one network.

    ``noise`` holds for each output its squared error of each sample, against ``signal`` of the float network. ``classes``
    are those chosen, if the network classifies. ``correlation`` is that of a detector's scores with the float network's.
    ``ratio`` is the latency divided by that of the float file on the same runtime. ``commit`` is the last that changed edgekit,
    ``date`` the day it was measured. ``error`` says why there is no file.
    """

    name: str
    seconds: float = 0.0
    size_bytes: int = 0
    latency_ms: float = 0.0
    ratio: float = 1.0
    signal: list[list[float]] = []
    noise: list[list[float]] = []
    classes: list[int] = []
    correlation: float | None = None
    notes: tuple[str, ...] = ()
    commit: str = ""
    date: str = ""
    error: str = ""

    @property
    def sqnr_db(self) -> float:
        """SQNR of the worst output over all samples."""
        return float(_worst_db(np.asarray(self.signal).sum(1), np.asarray(self.noise).sum(1)))


class Interval(msgspec.Struct, frozen=True):
    """A paired difference with its 95 % interval."""

    difference: float
    low: float
    high: float


def _worst_db(signal: Any, noise: Any) -> Any:
    """The SQNR in dB of the worst output: the outputs are in the first axis."""
    floor = np.maximum(noise, signal * 1e-14)  # bit for bit equal is 140 dB
    return (10 * np.log10(signal / floor)).min(0)


def top1_difference(ours: Outcome, theirs: Outcome, labels: Any) -> Interval:
    """Points of top-1 that ours is ahead, by the adjusted Wald interval for paired proportions.

    Source: Bonett and Price, Journal of Educational and Behavioral Statistics 37 (2012), recommended by Fagerland,
    Lydersen and Laake, Statistics in Medicine 33 (2014): a sample is added to each of both kinds that differ.
    """
    right, other = np.asarray(ours.classes) == labels, np.asarray(theirs.classes) == labels
    n = len(labels) + 2
    won, lost = (int((right & ~other).sum()) + 1) / n, (int((~right & other).sum()) + 1) / n
    middle, wide = won - lost, Z * sqrt((won + lost - (won - lost) ** 2) / n)
    return Interval(100 * float(right.mean() - other.mean()), 100 * (middle - wide), 100 * (middle + wide))


def sqnr_difference(ours: Outcome, theirs: Outcome) -> Interval:
    """Decibels that ours is ahead in its worst output; the interval is a bootstrap over samples, the same for both."""
    signal, noise, other = (np.asarray(values) for values in (ours.signal, ours.noise, theirs.noise))
    draws = np.random.default_rng(0).multinomial(n := signal.shape[1], np.full(n, 1 / n), DRAWS).T
    drawn = _worst_db(signal @ draws, noise @ draws) - _worst_db(signal @ draws, other @ draws)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Interval(ours.sqnr_db - theirs.sqnr_db, float(low), float(high))
