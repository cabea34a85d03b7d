"""AVERAGE_POOL_2D over the whole image as MEAN.

LiteRT's int8 pool takes 1.2 to 1.4 times as long, with a layer before it, than MEAN does, and in floats as long
(ai-edge-litert 2.1.2 on x86-64). Its result has the levels of what it reads; that of MEAN has levels of its own.
"""

import numpy as np

from edgekit.rewrites.main_graph import MainGraph, Node, Replacement

ROOTS = frozenset({"AVERAGE_POOL_2D"})


def replacement(main: MainGraph, node: Node) -> Replacement | None:
    """MEAN, if the pool has one window and no activation."""
    _, height, width, _ = main.shape(node.inputs[0])
    window = node.options.get("filterHeight"), node.options.get("filterWidth")
    one = main.shape(node.outputs[0])[1:3] == (1, 1)
    if not one or window != (height, width) or node.options.get("fusedActivationFunction"):
        return None
    axes = main.add_constant(node.outputs[0], "axes", np.array([1, 2], np.int32))
    made = main.node("MEAN", (node.inputs[0], axes), node.outputs, "ReducerOptions", keepDims=True)
    return Replacement((node,), (made,))
