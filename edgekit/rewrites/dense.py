"""Dense layers on tensors of more than two axes, without the RESHAPE that makes two of them and the one back.

FULLY_CONNECTED keeps leading axes if it is told so. BATCH_MATMUL by a constant matrix is a dense layer without a bias,
which runtimes pack once when they load it, and whose weights quantizers know as such.
"""

from typing import Any

import numpy as np

from edgekit.rewrites import layouts
from edgekit.rewrites.index_maps import MOST_AXES, MOVERS
from edgekit.rewrites.main_graph import MainGraph, Node, Replacement

ROOTS = frozenset({"BATCH_MATMUL", "FULLY_CONNECTED"})

PASSED = layouts.UNARY | layouts.BINARY | layouts.LAST_AXIS | {"FULLY_CONNECTED"}
"""What a RESHAPE may pass on its way."""

MOST_STEPS = 6


def replacement(main: MainGraph, node: Node) -> Replacement | None:
    """A product by a constant as a dense layer; a dense layer on what its operand was before a RESHAPE."""
    if main.dtype(node.outputs[0]) != "float32":
        return None
    return _by_constant(main, node) if node.name == "BATCH_MATMUL" else _unshaped(main, node)


def _by_constant(main: MainGraph, node: Node) -> Replacement | None:
    matrix: Any = main.constant(node.inputs[1])
    if matrix is None or node.options.get("adjX") or max(matrix.shape[:-2], default=1) > 1:
        return None
    rows = matrix.reshape(matrix.shape[-2:])
    held = main.add_constant(node.inputs[1], "weights", rows if node.options.get("adjY") else rows.T)
    if len(main.shape(node.outputs[0])) != len(main.shape(node.inputs[0])):
        return None
    made = main.node(
        "FULLY_CONNECTED", (node.inputs[0], held, -1), node.outputs, "FullyConnectedOptions", keepNumDims=True
    )
    return Replacement((node,), (made,))


def _unshaped(main: MainGraph, node: Node) -> Replacement | None:
    turn, made = main.maker.get(node.inputs[0]), node.outputs[0]
    weights = main.shape(node.inputs[1])
    if turn is None or turn.name != "RESHAPE" or main.shape(node.inputs[0])[-1:] != weights[-1:]:
        return None
    before, after = main.shape(turn.inputs[0]), main.shape(made)
    if len(after) < len(before) <= MOST_AXES and before[-1] == weights[-1] and _meets_others(main, made):
        inner = main.activation(made, "before", (*before[:-1], after[-1]))
        layer = main.like(node, (turn.inputs[0], *node.inputs[1:]), (inner,), keepNumDims=True)
        return Replacement((turn, node), (_again(main, turn), layer, _reshape(main, inner, made)))
    (last, *others) = main.readers(made)
    if last.name != "RESHAPE" or others or not main.alone(made) or not main.alone(node.inputs[0]):
        return None
    wanted = main.shape(last.outputs[0])
    if wanted[-1:] != after[-1:] or not 1 < len(wanted) <= MOST_AXES:
        return None
    inner = main.activation(node.inputs[0], "before", (*wanted[:-1], weights[-1]))
    layer = main.like(node, (inner, *node.inputs[1:]), last.outputs, keepNumDims=True)
    return Replacement((turn, node, last), (_reshape(main, turn.inputs[0], inner), layer))


def _again(main: MainGraph, turn: Node) -> Node:
    """A RESHAPE that others may read; it goes if nobody does."""
    return main.like(turn, turn.inputs, turn.outputs)


def _reshape(main: MainGraph, source: int, made: int) -> Node:
    shape = main.shape(made)
    told = main.add_constant(made, "shape", np.array(shape, np.int32))
    return main.node("RESHAPE", (source, told), (made,), "ReshapeOptions", newShape=list(shape))


def _meets_others(main: MainGraph, tensor: int, steps: int = MOST_STEPS) -> bool:
    """Whether the RESHAPE behind the layer meets another one, on whatever way from there."""
    readers = main.readers(tensor)
    if not readers or tensor in main.outputs or not steps:
        return False
    return all(r.name in MOVERS or (r.name in PASSED and _meets_others(main, r.outputs[0], steps - 1)) for r in readers)
