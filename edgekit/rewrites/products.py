"""A product with all its factors, in however many operators it is written."""

import numpy as np

from edgekit.rewrites.main_graph import MainGraph, Node

PRODUCTS = frozenset({"MUL", "DIV"})


def scalar(main: MainGraph, tensor: int) -> float | None:
    """A constant's only value; None if it has more, or is none."""
    value = main.constant(tensor)
    return float(value.ravel()[0]) if value is not None and value.size == 1 and value.dtype == np.float32 else None


def scaled(main: MainGraph, node: Node) -> tuple[float, int] | None:
    """The number that a product multiplies a tensor by, and the tensor; None if that is not all that it does."""
    if node.options.get("fusedActivationFunction"):
        return None
    for tensor, other in (node.inputs, node.inputs[::-1])[: 1 if node.name == "DIV" else 2]:
        value = scalar(main, other)
        alike = main.shape(tensor) == main.shape(node.outputs[0]) and not main.is_constant(tensor)
        if value and np.isfinite(value) and alike:
            return (value if node.name == "MUL" else 1 / value), tensor
    return None


def factors(main: MainGraph, node: Node, nodes: list[Node]) -> tuple[float, list[int]]:
    """The constant factor of a product, and the others; ``nodes`` takes the operators that multiply them."""
    nodes.append(node)
    scale, others = 1.0, list[int]()
    if node.options.get("fusedActivationFunction"):
        return 0.0, []
    for slot, tensor in enumerate(node.inputs):
        value, maker = scalar(main, tensor), main.maker.get(tensor)
        if value is not None and (node.name == "MUL" or slot == 1):
            scale *= value if node.name == "MUL" else 1 / value if value else 0.0
        elif maker is not None and maker.name in PRODUCTS and main.alone(tensor) and len(nodes) < 4 and not maker.fixed:
            inner, more = factors(main, maker, nodes)
            scale, others = scale * inner, others + more
        else:
            others.append(tensor)
            if node.name == "DIV" and slot == 1:
                return 0.0, []
    return scale, others
