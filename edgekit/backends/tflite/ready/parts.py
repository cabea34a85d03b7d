"""Joins at an output of what has nothing to do with one another: they stay float in a quantized file.

Boxes in pixels beside scores in 0..1 share one range in an integer CONCATENATION, and the scores keep
two of 256 levels. So do shares of which some are multiplied by the size of the image, and others by 1.
"""

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any, NamedTuple

import numpy as np

from edgekit.backends.tflite.ranges import Range
from edgekit.waist import graph
from edgekit.waist.exact import ELEMENTWISE, MOVES, Wiring
from edgekit.waist.graph import Operator

APART = 4.0
"""Ranges whose widths differ by this are not joined: a shared one takes 2 of 8 bits (12 dB) from the narrower."""


OFF_CENTRE = 16.0
"""An offset of so many times the width of what it is added to leaves that four of eight bits, or fewer."""


class Parts(NamedTuple):
    """Parts of a tensor: ``sizes`` of them along ``axis``, and for each those that it has in turn, or None."""

    axis: int
    sizes: tuple[int, ...]
    inner: tuple["Parts | None", ...]

    def moved(self, where: Callable[[int], int | None]) -> "Parts | None":
        """The same once every axis lies ``where`` that says; None if it lies nowhere."""
        axis = where(self.axis)
        return (
            None if axis is None else Parts(axis, self.sizes, tuple(part and part.moved(where) for part in self.inner))
        )


def joins(model: Any, wiring: Wiring, ranges: dict[int, Range], *, whole: bool = False) -> frozenset[int]:
    """What brings parts whose ranges are `APART` together at an output, and what leads from there to the output.

    That is a CONCATENATION, or a product with constants that differ as much; moves and what works element by
    element may follow. With ``whole`` only moves may stay float, and so only CONCATENATIONs with these behind them.
    """
    found: set[int] = set()
    for output in wiring.graph.outputs:
        tail = list(wiring.chain([output], MOVES if whole else MOVES | ELEMENTWISE))
        apart = [
            operator
            for operator in tail
            if (operator.name in {"CONCATENATION", "PACK"} and _apart(model, operator, ranges))
            or _scaled_axis(model, wiring, operator) is not None
        ]
        if not apart:
            continue
        inside = {operator.index for operator in tail}
        for operator in apart:
            found |= _between(wiring, operator, inside)
    return frozenset(found)


def shifts(model: Any, wiring: Wiring, ranges: dict[int, Range]) -> frozenset[int]:
    """What adds an offset that is `OFF_CENTRE` to what varies in an output, and what leads from there to the output.

    The range of integers holds 0: of a pressure of 101,325 ± 200 Pa one level would be 400 Pa.
    """
    found: set[int] = set()
    for output in wiring.graph.outputs:
        tail = list(wiring.chain([output], MOVES | ELEMENTWISE))
        inside = {operator.index for operator in tail}
        for operator in tail:
            if _shifts(model, operator, ranges):
                found |= _between(wiring, operator, inside)
    return frozenset(found)


def _shifts(model: Any, operator: Operator, ranges: dict[int, Range]) -> bool:
    if operator.name not in {"ADD", "SUB"}:
        return False
    constants = [(tensor, graph.constant(model, 0, tensor)) for tensor in operator.inputs]
    offsets = [np.abs(values).max(initial=0.0) for _, values in constants if values is not None]
    widths = [
        ranges[tensor][1] - ranges[tensor][0] for tensor, values in constants if tensor in ranges and values is None
    ]
    return len(offsets) == len(widths) == 1 and bool(
        np.isfinite(offsets[0]) and offsets[0] >= OFF_CENTRE * widths[0] > 0
    )


def _scaled_axis(model: Any, wiring: Wiring, operator: Operator) -> int | None:
    """The axis along which an operator multiplies by constants that are `APART`; None if it does not."""
    if operator.name not in {"MUL", "DIV"}:
        return None
    rank = len(wiring.graph.tensors[operator.outputs[0]].shape)
    for tensor in operator.inputs:
        values = graph.constant(model, 0, tensor)
        if values is None or values.dtype != np.float32 or values.size < 2 or not np.isfinite(values).all():
            continue
        sizes = np.abs(values[values != 0])
        along = [axis for axis, size in enumerate(values.shape) if size > 1]
        if sizes.size and sizes.max() >= APART * sizes.min() and len(along) == 1:
            return along[0] + rank - values.ndim
    return None


def _between(wiring: Wiring, operator: Operator, inside: set[int]) -> set[int]:
    """The operator and the operators of ``inside`` that are made of it."""
    found, waiting = {operator.index}, [operator]
    while waiting:
        for tensor in waiting.pop().outputs:
            more = [reader for reader in wiring.readers.get(tensor, []) if reader.index in inside - found]
            found |= {reader.index for reader in more}
            waiting += more
    return found


def _apart(model: Any, operator: Operator, ranges: dict[int, Range]) -> bool:
    parts = [_range(model, tensor, ranges) for tensor in operator.inputs]
    widths = [part[1] - part[0] for part in parts if part is not None]
    return len(widths) > 1 and max(widths) >= APART * min(widths)


def _range(model: Any, tensor: int, ranges: dict[int, Range]) -> Range | None:
    """The range of an activation, or of a constant that is joined to it (a grid, anchors)."""
    values = graph.constant(model, 0, tensor)
    if values is None or values.dtype != np.float32 or not values.size:
        return ranges.get(tensor)
    return min(float(values.min()), 0.0), max(float(values.max()), 0.0)


def join_parts(model: Any, wiring: Wiring, output: int, joined: frozenset[int]) -> Parts | None:
    """The parts of an output that have different ranges; None if there are none.

    Args:
        model: object tree of the file, for the constants of moves.
        wiring: of its main subgraph.
        output: a tensor.
        joined: what `joins` found.
    """
    operator = wiring.producer.get(output)
    if operator is None or operator.index not in joined:
        return None
    tensors = wiring.graph.tensors
    shape = tensors[output].shape
    if operator.name == "CONCATENATION":
        sizes = tuple(tensors[tensor].shape[int(operator.options["axis"])] for tensor in operator.inputs)
        inner = tuple(join_parts(model, wiring, tensor, joined) for tensor in operator.inputs)
        return Parts(int(operator.options["axis"]) % len(shape), sizes, inner)
    for tensor in wiring.activations(operator):
        found = join_parts(model, wiring, tensor, joined)
        if found is not None:
            moved = found.moved(partial(_moved, model, wiring, operator, tensor))
            return None if moved is None or sum(moved.sizes) != shape[moved.axis] else moved
    scaled = _scaled_axis(model, wiring, operator)
    return None if scaled is None else Parts(scaled, (1,) * shape[scaled], (None,) * shape[scaled])


def _moved(model: Any, wiring: Wiring, operator: Operator, operand: int, axis: int) -> int | None:
    """Where an axis of an operand lies in the result."""
    before, after = (wiring.graph.tensors[t].shape for t in (operand, operator.outputs[0]))
    if operator.name == "TRANSPOSE":
        order = graph.constant(model, 0, operator.inputs[1])
        return None if order is None else [int(k) for k in order].index(axis)
    if len(before) == len(after):
        return axis
    if operator.name in ELEMENTWISE:  # broadcast: shapes are matched from the end
        return axis + len(after) - len(before)
    same = [k for k, size in enumerate(after) if size == before[axis] and prod(after[:k]) == prod(before[:axis])]
    return same[0] if same else None
