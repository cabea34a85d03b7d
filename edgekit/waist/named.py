"""Operators that a user names: by what they make, by their kind, or by their place in the float network."""

import difflib
from collections.abc import Iterable

from edgekit.errors import InputError
from edgekit.waist import graph


def outputs(main: graph.Graph, wanted: Iterable[int | str], key: str) -> frozenset[str]:
    """The names of what the operators make, by which they are known in every form of the network.

    Args:
        main: the float network's main graph.
        wanted: names of tensors, kinds of operators, or places.
        key: the setting that names them, for complaints.

    Raises:
        InputError: there is no such operator.
    """
    return frozenset(
        main.tensors[tensor].name
        for one in wanted
        for operator in _operators(main, one, key)
        for tensor in operator.outputs
        if tensor >= 0
    )


def makers(main: graph.Graph, names: frozenset[str]) -> frozenset[int]:
    """The operators of a graph that make tensors of these names."""
    return frozenset(
        operator.index
        for operator in main.operators
        if any(tensor >= 0 and main.tensors[tensor].name in names for tensor in operator.outputs)
    )


def _operators(main: graph.Graph, one: int | str, key: str) -> list[graph.Operator]:
    if isinstance(one, int):
        found = [operator for operator in main.operators if operator.index == one]
    else:
        found = [operator for operator in main.operators if operator.name == one] or [
            main.operators[index] for index in makers(main, frozenset({one}))
        ]
    if found:
        return found
    kinds = sorted({operator.name for operator in main.operators})
    made = {main.tensors[t].name for operator in main.operators for t in operator.outputs if t >= 0}
    near = difflib.get_close_matches(str(one), [*kinds, *sorted(made)], 1)
    last = len(main.operators) - 1
    raise InputError(
        f"The network has no operator {one}.",
        place=f"{key} = {one}",
        fix=f"did you mean {near[0]}?" if near else f"give a place from 0 to {last}, or one of: {', '.join(kinds)}",
    )
