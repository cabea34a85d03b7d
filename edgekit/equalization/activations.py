"""Channels of activations brought nearer to one size, so that they use more of the levels that all of them share.

A channel that goes to a tenth of its activation's range has 25 of 256 levels. It may be divided by a number, and the
weights of all layers that read it multiplied by the same (`tracing`). That is also how weights are evened out
(`weights`); where each channel's weights have a scale of their own, activations are coarser than weights, and it
is their sizes that count: "Same, Same But Different: Recovering Neural Network Quantization Error Through Weight
Factorization" (Meller et al., 2019). What activations gain, the weights behind them lose, so that channels go half of
the way.

Tensors that share channels are evened together: what was joined, split and shuffled is divided once, wherever it lies.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edgekit.equalization.homogeneous import CAP, HEADROOM
from edgekit.equalization.numbering import Floats, Numbered
from edgekit.equalization.observing import Observed
from edgekit.equalization.tracing import Trace
from edgekit.waist import graph
from edgekit.waist.tensors import Array

SAME_DB = 80.0
"""What an evened float network must reach against the original, on the calibration samples."""

PART = 0.5
"""Of the way to one size, as a power. All of it costs DS-CNN 5 dB, and half of it gains 2 (weights to the nearest)."""

SMALLEST = 1 / 64
"""The least part of an activation's range that counts: what samples hardly reach, other inputs may."""

WORTH = 0.9
"""A network none of whose activations has channels that are divided by less than this, on average, is left alone."""

LOOKED_AT_MACS = 2e10
"""Multiply-accumulates of another look at samples: three seconds on LiteRT's own kernels, for as many as that takes."""


class Divided(NamedTuple):
    """A network's file, and by what each channel was divided, by its number in the `tracing.Trace`; 1 for those that
    stayed.
    """

    path: Path
    by: Floats


def divided(path: Path, trace: Trace, activations: Mapping[int, Observed], folder: Path) -> Divided | None:
    """A network with evened channels; None if there is nothing to gain.

    Args:
        path: the float TFLite file.
        trace: of its channels.
        activations: what was seen of it, the extremes of channels for the tensors whose channels are traced.
        folder: where the file goes; it is made.
    """
    by = divisors(trace, {tensor: one.channels for tensor, one in activations.items() if one.channels is not None})
    if by is None:
        return None
    model = graph.load(path)
    trace.divide(by, model)
    folder.mkdir()
    (folder / path.name).write_bytes(graph.pack(model))
    return Divided(folder / path.name, by)


def divisors(trace: Numbered, channels: Mapping[Any, Array]) -> Floats | None:
    """By what each channel is divided, by its number ``[count]``; 1 for those that stay. None if that gains nothing.

    Args:
        trace: of a network.
        channels: the least and the greatest value of each channel ``[2, channels]``, for tensors that are looked at.
    """
    looked = {tensor: numbers for tensor, numbers in trace.within.items() if tensor in channels}
    groups = _together(trace)
    sizes, largest, least = np.zeros(trace.count), np.zeros(trace.count), np.zeros(trace.count)
    for tensor, numbers in looked.items():
        peaks = np.abs(channels[tensor]).max(0)
        np.maximum.at(sizes, numbers, peaks)
        group = groups[numbers.max()]
        largest[group] = max(largest[group], float(peaks.max()))
        if tensor in trace.capped:
            np.maximum.at(least, numbers, channels[tensor][1] * HEADROOM / CAP)
    found = np.maximum(_factors(sizes, largest[groups]), least)
    for tensor in trace.capped - looked.keys():  # nobody knows how near their caps these are
        found[trace.within[tensor]] = 1.0
    found[0] = 1.0
    by: Floats = np.minimum(found, 1.0)
    return by if _worth(trace, by) else None


def _together(trace: Numbered) -> Array:
    """For each channel's number the least number of those that it shares tensors with, directly or by others."""
    groups = np.arange(trace.count)
    while True:
        before = groups.copy()
        for numbers in trace.within.values():
            own = numbers[numbers > 0]
            groups[own] = groups[own].min()
        if (groups == before).all():
            return groups


def _factors(sizes: Floats, largest: Floats) -> Floats:
    """By what channels are divided whose largest values these are, beside the largest of all; 0 stays."""
    parts = sizes / np.maximum(largest, 1e-30)
    return np.where(parts > 0, parts.clip(SMALLEST, 1) ** PART, 1.0)


def _worth(trace: Numbered, by: Floats) -> bool:
    """Whether channels of some activation are divided by enough."""
    means = (float(by[numbers].mean() / by[numbers].max()) for numbers in trace.within.values())
    return min(means, default=1.0) < WORTH
