"""Operators that compute what another one does already: the same kind, options and operands."""

from edgekit.rewrites.main_graph import MainGraph, Node, Replacement

ROOTS = None
"""Any operator."""

MOST_READERS = 32
"""Of a tensor, among which others are looked for: shapes and constants may have thousands."""


def replacement(main: MainGraph, node: Node) -> Replacement | None:
    """The results of another operator in place of those of one that does the same."""
    given = next((tensor for tensor in node.inputs if tensor >= 0 and not main.is_constant(tensor)), None)
    readers = () if given is None else main.readers(given)
    if node.fixed or len(readers) > MOST_READERS:
        return None
    for other in readers:
        if other is not node and _alike(main, node, other):
            return Replacement(
                (node, other), (other_again(main, other),), dict(zip(node.outputs, other.outputs, strict=True))
            )
    return None


def other_again(main: MainGraph, node: Node) -> Node:
    """The operator that stays, as a new one: both sides of a proof compute it."""
    return main.like(node, node.inputs, node.outputs)


def _alike(main: MainGraph, one: Node, other: Node) -> bool:
    if (one.name, one.options, len(one.inputs)) != (other.name, other.options, len(other.inputs)):
        return False
    if len(one.outputs) != len(other.outputs) or {*one.outputs} & main.outputs:
        return False
    return all(_same(main, a, b) for a, b in zip(one.inputs, other.inputs, strict=True))


def _same(main: MainGraph, one: int, other: int) -> bool:
    if one == other:
        return True
    a, b = main.constant(one), main.constant(other)
    return a is not None and b is not None and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
