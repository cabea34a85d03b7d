"""State in resource variables while operators run one at a time: what each read of one finds is taken from whole runs.

The file's own state goes into what it accumulates, the float network's into what is looked at alone. State of
recurrent operators needs nothing: it goes on inside of them from sample to sample.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgekit.errors import Unsupported
from edgekit.waist import graph
from edgekit.waist.graph import Graph
from edgekit.waist.stepwise import Stepwise
from edgekit.waist.tensors import Array

KINDS = frozenset({"ASSIGN_VARIABLE", "CALL_ONCE", "READ_VARIABLE", "VAR_HANDLE"})
"""Operators of resource variables: none of them computes."""


def require_outside_of_loops(artifact: Path, *models: Any) -> None:
    """Refuse networks that keep state where operators are not looked at one by one.

    Raises:
        Unsupported: a loop or a branch writes a variable.
    """
    for model in models:
        main, *others = graph.describe(model)
        begins = {o.options.get("initSubgraphIndex") for o in main.operators if o.name == "CALL_ONCE"}
        inner = [part for number, part in enumerate(others, start=1) if number not in begins]
        if any(operator.name == "ASSIGN_VARIABLE" for part in inner for operator in part.operators):
            raise Unsupported(
                f"{artifact.name} keeps a state from run to run that it writes inside of a loop or a branch, and "
                "operators that run one at a time do not carry that on.",
                place=str(artifact),
                fix="diagnose a build of the same weights that begins each run anew (Keras: stateful=False), or that "
                "has the state as an input and an output",
            )


def reads(main: Graph) -> dict[str, tuple[int, ...]]:
    """What reads of each variable make, by the variable's name."""
    handles = {
        operator.outputs[0]: f"{operator.options.get('container')}/{operator.options.get('sharedName')}"
        for operator in main.operators
        if operator.name == "VAR_HANDLE"
    }
    found: dict[str, tuple[int, ...]] = {}
    for operator in main.operators:
        if operator.name == "READ_VARIABLE":
            name = handles.get(operator.inputs[0], "")
            found[name] = (*found.get(name, ()), operator.outputs[0])
    return found


def values(model: Any, given: Mapping[int, Array]) -> dict[int, Array]:
    """What each read finds, ``[N, *shape]`` by tensor index, while a network runs on one sample after another.

    Args:
        model: its object tree.
        given: its inputs, ``[N, *shape]`` by tensor index.
    """
    whole = Stepwise(model)
    wanted = [tensor for tensors in reads(whole.graph).values() for tensor in tensors]
    return whole.run_part(whole.graph.operators, given, wanted) if wanted else {}
