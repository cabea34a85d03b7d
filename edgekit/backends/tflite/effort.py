"""How much work quantization may take: counted beforehand, not timed, so that every host makes the same file.

The rates were measured with ai-edge-litert 2.1.2 on two cores of a server (Intel Xeon, 2026) that others used as well:

| network | size, operators, MACs | a sample looked at | a candidate made, and scored |
| --- | --- | --- | --- |
| EfficientNet-Lite0 | 18 MB, 78, 0.4 G | 0.10 s | 1.0 s, 0.5 s |
| ResNet-50 | 102 MB, 75, 4.1 G | 0.59 s | 2.8 s, 1.2 s |
| two LSTMs unrolled | 0.2 MB, 1,791, 0.4 M | 0.04 s | 2.4 s, 0.8 s |
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.waist.ordering import evenly

OBSERVED_MACS = 2e12
"""Multiply-accumulates of the runs in which ranges are seen: five minutes at 7 G/s, LiteRT's own kernels."""

FEWEST_SAMPLES = 16
"""Samples that are looked at however large the network is."""

SEARCH_S = 300.0
"""Seconds that all candidates may take together by these rates."""

FEWEST_CANDIDATES = 4
"""Candidates that are tried however large the network is: one for each way to choose ranges."""

_S_PER_BYTE, _S_PER_OPERATOR, _MACS_PER_S = 2.7e-8, 1.8e-3, 3e10


@dataclass(frozen=True)
class Size:
    """What decides how long a network takes: ``bytes`` of its file, operators, and MACs of one run."""

    bytes: int
    operators: int
    macs: int


def observed(size: Size, samples: int, *, in_order: bool = False) -> NDArray[np.int_]:
    """Indices of the calibration samples that are looked at: evenly taken, or the first (``in_order``)."""
    most = max(FEWEST_SAMPLES, int(OBSERVED_MACS / max(size.macs, 1)))
    if most >= samples or in_order:
        return np.arange(min(most, samples))
    return evenly(samples, most)


def candidates(size: Size, runs: int) -> int:
    """The most candidates that are tried, each run ``runs`` times."""
    each_s = size.bytes * _S_PER_BYTE + size.operators * _S_PER_OPERATOR + runs * size.macs / _MACS_PER_S
    return max(FEWEST_CANDIDATES, int(SEARCH_S / max(each_s, 1e-3)))
