"""How often the body of a WHILE runs, if the file tells: a counter that goes from a constant to a constant."""

from collections.abc import Iterator
from typing import Any

from edgekit.waist import graph
from edgekit.waist.graph import Graph, Operator

SAME_VALUE = {"RESHAPE", "SQUEEZE", "EXPAND_DIMS", "CAST"}
"""Operators behind which a counter is the same number."""


def trips(model: Any, subgraphs: tuple[Graph, ...], outer: int, loop: Operator) -> int | None:
    """How often a WHILE's body runs; None if it depends on values.

    Understood is what converters write: the condition is ``counter < limit``, or several such joined by AND (the
    first to end counts), and the body adds a constant to the counter.

    Args:
        model: the schema's object tree.
        subgraphs: of that model.
        outer: the subgraph that the loop stands in.
        loop: its operator there.
    """
    condition = subgraphs[int(loop.options["condSubgraphIndex"])]
    found = [
        _trips(model, subgraphs, outer, loop, comparison=comparison)
        for comparison in _comparisons(condition, condition.outputs[0])
    ]
    return None if not found or None in found else min(number for number in found if number is not None)


MOST_STEPS = 32
"""How many operators stand between a number and where it comes from; converters write one or two."""


def _maker(part: Graph, tensor: int) -> Operator | None:
    return next((operator for operator in part.operators if tensor in operator.outputs), None)


def _origin(part: Graph, tensor: int) -> int:
    """The tensor that a number comes from, behind operators that do not change it."""
    for _ in range(MOST_STEPS):  # a damaged file may turn in a circle
        maker = _maker(part, tensor)
        if maker is None or maker.name not in SAME_VALUE:
            break
        tensor = maker.inputs[0]
    return tensor


def _comparisons(condition: Graph, tensor: int) -> Iterator[Operator | None]:
    """The comparisons whose AND a condition is; None for what is none, and if there are too many."""
    waiting = [tensor]
    for _ in range(MOST_STEPS):
        maker = _maker(condition, _origin(condition, waiting.pop()))
        if maker is not None and maker.name == "LOGICAL_AND":
            waiting += reversed(maker.inputs)
        else:
            yield maker if maker is not None and maker.name in {"LESS", "LESS_EQUAL"} else None
        if not waiting:
            return
    yield None


def _trips(
    model: Any, subgraphs: tuple[Graph, ...], outer: int, loop: Operator, *, comparison: Operator | None
) -> int | None:
    if comparison is None or len(comparison.inputs) != 2:
        return None
    condition, body = int(loop.options["condSubgraphIndex"]), int(loop.options["bodySubgraphIndex"])
    part = subgraphs[condition]
    counter, bound = (_origin(part, tensor) for tensor in comparison.inputs)
    if counter not in part.inputs:
        return None
    place = part.inputs.index(counter)
    start = _number(model, outer, _origin(subgraphs[outer], loop.inputs[place]))
    step = _step(model, subgraphs[body], body, place)
    limit = _number(model, condition, bound)
    if limit is None and bound in part.inputs:
        kept = part.inputs.index(bound)
        if _origin(subgraphs[body], subgraphs[body].outputs[kept]) == subgraphs[body].inputs[kept]:
            limit = _number(model, outer, _origin(subgraphs[outer], loop.inputs[kept]))
    if start is None or step is None or limit is None or step <= 0:
        return None
    return runs(start, limit + (comparison.name == "LESS_EQUAL"), step)


def runs(start: int, limit: int, step: int) -> int:
    """How often a counter from ``start`` in positive steps is below ``limit``."""
    return max(0, -((start - limit) // step))


def _step(model: Any, body: Graph, index: int, place: int) -> int | None:
    """What a body adds to its input at a place."""
    maker = _maker(body, _origin(body, body.outputs[place]))
    if maker is None or maker.name != "ADD":
        return None
    origins = [_origin(body, tensor) for tensor in maker.inputs]
    if body.inputs[place] not in origins:
        return None
    return _number(model, index, origins[1 - origins.index(body.inputs[place])])


def _number(model: Any, subgraph: int, tensor: int) -> int | None:
    """A constant integer's value."""
    values = graph.constant(model, subgraph, tensor)
    return int(values.reshape(())) if values is not None and values.size == 1 and values.dtype.kind in "iu" else None
