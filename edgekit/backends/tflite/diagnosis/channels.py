"""The float network in the channels of a file: some files are made from one whose channels were divided.

What the layers hold that make and read such channels is none of the source's, though they compute the same together,
and each alone would be blamed for what another takes back. So the source's channels are divided as the file's are,
before anything is compared.
"""

from dataclasses import replace

import numpy as np

from edgekit.backends.tflite.diagnosis.matching import Pairs, Side
from edgekit.equalization.tracing import Floats, Trace

CLOSER = 0.5
"""What may be left at most of how far apart the weights are, for the file to be made of divided channels."""


def follow(file: Side, waist: Side, pairs: Pairs) -> None:
    """Divide the float network's channels, in place, as those of the file are, if that brings their weights together.

    Args:
        file: what is looked at.
        waist: the float network.
        pairs: of their tensors.
    """
    trace = Trace(waist.model)
    theirs = _weights(file, pairs, trace)
    divisors = _divisors(trace, theirs)
    before = _apart(trace, theirs, np.ones(trace.count))
    if before and _apart(trace, theirs, divisors) <= CLOSER * before:
        trace.divide(divisors, waist.model)


def _divisors(trace: Trace, theirs: dict[int, Floats]) -> Floats:
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


def _weights(file: Side, pairs: Pairs, trace: Trace) -> dict[int, Floats]:
    """The file's weights of the same layers, by the float network's operator."""
    found = {}
    for operator in file.graph.operators:
        other = pairs.operator(operator)
        layer = None if other is None or other.name != operator.name else trace.layers.get(other.index)
        weights = None if layer is None else file.constant(operator.inputs[1])
        if layer is not None and weights is not None and weights.shape == layer.weights.shape:
            real = replace(layer, weights=weights.astype(np.float32)).matrices()
            found[layer.operator.index] = real.astype(np.float64)
    return found


def _apart(trace: Trace, theirs: dict[int, Floats], divisors: Floats) -> float:
    """How far the weights are from the file's: each channel's error, as a part of its weights, in the mean."""
    pairs = ((found, trace.weights(index, divisors)) for index, found in theirs.items())
    errors = [
        np.minimum(((found - own) ** 2).sum(2) / np.maximum((found**2).sum(2), 1e-30), 1.0).mean()
        for found, own in pairs
    ]
    return float(np.mean(errors)) if errors else 0.0
