"""The float network in the channels of a file: some files are made from one whose channels were divided.

What the layers hold that make and read such channels is none of the source's, though they compute the same together,
and each alone would be blamed for what another takes back. So the source's channels are divided as the file's are,
before anything is compared.
"""

from dataclasses import replace

import numpy as np

from edgekit.backends.tflite.diagnosis.matching import Pairs, Side
from edgekit.equalization.following import followed
from edgekit.equalization.numbering import Floats
from edgekit.equalization.tracing import Trace


def follow(file: Side, waist: Side, pairs: Pairs) -> None:
    """Divide the float network's channels, in place, as those of the file are, if that brings their weights together.

    Args:
        file: what is looked at.
        waist: the float network.
        pairs: of their tensors.
    """
    trace = Trace(waist.model)
    by = followed(trace, _weights(file, pairs, trace))
    if by is not None:
        trace.divide(by, waist.model)


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
