"""Operators that ONNX itself defines by others are written out, and so are the model's own functions."""

import onnx
from onnx import inliner

from edgekit.sources.onnx.network import ONNX_ERRORS, Network

WRITTEN_OUT = (
    "AffineGrid", "Attention", "Bernoulli", "CastLike", "CenterCropPad", "GroupNormalization",
    "NegativeLogLikelihoodLoss", "RMSNormalization", "RotaryEmbedding", "Shrink",
    "SoftmaxCrossEntropyLoss", "Swish", "BlackmanWindow", "HammingWindow", "HannWindow",
)  # fmt: skip
"""Operators with a function body in ONNX's own schema that the converter does not know, or gets wrong."""


def inline_own(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without calls of functions that it defines itself."""
    return inliner.inline_local_functions(model) if model.functions else model


def write_out(network: Network) -> bool:
    """Replace operators of `WRITTEN_OUT` by their definition; True if there was one.

    The definition depends on types, which the inliner takes from values that it sees declared:
    constants therefore go in as inputs.
    """
    if not any(node.op_type in WRITTEN_OUT and node.domain in {"", "ai.onnx"} for node in network.nodes):
        return False
    before = network.proto(up_to_bytes=-1)
    try:
        after = inliner.inline_selected_functions(
            before, [("", kind) for kind in WRITTEN_OUT], inline_schema_functions=True
        )
    except ONNX_ERRORS:
        return False
    if [node.op_type for node in after.graph.node] == [node.op_type for node in network.nodes]:
        return False
    network.nodes = list(after.graph.node)
    network.used.update(name for node in network.nodes for name in node.output)
    return True
