"""Channels of activations brought nearer to one size, so that they use more of the levels that all of them share.

A channel that goes to a tenth of its activation's range has 25 of 256 levels. It may be divided by a number, and the
weights of all layers that read it multiplied by the same (`tracing`). That is also how weights are evened out
(`equalization`); where each channel's weights have a scale of their own, activations are coarser than weights, and it
is their sizes that count: "Same, Same But Different: Recovering Neural Network Quantization Error Through Weight
Factorization" (Meller et al., 2019). What activations gain, the weights behind them lose, so that channels go half of
the way.

Tensors that share channels are evened together: what was joined, split and shuffled is divided once, wherever it lies.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgekit.backends.tflite.equalization import CAP, HEADROOM
from edgekit.backends.tflite.plan import QuantizationSettings
from edgekit.backends.tflite.ranges import Observation, Observed, observe
from edgekit.backends.tflite.ready import Ready, Used
from edgekit.backends.tflite.tracing import Floats, Trace
from edgekit.waist import graph
from edgekit.waist.ordering import evenly
from edgekit.waist.tensors import Array, sqnr_db

ACTIVATIONS = "activations"
"""What the setting of equalization is called that asks for it."""

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

GAIN_DB = 0.4
"""What evened channels must gain on the samples that were looked at, where fitted weights do not decide."""

FITTED_FLOPS = 1.5e11
"""Weights that take more are fitted once, with evened channels or without: a quarter of `fitting.LEARNED_FLOPS`."""


def is_tried(settings: QuantizationSettings) -> bool:
    """Whether channels are evened if that is better."""
    return settings.per_channel and settings.equalization in {"auto", ACTIVATIONS} and settings.activations == "int8"


def evened(made: Ready, used: Used, settings: QuantizationSettings, folder: Path, macs: int) -> Ready | None:
    """A network with evened channels, and its activations; None if there is nothing to gain.

    Args:
        made: the network, with its `tracing.Trace` and the extremes of each channel for the tensors of that.
        used: the samples that are looked at.
        settings: how it is quantized. What stays float is divided as well: it may lie beside what does not.
        folder: where the file goes.
        macs: of one run.

    Raises:
        InputError: a sample drives the evened network to NaN or infinity.
        Unsupported: LiteRT cannot run it.
    """
    trace, channels = made.trace or Trace(graph.load(made.path)), _channels(made.seen.activations)
    divisors = _divisors(trace, channels)
    if not _worth(trace, divisors):
        return None
    model = graph.load(made.path)
    trace.divide(divisors, model)
    folder.mkdir()
    path = folder / made.path.name
    path.write_bytes(graph.pack(model))
    looked = np.isin(used.rows, used.scored)
    looked[evenly(len(used.rows), max(1, int(LOOKED_AT_MACS / max(macs, 1))))] = True
    main, rows = graph.describe(model)[0], used.rows[looked]
    seen = observe(path, main, made.inputs, used.scored, settings.seed, rows=rows)
    same = min(sqnr_db(made.seen.outputs[name], values) for name, values in seen.outputs.items())
    if same < SAME_DB:
        return None
    activations = seen.activations if looked.all() else _completed(seen, made.seen, trace, divisors)
    return replace(made, path=path, seen=Observation(activations, made.seen.outputs))


def _completed(seen: Observation, before: Observation, trace: Trace, divisors: Floats) -> dict[int, Observed]:
    """Activations of the evened network as all samples have them, of which only some were looked at again.

    What is not divided is as it was. Of the rest the extremes follow from those of the channels, and of what was moved
    from what it was moved from, constants among that: whatever only moves keeps one range.
    """
    found = {tensor: seen.activations.get(tensor, one) for tensor, one in before.activations.items()}
    divided = {t for t, numbers in (trace.within | trace.moved).items() if (divisors[numbers] != 1).any()}
    for tensor, one in before.activations.items():
        if tensor not in divided:
            found[tensor] = one
        elif tensor in trace.within and one.channels is not None:
            low, high = one.channels / divisors[trace.within[tensor]]
            found[tensor] = replace(found[tensor], low=float(low.min()), high=float(high.max()))
    moved = divided & trace.moved.keys() & found.keys()
    for tensor, sources in trace.sources.items():  # in the order of execution
        if tensor in moved:
            # Beside what it was moved from the tensor as it was, for constants in it; divided values only grow.
            parts = [before.activations[tensor], *(found[source] for source in sources if source in found)]
            low, high = min(one.low for one in parts), max(one.high for one in parts)
            found[tensor] = replace(found[tensor], low=low, high=high)
    return found


def _channels(activations: Mapping[int, Observed]) -> dict[int, Array]:
    return {tensor: one.channels for tensor, one in activations.items() if one.channels is not None}


def _divisors(trace: Trace, channels: Mapping[int, Array]) -> Floats:
    """By what each channel is divided, by its number; 1 for those that stay."""
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
    divisors: Floats = np.minimum(found, 1.0)
    return divisors


def _together(trace: Trace) -> Array:
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


def _worth(trace: Trace, divisors: Floats) -> bool:
    """Whether channels of some activation are divided by enough."""
    means = (float(divisors[numbers].mean() / divisors[numbers].max()) for numbers in trace.within.values())
    return min(means, default=1.0) < WORTH
