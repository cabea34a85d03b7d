"""exp(x − max x) / Σ exp(x − max x) as SOFTMAX, along any axis; also without the maximum.

In parts it is five operators, of which EXP and DIV have no integers. Without the maximum it overflows where SOFTMAX
does not, so that both are compared where the parts are finite.
"""

import numpy as np

from edgekit.rewrites.main_graph import MainGraph, Node, Replacement
from edgekit.rewrites.norms import axis
from edgekit.rewrites.products import scalar

ROOTS = frozenset({"DIV", "MUL"})


def replacement(main: MainGraph, node: Node) -> Replacement | None:
    """SOFTMAX, between transposes if it is not along the last axis."""
    if node.options.get("fusedActivationFunction"):
        return None
    for powers, sum_, more in _shares(main, node):
        exp, total = main.maker.get(powers), main.maker.get(sum_)
        along = axis(main, total, "SUM")
        if exp is None or total is None or exp.name != "EXP" or along is None or total.inputs[0] != powers:
            continue
        x, before = _below_the_maximum(main, exp.inputs[0], along)
        old = (*before, exp, total, *more, node)
        if not main.closed(old, node):
            continue
        return Replacement(old, tuple(_softmax(main, x, node.outputs[0], along)), where_finite=True)
    return None


def _shares(main: MainGraph, node: Node) -> list[tuple[int, int, tuple[Node, ...]]]:
    """What a quotient may divide by what: by DIV, or by a product with a reciprocal."""
    if node.name == "DIV":
        return [(node.inputs[0], node.inputs[1], ())]
    found: list[tuple[int, int, tuple[Node, ...]]] = []
    for powers, other in (node.inputs, node.inputs[::-1]):
        maker = main.maker.get(other)
        if maker is not None and maker.name == "DIV" and scalar(main, maker.inputs[0]) == 1.0:
            found.append((powers, maker.inputs[1], (maker,)))
    return found


def _below_the_maximum(main: MainGraph, tensor: int, along: int) -> tuple[int, tuple[Node, ...]]:
    """What has its maximum taken away, and the operators that do so; the tensor itself if nothing is."""
    node = main.maker.get(tensor)
    if node is None or node.name != "SUB" or node.options.get("fusedActivationFunction"):
        return tensor, ()
    most = main.maker.get(node.inputs[1])
    if most is None or axis(main, most, "REDUCE_MAX") != along or most.inputs[0] != node.inputs[0]:
        return tensor, ()
    return node.inputs[0], (most, node)


def _softmax(main: MainGraph, x: int, made: int, along: int) -> list[Node]:
    shape = main.shape(x)
    if along == len(shape) - 1:
        return [main.node("SOFTMAX", (x,), (made,), "SoftmaxOptions", beta=1.0)]
    order = [k for k in range(len(shape)) if k != along] + [along]
    turned = tuple(shape[k] for k in order)
    last, shares = (main.activation(made, suffix, turned) for suffix in ("turned", "shares"))
    there = main.add_constant(made, "order", np.array(order, np.int32))
    back = main.add_constant(made, "back", np.argsort(order).astype(np.int32))
    return [
        main.node("TRANSPOSE", (x, there), (last,), "TransposeOptions"),
        main.node("SOFTMAX", (last,), (shares,), "SoftmaxOptions", beta=1.0),
        main.node("TRANSPOSE", (shares, back), (made,), "TransposeOptions"),
    ]
