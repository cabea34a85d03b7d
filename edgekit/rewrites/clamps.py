"""RELU and its like that no operator before them takes in, as a product by 1 that is clamped.

XNNPACK takes an int8 clamp only if both sides have one scale, and the result of a RELU has a finer one than what it
reads. LiteRT's own kernel takes some ten times as long as the product (ai-edge-litert 2.1.2 on x86-64).
"""

import numpy as np

from edgekit.rewrites.activations import FUSED
from edgekit.rewrites.main_graph import MainGraph, Node, Replacement

ROOTS = frozenset(FUSED)


def replacement(main: MainGraph, node: Node) -> Replacement | None:
    """The product."""
    (x,), (made,) = node.inputs, node.outputs
    if main.dtype(x) != "float32":
        return None
    one = main.add_constant(made, "one", np.array([1.0], np.float32))
    product = main.node("MUL", (x, one), (made,), "MulOptions", fusedActivationFunction=FUSED[node.name])
    return Replacement((node,), (product,))
