"""A network that is `ready` for quantizers, with channels of activations nearer to one size, and what is seen in it."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from edgekit.backends.tflite.plan import QuantizationSettings
from edgekit.backends.tflite.ready import Ready, Used
from edgekit.equalization.activations import LOOKED_AT_MACS, SAME_DB, divided
from edgekit.equalization.numbering import Floats
from edgekit.equalization.observing import Observation, Observed, observe
from edgekit.equalization.tracing import Trace
from edgekit.waist import graph
from edgekit.waist.ordering import evenly
from edgekit.waist.tensors import sqnr_db

ACTIVATIONS = "activations"
"""What the setting of equalization is called that asks for it."""

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
    trace = made.trace or Trace(graph.load(made.path))
    if (form := divided(made.path, trace, made.seen.activations, folder)) is None:
        return None
    looked = np.isin(used.rows, used.scored)
    looked[evenly(len(used.rows), max(1, int(LOOKED_AT_MACS / max(macs, 1))))] = True
    main, rows = graph.read(form.path)[0], used.rows[looked]
    seen = observe(form.path, main, made.inputs, used.scored, settings.seed, rows=rows)
    same = min(sqnr_db(made.seen.outputs[name], values) for name, values in seen.outputs.items())
    if same < SAME_DB:
        return None
    activations = seen.activations if looked.all() else _completed(seen, made.seen, trace, form.by)
    return replace(made, path=form.path, seen=Observation(activations, made.seen.outputs))


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
