"""What lies far from 0 beside what it changes by: a temperature in Kelvin, a pressure in Pa, a year.

The range of an integer tensor holds 0, so that its 255 steps are shared out over the whole way from there. What reads
such an input, or makes such an output, stays float; the layers between have ranges of their own.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from edgekit.waist.exact import MOVES, Wiring, bounded
from edgekit.waist.movement import LEAST, moved, moves, stepped_db
from edgekit.waist.tensors import Array

READERS = "they read an input that lies far from 0 beside what it changes by"
MAKERS = "they make an output that lies far from 0 beside what it changes by"
"""Why operators stay float."""

LEAST_DB = 15.0
"""What steps must leave of what changes; verification warns below 10."""

BYTE = 255
"""The highest level of integers of 8 bits."""

_SCALING = frozenset({
    "ABS", "CAST", "DIV", "L2_NORMALIZATION", "MAXIMUM", "MINIMUM", "MUL", "NEG", "RELU", "RELU_0_TO_1",
})  # fmt: skip
"""Operators whose operand lies as far from 0 as their result."""


def is_far(values: Array, last: int = BYTE, *, widest: float = 0.0) -> bool:
    """Whether integers leave too little of what changes in an activation that lies far from 0.

    Args:
        values: what it holds for samples, ``[N, *shape]``.
        last: the highest level of an integer tensor.
        widest: what the runtime's range of it spans, if it has one of its own.
    """
    found = moved(values, values) if np.isfinite(values).all() else None
    if found is None or found.share > LEAST:
        return False
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    spanned = high - low if last == BYTE else 2 * max(high, -low)  # integers of 16 bits lie around 0
    return stepped_db(found.variance, max(spanned, widest) / last) < LEAST_DB


def outputs(wiring: Wiring, seen: Mapping[int, Array], last: int = BYTE) -> frozenset[int]:
    """Those of a graph's outputs that are far and have no ends of their own; ``seen`` by tensor index."""
    looked_at = [t for t in wiring.graph.outputs if t in seen and not bounded(wiring, t)]
    return frozenset(t for t in looked_at if is_far(seen[t], last, widest=2.0 if _is_unit(wiring, t) else 0.0))


def _is_unit(wiring: Wiring, tensor: int) -> bool:
    """Whether a tensor holds vectors of length 1, whose integers range over -1..1 in LiteRT, however small they are."""
    ends = [tensor, *(t for one in wiring.chain([tensor], MOVES) for t in wiring.activations(one))]
    return any(wiring.producer[end].name == "L2_NORMALIZATION" for end in ends if end in wiring.producer)


def inputs(wiring: Wiring, seen: Mapping[int, Array], last: int = BYTE) -> frozenset[int]:
    """Those of a graph's inputs that are far, on samples that change."""
    return frozenset(t for t in wiring.graph.inputs if t in seen and moves(seen[t]) and is_far(seen[t], last))


def makers(wiring: Wiring, tensors: Iterable[int]) -> frozenset[int]:
    """The operators that bring tensors far from 0, and what moves and scales these behind."""
    ends = list(tensors)
    found = {operator.index for operator in wiring.chain(ends, MOVES | _SCALING)}
    ends += [t for index in found for t in wiring.activations(wiring.graph.operators[index])]
    return frozenset(found | {wiring.producer[end].index for end in ends if end in wiring.producer})


def readers(wiring: Wiring, tensors: Iterable[int]) -> frozenset[int]:
    """The operators that bring tensors nearer to 0, and what moves and scales these before."""
    waiting, found = list(tensors), set[int]()
    while waiting:
        for operator in wiring.readers.get(waiting.pop(), []):
            if operator.index not in found:
                found.add(operator.index)
                waiting += operator.outputs if operator.name in MOVES | _SCALING else ()
    return frozenset(found)
