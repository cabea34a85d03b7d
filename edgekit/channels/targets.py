"""What counts of a layer's result: behind a ReLU, not how far below 0 it is.

A layer that makes y in the whole network is to make, in front of an activation that holds values between two bounds,
anything below the lower bound where y is, anything above the upper one where y is, and y elsewhere. These are convex
sets, so that the squared distance to them is convex. Least squares towards the nearest points of what a layer makes
now never increase it (majorization and minimization; Hunter and Lange, "A tutorial on MM algorithms", 2004).
"""

from collections.abc import Callable

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.channels.dependencies import Dependencies
from edgekit.channels.least_squares import Rows
from edgekit.waist import graph

Nearest = Callable[[Rows, Rows], Rows]
"""From what the whole network makes and what the cut one makes now the nearest that is as good as the former."""

INF = float("inf")

FUSED: dict[int, tuple[float, float]] = {
    schema.ActivationFunctionType.RELU: (0.0, INF),
    schema.ActivationFunctionType.RELU6: (0.0, 6.0),
    schema.ActivationFunctionType.RELU_N1_TO_1: (-1.0, 1.0),
}
"""Between which bounds a fused activation holds values."""

ALONE: dict[str, tuple[float, float]] = {
    "RELU": (0.0, INF),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
    "RELU_0_TO_1": (0.0, 1.0),
}
"""The same of operators."""


def nearest(low: float, high: float) -> Nearest:
    """What is as good in front of an activation with two bounds."""

    def found(wanted: Rows, now: Rows) -> Rows:
        """``[rows, channels]``: what is wanted; beyond a bound what is there now, or the bound itself."""
        made = np.where(wanted <= low, np.minimum(now, low), wanted)
        return np.asarray(np.where(wanted >= high, np.maximum(now, high), made), np.float32)

    return found


def behind(whole: Dependencies, operator: graph.Operator, *, added: bool) -> Nearest | None:
    """What is as good as a layer's result, as far as the network reads it; None if all of it counts.

    Args:
        whole: the network.
        operator: the layer.
        added: the result is known with what it is added to.
    """
    last = _adding(whole, operator) if added else operator
    if last is None:
        return None
    bounds = FUSED.get(last.options.get("fusedActivationFunction", 0))
    if bounds is None and not last.options.get("fusedActivationFunction"):
        reader = only_reader(whole, last)
        bounds = None if reader is None else ALONE.get(reader.name)
    return None if bounds is None else nearest(*bounds)


def added(whole: Dependencies, operator: graph.Operator) -> graph.Operator | None:
    """The addition that alone reads a layer's result, as it is."""
    return None if operator.options.get("fusedActivationFunction") else _adding(whole, operator)


def _adding(whole: Dependencies, operator: graph.Operator) -> graph.Operator | None:
    reader = only_reader(whole, operator)
    return reader if reader is not None and reader.name == "ADD" else None


def only_reader(whole: Dependencies, operator: graph.Operator) -> graph.Operator | None:
    """The operator that alone reads what another one makes; None if it is an output of the network, too."""
    (made,) = operator.outputs
    readers = whole.readers(made)
    if len(readers) != 1 or made in whole.graph.outputs:
        return None
    return whole.graph.operators[readers[0][0]]
