"""A model as users have it becomes one that the converter gets right: static, folded, primitive.

1. Functions of the model are inlined; old opsets are raised to 13.
2. Shapes are inferred, constants folded, If and Loop resolved, until nothing changes.
3. Operators that the converter cannot take, or gets wrong, are rewritten as primitive ones.
4. Folding again.
"""

import onnx
from onnx import helper, version_converter

from edgekit.sources.onnx import folding
from edgekit.sources.onnx.control_flow import choose, resolve
from edgekit.sources.onnx.functions import inline_own, write_out
from edgekit.sources.onnx.network import ONNX_ERRORS, Network, rewrite
from edgekit.sources.onnx.rules import RULES

OPSET = 13
"""The oldest opset that the rewriting knows: since it, axes of Squeeze, Unsqueeze and ReduceSum are inputs."""


def prepare(model: onnx.ModelProto) -> Network:
    """Prepare a model whose input shapes are fixed (`shapes.fix`). Of the model only its version changes."""
    network = Network.of(_raised(_with_old_resizing(inline_own(model))))
    _apart_from_inputs(network)
    folding.settle(network, resolve)
    while (
        choose(network) or rewrite(network, RULES) or write_out(network)
    ):  # either may make operators that the other one takes
        folding.settle(network, resolve)
    for node in network.nodes:
        node.name = node.output[0]  # the converter names inner tensors after nodes: so they can be found again
    return network


def _apart_from_inputs(network: Network) -> None:
    """An output that is an input becomes a copy with a name of its own: in TFLite one tensor cannot be both."""
    for i, name in enumerate(network.outputs):
        if name in network.inputs:
            network.outputs[i] = network.fresh(f"{name}/output")
            network.nodes.append(helper.make_node("Identity", [name], [network.outputs[i]]))


def _raised(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model in opset 13 if it is older; as it is if an operator has no conversion."""
    version = next((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), OPSET)
    if version >= OPSET:
        return model
    model.ir_version = max(model.ir_version, 4)  # since it, weights need not be listed among the inputs
    try:
        return version_converter.convert_version(model, OPSET)
    except ONNX_ERRORS:
        return model


def _with_old_resizing(model: onnx.ModelProto) -> onnx.ModelProto:
    """Upsample (to opset 9) and Resize-10 as the Resize of today that computes the same.

    Both map coordinates asymmetrically and round down, which the version converter forgets: it
    leaves today's default, half-pixel centres.
    """
    version = next((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), OPSET)
    if version > 10 or not any(node.op_type in {"Resize", "Upsample"} for node in model.graph.node):
        return model
    raised = _raised(model)
    for node in raised.graph.node:
        if node.op_type == "Resize":
            kept = [a for a in node.attribute if a.name == "mode"]
            del node.attribute[:]
            node.attribute.extend(kept)
            node.attribute.append(helper.make_attribute("coordinate_transformation_mode", "asymmetric"))
            node.attribute.append(helper.make_attribute("nearest_mode", "floor"))
    return raised
