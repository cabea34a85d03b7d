"""Samples in an order that their contents decide: whoever shuffles them gets the same."""

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


def _digest(inputs: Mapping[str, Array], row: int) -> bytes:
    digest = hashlib.sha256()
    for name in sorted(inputs):
        values = inputs[name][row]
        digest.update(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes())
    return digest.digest()
