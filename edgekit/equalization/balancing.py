"""The arithmetic of cross-layer equalization: by what channels between two layers are divided, and for how long.

"Data-Free Quantization Through Weight Equalization and Bias Correction", Nagel et al., 2019.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SWEEPS = 50
"""The most walks over all pairs; in a chain each pair changes its neighbours."""

SETTLED = 0.01
"""A walk that changes no channel by more than this part is the last."""

LARGEST_FACTOR = 2.0**20
"""Of a channel in one step, so that weights stay normal float32 numbers."""


def factors(made: NDArray[Any], read: NDArray[Any]) -> Floats:
    """By what channels are divided so that the largest weights of both layers are equal ``[channels]``.

    Args:
        made: the largest weight of the first layer that makes each channel ``[channels]``.
        read: that of the second layer, which reads it.
    """
    alive = (made > 0) & (read > 0)
    ratio = np.where(alive, made, 1) / np.where(alive, read, 1)
    found: Floats = np.sqrt(ratio, dtype=np.float64)
    return found.clip(1 / LARGEST_FACTOR, LARGEST_FACTOR)


def settle[Pair](pairs: Sequence[Pair], balanced: Callable[[Pair], NDArray[Any]]) -> None:
    """Walk over all pairs until none changes.

    Args:
        pairs: of layers.
        balanced: divides the channels between two layers, and tells by what ``[channels]``.
    """
    for _ in range(SWEEPS):
        changes = [balanced(pair) for pair in pairs]
        if all(np.abs(np.log(each)).max() < SETTLED for each in changes):
            break
