"""PADV2 by the lowest float in front of MAX_POOL_2D, as PAD by zeros where all that is pooled is 0 or more.

Behind a RELU a zero never wins against a value. The lowest float stretches the ranges of integers, and accelerators
know no PADV2.
"""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.rewrites.activations import HOSTS
from edgekit.rewrites.main_graph import MainGraph, Node, Replacement

ROOTS = frozenset({"PADV2"})

CLAMPS = frozenset({schema.ActivationFunctionType.RELU, schema.ActivationFunctionType.RELU6})


def replacement(main: MainGraph, node: Node) -> Replacement | None:
    """The layer with its RELU, PAD, and the pools; the layer is there for the proof, and stays as it is."""
    source, padded = node.inputs[0], node.outputs[0]
    layer = main.maker.get(source)
    value: Any = main.constant(node.inputs[2])
    pools = main.readers(padded)
    if value is None or not np.all(value <= 0) or layer is None or layer.name not in HOSTS or not pools:
        return None
    clamped = layer.options.get("fusedActivationFunction") in CLAMPS
    if not clamped or padded in main.outputs or any(pool.name != "MAX_POOL_2D" for pool in pools):
        return None
    again = main.like(layer, layer.inputs, layer.outputs)
    pad = main.node("PAD", node.inputs[:2], node.outputs, "PadOptions")
    return Replacement(
        (layer, node, *pools), (again, pad, *(main.like(pool, pool.inputs, pool.outputs) for pool in pools))
    )
