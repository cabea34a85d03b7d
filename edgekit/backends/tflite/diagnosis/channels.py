"""The float network in the channels of a file: some files are made from one whose layers in a row were equalized.

What two such layers hold is none of the source's, though they compute the same together, and each alone would be blamed
for what the other takes back. So the source's channels are divided as the file's are, before anything is compared.
"""

from dataclasses import replace

import numpy as np

from edgekit.backends.tflite.diagnosis.matching import Pairs, Side
from edgekit.backends.tflite.equalization import Floats, Rows

CLOSER = 0.5
"""What may be left at most of how far apart the weights are, for the file to be made of divided channels."""


def follow(file: Side, waist: Side, pairs: Pairs) -> None:
    """Divide the float network's channels, in place, as those of the file are, if that brings their weights together.

    Args:
        file: what is looked at.
        waist: the float network.
        pairs: of their tensors.
    """
    rows = Rows(waist.model)
    theirs = _weights(file, pairs, rows)
    before = _apart(rows, theirs)
    for pair in rows.pairs:
        index = pair.first.operator.index
        if index in theirs and pair.second.operator.index in theirs:
            mine = rows.weights[index]
            shares = (mine * theirs[index]).sum(2) / np.maximum((mine**2).sum(2), 1e-30)
            rows.divide(pair, 1 / np.where(shares > 0, shares, 1.0).ravel())
    if before and _apart(rows, theirs) <= CLOSER * before:
        rows.store()


def _weights(file: Side, pairs: Pairs, rows: Rows) -> dict[int, Floats]:
    """The file's weights of the same layers, by the float network's operator."""
    found = {}
    for operator in file.graph.operators:
        other = pairs.operator(operator)
        layer = None if other is None or other.name != operator.name else rows.layers.get(other.index)
        weights = None if layer is None else file.constant(operator.inputs[1])
        if layer is not None and weights is not None and weights.shape == layer.weights.shape:
            real = replace(layer, weights=weights.astype(np.float32)).matrices()
            found[layer.operator.index] = real.astype(np.float64)
    return found


def _apart(rows: Rows, theirs: dict[int, Floats]) -> float:
    """How far the weights are from the file's: each channel's error, as a part of its weights, in the mean."""
    errors = [
        np.minimum(((found - rows.weights[index]) ** 2).sum(2) / np.maximum((found**2).sum(2), 1e-30), 1.0).mean()
        for index, found in theirs.items()
    ]
    return float(np.mean(errors)) if errors else 0.0
