"""Layers that make more of one level of their input than XNNPACK can count with.

An integer layer multiplies its sums by ``input scale × weight scale ÷ output scale``. XNNPACK takes factors below 256,
and a file with a larger one does not load at all. It comes of a channel that is tiny beside others of its activation
and has weights that are as much larger: where one level of the input is many whole ranges of the output, there is
nothing to count with anyway.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from edgekit.backends.tflite.ranges import Range
from edgekit.equalization.layers import layer
from edgekit.waist.graph import Graph

LIMIT = 255.0
"""The factor from which a layer is too steep: XNNPACK's 256, less what is rounded in scales."""

STEEP = "one level of their input is more than their whole output"
"""Why such layers stay float."""


def layers(model: Any, main: Graph, choices: Iterable[Mapping[int, Range]]) -> frozenset[int]:
    """The operators that are too steep with any of several choices of ranges.

    Args:
        model: object tree of a float TFLite file.
        main: its graph.
        choices: ranges by tensor index, those of what is joined as the joins have it.
    """
    found = [one for operator in main.operators if (one := layer(model, main, operator)) is not None]
    steep = set()
    for ranges in choices:
        for one in found:
            ends = [ranges.get(tensor, (0.0, 0.0)) for tensor in (one.source, one.operator.outputs[0])]
            given, made = (high - low for low, high in ends)
            largest = float(np.abs(one.weights).max(initial=0)) / 127
            if made > 0 and given * largest >= LIMIT * made:
                steep.add(one.operator.index)
    return frozenset(steep)
