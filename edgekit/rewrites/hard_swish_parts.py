"""HARD_SWISH as x·relu6(x + 3)/6, for what has no such operator in integers.

The Edge TPU's table has none, and XNNPACK none in int8, so that it falls back to LiteRT's own kernel.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.rewrites.main_graph import MainGraph, Node, Replacement

ROOTS = frozenset({"HARD_SWISH"})


def replacement(main: MainGraph, node: Node) -> Replacement | None:
    """A sum that is clamped, and two products."""
    x, made = node.inputs[0], node.outputs[0]
    shape = main.shape(x)
    gate, product = main.activation(made, "gate", shape), main.activation(made, "gated", shape)
    three = main.add_constant(made, "three", np.array([3.0], np.float32))
    sixth = main.add_constant(made, "sixth", np.array([1 / 6], np.float32))
    clamp = schema.ActivationFunctionType.RELU6
    return Replacement(
        (node,),
        (
            main.node("ADD", (x, three), (gate,), "AddOptions", fusedActivationFunction=clamp),
            main.node("MUL", (x, gate), (product,), "MulOptions"),
            main.node("MUL", (product, sixth), (made,), "MulOptions"),
        ),
    )
