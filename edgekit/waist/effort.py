"""What one inference of a TFLite file takes, as far as the file tells: for the limit of time that it gets."""

from math import prod
from pathlib import Path
from typing import Any

from edgekit.host.deadline import Effort
from edgekit.waist import cost, graph
from edgekit.waist.graph import Graph, Operator
from edgekit.waist.loops import trips

MOST_TRIPS = 100_000
"""How often bodies of loops count, those inside one another together: ten seconds of sound, sample by sample.

A file may ask for any number; what passes this is not taken for work.
"""


def of(path: Path) -> Effort:
    """The effort of a file's main subgraph with what it calls.

    Bodies of loops count as often as the file says, else once for each step of the longest input.

    Raises:
        InputError: the file is damaged.
    """
    model = graph.load(path)
    subgraphs = graph.describe(model)
    loops = tuple(
        _named(model, subgraphs, index, operator)
        for index, part in enumerate(subgraphs)
        for operator in part.operators
        if operator.name == "WHILE"
    )
    main = subgraphs[0]
    longest = max((size for tensor in main.inputs for size in main.tensors[tensor].shape), default=1)

    def total(rule: cost.Rule) -> int:
        """Of the whole model, bodies of loops as often as they run; ``WHILE`` of unknown length once for each step."""
        return cost.repeated(model, rule, most_trips=MOST_TRIPS, unknown_trips=max(1, longest))

    return Effort(macs=total(cost.macs), values=total(_values), loops=loops)


def _values(part: Graph, operator: Operator) -> int:
    return sum(max(0, prod(part.tensors[tensor].shape)) for tensor in operator.outputs if tensor >= 0)


def _named(model: Any, subgraphs: tuple[Graph, ...], outer: int, loop: Operator) -> str:
    """A loop by its operator and first result, with how often it runs if that is known."""
    name = subgraphs[outer].tensors[loop.outputs[0]].name if loop.outputs else ""
    often = trips(model, subgraphs, outer, loop)
    return f"WHILE {name or loop.index}" + (f" ({often:,} times)" if often is not None else "")
