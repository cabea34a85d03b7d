"""By what a file's channels were divided: read off its weights, beside those of the float network."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgekit.equalization.numbering import Floats, Numbered

CLOSER = 0.5
"""What may be left at most of how far apart the weights are, for a file to be made of divided channels."""


def followed(trace: Numbered, theirs: Mapping[Any, Floats]) -> Floats | None:
    """By what channels are divided, by number ``[count]``; None if that does not bring the weights together.

    Args:
        trace: of the float network.
        theirs: the file's weights as matrices, by the float network's layer.
    """
    by = _divisors(trace, theirs)
    before = _apart(trace, theirs, np.ones(trace.count))
    return by if before and _apart(trace, theirs, by) <= CLOSER * before else None


def _divisors(trace: Numbered, theirs: Mapping[Any, Floats]) -> Floats:
    """By what the file's channels are divided, by number; 1 where the file lacks a layer that makes or reads one."""
    unknown = {0}
    for index in trace.layers.keys() - theirs.keys():
        unknown |= {int(n) for numbers in (trace.made, trace.read) for n in numbers.get(index, ())}
    found, told = np.ones(trace.count), np.zeros(trace.count, bool)
    told[list(unknown)] = True
    for index, numbers in trace.made.items():
        if index not in theirs:
            continue
        mine = trace.weights(index, np.where(told, found, 1.0))
        shares = (mine * theirs[index]).sum(2) / np.maximum((mine**2).sum(2), 1e-30)
        open_ = ~told[numbers]
        found[numbers[open_]] = 1 / np.where(shares > 0, shares, 1.0).ravel()[open_]
        told[numbers] = True
    return found


def _apart(trace: Numbered, theirs: Mapping[Any, Floats], by: Floats) -> float:
    """How far the weights are from the file's: each channel's error, as a part of its weights, in the mean."""
    pairs = ((found, trace.weights(index, by)) for index, found in theirs.items())
    errors = [
        np.minimum(((found - own) ** 2).sum(2) / np.maximum((found**2).sum(2), 1e-30), 1.0).mean()
        for found, own in pairs
    ]
    return float(np.mean(errors)) if errors else 0.0
