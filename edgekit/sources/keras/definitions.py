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
    """Whether a value depends on a network's inputs. What only has to run before it (``^name``) is in no value.

    Args:
        known: the nodes of its graph, by name.
        name: a reference to the value.
    """
    return any(node.op == "Placeholder" for node in needed(known, name))


def needed(known: Mapping[str, Any], name: str) -> list[Any]:
    """The nodes that a value is computed from, its own first. See `from_inputs`."""
    waiting, found = [name], dict[str, Any]()
    while waiting:
        node = known[source(waiting.pop())]
        if node.name not in found:
            found[node.name] = node
            waiting += [given for given in node.input if not given.startswith("^")]
    return list(found.values())
