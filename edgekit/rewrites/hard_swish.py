"""x·relu6(x + 3)/6, in however many operators it is written, as HARD_SWISH."""

from ai_edge_litert import schema_py_generated as schema

from edgekit.rewrites.main_graph import MainGraph, Node, Replacement
from edgekit.rewrites.products import PRODUCTS, factors, scalar

ROOTS = PRODUCTS

NEAR = 1e-6
"""How near a constant must come to what it stands for, relatively."""


def replacement(main: MainGraph, node: Node) -> Replacement | None:
    """HARD_SWISH, if a product is of x, a gate that follows it, and what makes the gate end at 1."""
    nodes: list[Node] = []
    scale, both = factors(main, node, nodes)
    if len(both) != 2:
        return None
    for x, gate in (both, both[::-1]):
        found = _gate(main, x, gate)
        if found is not None and abs(found[0] * scale - 1) < NEAR and main.shape(x) == main.shape(node.outputs[0]):
            return Replacement(
                (*found[1], *nodes[::-1]), (main.node("HARD_SWISH", (x,), node.outputs, "HardSwishOptions"),)
            )
    return None


def _gate(main: MainGraph, x: int, gate: int) -> tuple[float, tuple[Node, ...]] | None:
    """How high a gate relu6(x + 3) of x ends, and the operators that make it for this product alone."""
    clamp = main.maker.get(gate)
    if clamp is None or not main.alone(gate):
        return None
    if clamp.name == "RELU6":
        addition = main.maker.get(clamp.inputs[0])
        if addition is None or not main.alone(clamp.inputs[0]) or addition.options.get("fusedActivationFunction"):
            return None
        nodes: tuple[Node, ...] = (addition, clamp)
    else:
        addition, nodes = clamp, (clamp,)
        if addition.options.get("fusedActivationFunction") != schema.ActivationFunctionType.RELU6:
            return None
    if addition.name != "ADD" or x not in addition.inputs:
        return None
    value = scalar(main, addition.inputs[1 - addition.inputs.index(x)])
    return (6.0, nodes) if value is not None and abs(value - 3) < 3 * NEAR else None
