"""What a join alone reads takes the join's range, so that it is rounded once.

Integers that a CONCATENATION joins lie on one scale. An operand with a range of its own is rounded to that first, and
by a QUANTIZE to the join's: twice, in one more operator. What makes the operand may as well round to the join's at
once.
"""

from collections.abc import Iterator, Mapping

from edgekit.backends.tflite.ranges import RELATED, Range
from edgekit.waist import fusing
from edgekit.waist.exact import LAYERS, Wiring
from edgekit.waist.graph import Graph, Operator

JOINS = {"CONCATENATION", "PACK"}

_PASS = {
    "AVERAGE_POOL_2D", "EXPAND_DIMS", "MAX_POOL_2D", "PAD", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR",
    "SQUEEZE", "TRANSPOSE",
}  # fmt: skip
"""Operators of one operand that have one range with it."""

_ROUND = LAYERS | (fusing.FREE - RELATED)
"""Operators that round to any range."""


def joined(main: Graph, ranges: Mapping[int, Range], kept: frozenset[int]) -> dict[int, Range]:
    """Ranges of activations, those of what a join alone reads as the join has it.

    Args:
        main: the float graph.
        ranges: by tensor index.
        kept: operators that stay float.
    """
    found, wiring = dict(ranges), Wiring(main)
    for join in reversed(main.operators):  # a join that another one reads takes the range that this one got
        if join.name not in JOINS or join.index in kept or join.outputs[0] not in found:
            continue
        for operand in join.inputs:
            row = list(_row(wiring, operand, join))
            if row and row[-1].index not in kept and all(one.outputs[0] in found for one in row):
                found |= {one.outputs[0]: found[join.outputs[0]] for one in row}
    return found


def _row(wiring: Wiring, operand: int, join: Operator) -> Iterator[Operator]:
    """The operators that lead to an operand, from the last to that which rounds; none if others read them too."""
    row, tensor, reader = [], operand, join
    while (made := wiring.producer.get(tensor)) is not None:
        if wiring.readers.get(tensor) != [reader] or tensor in wiring.graph.outputs or len(made.outputs) > 1:
            return
        row.append(made)
        if made.name in _ROUND or made.name in JOINS:
            yield from row
            return
        if made.name not in _PASS:
            return
        tensor, reader = made.inputs[0], made
