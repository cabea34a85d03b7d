"""Which tensors of an ONNX model are images or sequences with their channels first, as its operators tell."""

import copy

import onnx

from edgekit.sources.onnx import folding
from edgekit.sources.onnx.network import Network, attributes, kind
from edgekit.waist.layouts import AxisStep, spread

BY_RANK = {3: "NCW", 4: "NCHW", 5: "NCDHW"}
"""By rank: how ONNX's operators on images have their axes."""

ON_IMAGES = {
    "AveragePool", "BatchNormalization", "Conv", "ConvInteger", "ConvTranspose", "DepthToSpace", "GlobalAveragePool",
    "GlobalMaxPool", "GridSample", "GroupNormalization", "InstanceNormalization", "LRN", "LpPool", "MaxPool",
    "QLinearConv", "SpaceToDepth", "com.microsoft:FusedConv",
}  # fmt: skip
"""Operators whose first operand and first result have the axes of `BY_RANK`; Resize and Upsample take any."""

KEEPING = {
    "Abs", "Add", "Cast", "Ceil", "Clip", "Concat", "DequantizeLinear", "Div", "Dropout", "Elu", "Erf", "Exp",
    "Floor", "Gather", "Gelu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log", "LogSoftmax", "Max",
    "Min", "Mish", "Mul", "Neg", "PRelu", "Pad", "Pow", "QuantizeLinear", "Reciprocal", "Relu", "Resize", "Round",
    "Selu", "Sigmoid", "Slice", "Softmax", "Softplus", "Softsign", "Split", "Sqrt", "Sub", "Sum", "Tanh",
    "Upsample",
}  # fmt: skip
"""Operators whose results have the axes of their operands of the same rank."""


def known(model: onnx.ModelProto) -> dict[str, str]:
    """The layout of every value that an operator tells of, by name; ``model`` has fixed input shapes."""
    network = Network.of(model)
    network.nodes = [copy.copy(node) for node in network.nodes]  # folding renames in place
    folding.settle(network, lambda _: False)
    told: dict[str, str] = {}
    steps: list[AxisStep] = []
    for node in network.nodes:
        shapes = {name: network.shape(name) for name in (*node.input, *node.output) if name}
        rank = {name: len(shape) for name, shape in shapes.items() if shape is not None}
        name = kind(node)
        if name in ON_IMAGES:
            told |= {side: BY_RANK[rank[side]] for side in (node.input[0], node.output[0]) if rank.get(side) in BY_RANK}
        elif name in KEEPING:
            read = [value for value in node.input if value in rank and value not in network.constants]
            steps += [AxisStep(v, out) for v in read for out in node.output if rank[v] == rank.get(out)]
        elif name == "Transpose" and node.input[0] in rank:
            order = attributes(node).get("perm") or range(rank[node.input[0]])[::-1]
            steps.append(AxisStep(node.input[0], node.output[0], tuple(order)))
    return spread(told, steps)
