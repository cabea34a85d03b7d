"""Sums and maxima along one axis, as softmax, layer normalization and L2 norm are made of."""

from edgekit.rewrites.main_graph import MainGraph, Node


def axis(main: MainGraph, node: Node | None, kind: str) -> int | None:
    """The only axis of a reduction that keeps it with size 1; None of anything else."""
    if node is None or node.name != kind or not node.options.get("keepDims"):
        return None
    axes = main.constant(node.inputs[1])
    return None if axes is None or axes.size != 1 else int(axes.ravel()[0]) % len(main.shape(node.inputs[0]))


def square_of(main: MainGraph, tensor: int) -> int | None:
    """What a tensor is the square of; None if it is none."""
    node = main.maker.get(tensor)
    if node is None or node.options.get("fusedActivationFunction"):
        return None
    if node.name == "SQUARE" or (node.name == "MUL" and len({*node.inputs}) == 1):
        return node.inputs[0]
    return None
