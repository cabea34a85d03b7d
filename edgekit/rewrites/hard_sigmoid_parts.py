"""RELU_0_TO_1 as relu6(6·x)/6, for integers: their quantizers do not know it, and it would stay float.

The factor of 6 goes into the layer before (`edgekit.rewrites.scales`), and RELU6 with it.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.rewrites.main_graph import MainGraph, Node, Replacement

ROOTS = frozenset({"RELU_0_TO_1"})


def replacement(main: MainGraph, node: Node) -> Replacement | None:
    """A product that is clamped, and another one."""
    x, made = node.inputs[0], node.outputs[0]
    if main.dtype(x) != "float32":
        return None
    six = main.add_constant(made, "six", np.array([6.0], np.float32))
    sixth = main.add_constant(made, "sixth", np.array([1 / 6], np.float32))
    clamped, clamp = main.activation(made, "clamped", main.shape(x)), schema.ActivationFunctionType.RELU6
    first = main.node("MUL", (x, six), (clamped,), "MulOptions", fusedActivationFunction=clamp)
    return Replacement((node,), (first, main.node("MUL", (clamped, sixth), (made,), "MulOptions")))
