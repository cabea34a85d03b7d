"""RELU and its like, fused into the operator before it, which then writes its results once."""

from ai_edge_litert import schema_py_generated as schema

from edgekit.rewrites.main_graph import MainGraph, Node, Replacement

FUSED = {
    "RELU": schema.ActivationFunctionType.RELU,
    "RELU6": schema.ActivationFunctionType.RELU6,
    "RELU_N1_TO_1": schema.ActivationFunctionType.RELU_N1_TO_1,
}

ROOTS = frozenset(FUSED)

HOSTS = frozenset({"ADD", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MUL", "SUB"})
"""What takes an activation on every runtime; the Edge TPU takes none in pools and concatenations."""


def replacement(main: MainGraph, node: Node) -> Replacement | None:
    """The operator before, with the activation in it."""
    host = main.maker.get(node.inputs[0])
    if host is None or host.name not in HOSTS or not main.alone(node.inputs[0]):
        return None
    if (
        host.options.get("fusedActivationFunction") != schema.ActivationFunctionType.NONE
        or main.dtype(node.inputs[0]) != "float32"
    ):
        return None
    return Replacement(
        (host, node), (main.like(host, host.inputs, node.outputs, fusedActivationFunction=FUSED[node.name]),)
    )
