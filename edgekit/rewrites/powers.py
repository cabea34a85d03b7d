"""Powers and quotients by roots, as what every runtime has: products, SQRT and RSQRT.

POW is on no fast kernel, and neither it nor DIV on accelerators. a / √b is a · RSQRT(b), as layer normalization has it.
"""

from edgekit.rewrites.main_graph import MainGraph, Node, Replacement
from edgekit.rewrites.products import scalar

ROOTS = frozenset({"DIV", "POW"})

ROOTED = {0.5: "SQRT", -0.5: "RSQRT"}


def replacement(main: MainGraph, node: Node) -> Replacement | None:
    """The same without POW, or without DIV."""
    if main.dtype(node.outputs[0]) != "float32":
        return None
    return _power(main, node) if node.name == "POW" else _quotient(main, node)


def _power(main: MainGraph, node: Node) -> Replacement | None:
    x, made = node.inputs[0], node.outputs[0]
    exponent = scalar(main, node.inputs[1])
    if exponent is None or main.shape(x) != main.shape(made) or main.is_constant(x):
        return None
    if exponent in ROOTED:
        return Replacement((node,), (main.node(ROOTED[exponent], (x,), (made,)),), where_finite=True)
    if exponent == 2:
        return Replacement((node,), (main.node("MUL", (x, x), (made,), "MulOptions"),))
    if exponent == 3:
        square = main.activation(made, "square", main.shape(x))
        both = (main.node("MUL", (x, x), (square,), "MulOptions"), main.node("MUL", (square, x), (made,), "MulOptions"))
        return Replacement((node,), both)
    return None


def _quotient(main: MainGraph, node: Node) -> Replacement | None:
    above, below = node.inputs
    root = main.maker.get(below)
    if root is None or root.name != "SQRT" or not main.alone(below):
        return None
    if scalar(main, above) == 1.0 and not node.options.get("fusedActivationFunction"):
        return Replacement((root, node), (main.node("RSQRT", root.inputs, node.outputs),), where_finite=True)
    inverse = main.activation(node.outputs[0], "inverse", main.shape(below))
    activation = node.options.get("fusedActivationFunction", 0)
    product = main.node("MUL", (above, inverse), node.outputs, "MulOptions", fusedActivationFunction=activation)
    return Replacement((root, node), (main.node("RSQRT", root.inputs, (inverse,)), product), where_finite=True)
