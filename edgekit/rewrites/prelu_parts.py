"""PRELU in operators that XNNPACK has in int8; it has no PRELU there, and LiteRT's own kernel takes many times as long.

With slopes a it is x + relu(-(1 - a)·x), a product that is clamped as it is written; where a is above 1, it is
x - relu(-(a - 1)·x). One slope for all channels is a LEAKY_RELU.
"""

import numpy as np

from edgekit.rewrites.activations import FUSED
from edgekit.rewrites.main_graph import MainGraph, Node, Replacement

ROOTS = frozenset({"PRELU"})


def replacement(main: MainGraph, node: Node) -> Replacement | None:
    """RELU, LEAKY_RELU, or clamped products with their sum."""
    (x, slopes), (made,) = node.inputs, node.outputs
    alpha = main.constant(slopes)
    if alpha is None or alpha.dtype != np.float32 or not alpha.size:
        return None
    if not alpha.any():
        return Replacement((node,), (main.node("RELU", (x,), (made,)),))
    if alpha.min() == alpha.max():
        leaky = main.node("LEAKY_RELU", (x,), (made,), "LeakyReluOptions", alpha=float(alpha.min()))
        return Replacement((node,), (leaky,))
    new, total = list[Node](), x
    parts = {"ADD": np.minimum(alpha - 1, 0), "SUB": np.minimum(1 - alpha, 0)}
    for name, factors in parts.items():
        if not factors.any():
            continue
        rest = main.activation(made, f"rest_{name.lower()}", main.shape(x))
        factor = main.add_constant(made, f"slopes_{name.lower()}", factors)
        new.append(main.node("MUL", (x, factor), (rest,), "MulOptions", fusedActivationFunction=FUSED["RELU"]))
        ends = name == "SUB" or not parts["SUB"].any()
        result = made if ends else main.activation(made, "part", main.shape(x))
        new.append(main.node(name, (total, rest), (result,), f"{name.title()}Options"))
        total = result
    return Replacement((node,), tuple(new))
