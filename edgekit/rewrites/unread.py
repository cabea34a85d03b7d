"""Operators whose results nobody reads are dropped."""

from edgekit.rewrites.main_graph import MainGraph, Node, Replacement

ROOTS = None
"""Any operator."""


def replacement(main: MainGraph, node: Node) -> Replacement | None:
    """Nothing in place of an operator that is not read."""
    if not node.outputs or any(tensor in main.outputs or main.readers(tensor) for tensor in node.outputs):
        return None
    return Replacement((node,))
