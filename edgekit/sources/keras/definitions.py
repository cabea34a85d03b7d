"""Nodes of TensorFlow's graph definitions."""

from collections.abc import Iterator, Mapping
from typing import Any


def nodes(definition: Any) -> Iterator[Any]:
    """Every node of a graph, and of the functions that it holds."""
    yield from definition.node
    for body in definition.library.function:
        yield from body.node_def


def source(name: str) -> str:
    """The node that a reference in a graph or in a function's body names."""
    return name.lstrip("^").partition(":")[0]


def from_inputs(known: Mapping[str, Any], name: str) -> bool:
    """Whether a value depends on a network's inputs.

    Args:
        known: the nodes of its graph, by name.
        name: a reference to the value.
    """
    waiting, seen = [name], set()
    while waiting:
        node = known[source(waiting.pop())]
        if node.op == "Placeholder":
            return True
        if node.name not in seen:
            seen.add(node.name)
            waiting += node.input
    return False
