"""A model as users have it becomes one that the converter gets right: static, folded, primitive.

1. Functions of the model are inlined; old opsets are raised to 13.
2. Shapes are inferred, constants folded, If and Loop resolved, until nothing changes.
3. Operators that the converter cannot take, or gets wrong, are rewritten as primitive ones.
4. Folding again.
"""

import onnx
from onnx import inliner, version_converter

from edgekit.sources.onnx import folding
from edgekit.sources.onnx.control_flow import choose, resolve
from edgekit.sources.onnx.network import Network, rewrite
from edgekit.sources.onnx.rewrites import RULES

OPSET = 13
"""The oldest opset that the rewriting knows: since it, axes of Squeeze, Unsqueeze and ReduceSum are inputs."""


def prepare(model: onnx.ModelProto) -> Network:
    """Prepare a model whose input shapes are fixed (`shapes.fix`). The model is not modified."""
    network = Network.of(_raised(_inlined(model)))
    folding.settle(network, resolve)
    while choose(network) or rewrite(network, RULES):  # either may make operators that the other one takes
        folding.settle(network, resolve)
    return network


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    return inliner.inline_local_functions(model) if model.functions else model


def _raised(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model in opset 13 where it is older; as it is where an operator has no conversion."""
    version = next((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), OPSET)
    if version >= OPSET:
        return model
    try:
        return version_converter.convert_version(model, OPSET)
    except (RuntimeError, ValueError, version_converter.ConvertError):
        return model
