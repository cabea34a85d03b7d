"""Which samples are taken, and in which order: one that their contents decide, whoever shuffles them."""

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgekit.waist.tensors import Array


def by_content(inputs: Mapping[str, Array]) -> NDArray[np.int_]:
    """The numbers of samples in the order of their digests.

    Args:
        inputs: for each input's name ``[N, *shape]``; one sample is looked at after another.
    """
    found: NDArray[np.int_] = np.array(
        sorted(range(len(next(iter(inputs.values())))), key=lambda row: _digest(inputs, row)), np.int_
    )
    return found


def evenly(count: int, most: int) -> NDArray[np.int_]:
    """The numbers of ``most`` of ``count`` samples, or of all, as evenly spaced as they can be, in their order."""
    found: NDArray[np.int_] = np.linspace(0, count - 1, min(count, most)).round().astype(int)
    return found


def _digest(inputs: Mapping[str, Array], row: int) -> bytes:
    digest = hashlib.sha256()
    for name in sorted(inputs):
        values = inputs[name][row]
        digest.update(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes())
    return digest.digest()
