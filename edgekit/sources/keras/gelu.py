"""GELU that is spelled out with the error function: half of x · (1 + erf(x / √2)), in whatever order it multiplies.

TFLite has an operator for it, and its converter sees one order alone (that of ``tf.nn.gelu``); BERT's first code, and
what was copied from it, has another.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from edgekit.sources.keras.definitions import source
from edgekit.waist.tensors import Array

Constant = Callable[[str], Array | None]
"""The value of a reference if it is computed from constants alone."""

TOLERANCE = 1e-4
"""Relative, of 1, ½ and √2: people write 1.41421 and 0.7071."""


def spelled_out(nodes: Mapping[str, Any], erf: Any, constant: Constant) -> tuple[Any, str] | None:
    """The node that gives the GELU in which an Erf stands, and the reference to its x; None if it stands in none.

    Args:
        nodes: of the graph, by name.
        erf: the node.
        constant: see `Constant`.
    """
    x = _scaled(nodes[source(erf.input[0])], constant)
    one = _only_consumer(nodes, erf)
    if x is None or one is None or one.op not in {"Add", "AddV2"} or not _is(_other(one, erf), 1, constant):
        return None
    left, product = ["x", "half"], one
    while left:
        before, consumer = product, _only_consumer(nodes, product)
        if consumer is None or consumer.op != "Mul":
            return None
        product = consumer
        for factor in _factors(nodes, _other(product, before), x, constant):
            if factor not in left:
                return None
            left.remove(factor)
    return product, x


def _scaled(node: Any, constant: Constant) -> str | None:
    """The x of x / √2 or x · √½."""
    if node.op == "RealDiv":
        return str(node.input[0]) if _is(node.input[1], math.sqrt(2), constant) else None
    if node.op != "Mul":
        return None
    for x, factor in (node.input[:2], node.input[1::-1]):
        if _is(factor, math.sqrt(0.5), constant):
            return str(x)
    return None


def _factors(nodes: Mapping[str, Any], name: str, x: str, constant: Constant) -> list[str]:
    """What a factor is: x, half, or the product of both."""
    if name == x:
        return ["x"]
    if _is(name, 0.5, constant):
        return ["half"]
    node = nodes[source(name)]
    halved = node.op == "Mul" and x in node.input and _is(_other(node, nodes[source(x)]), 0.5, constant)
    return ["x", "half"] if halved else [""]


def _other(node: Any, known: Any) -> str:
    """The input of an operator of two that ``known`` does not give."""
    return str(node.input[1] if source(node.input[0]) == known.name else node.input[0])


def _only_consumer(nodes: Mapping[str, Any], node: Any) -> Any | None:
    found = [other for other in nodes.values() if node.name in map(source, other.input)]
    return found[0] if len(found) == 1 else None


def _is(name: str, value: float, constant: Constant) -> bool:
    """Whether a reference is this number."""
    found = constant(name)
    return found is not None and found.size == 1 and math.isclose(float(found.reshape(-1)[0]), value, rel_tol=TOLERANCE)
