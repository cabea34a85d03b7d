"""What one inference of an ONNX model takes, as far as its graph tells: for the limit of time that it gets."""

import math
from collections.abc import Iterator

import onnx
from onnx import helper

from edgekit.host.deadline import Effort
from edgekit.sources.onnx.network import every_node, kind

LOOPS = {"Loop", "Scan"}

PRODUCTS = {"Conv", "ConvInteger", "QLinearConv", "ConvTranspose", "Gemm", "MatMul", "MatMulInteger", "QLinearMatMul"}
"""Operators of multiply-accumulates."""


def of(model: onnx.ModelProto) -> Effort:
    """The effort of a model with fixed input shapes; bodies of loops count once."""
    try:
        shapes = _shapes(onnx.shape_inference.infer_shapes(model, data_prop=True))
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        shapes = _shapes(model)
    return Effort(
        macs=sum(_macs(node, shapes) for node in model.graph.node if node.op_type in PRODUCTS),
        values=sum(math.prod(shapes.get(name, ())) for node in model.graph.node for name in node.output),
        loops=tuple(
            f"{kind(node)} {node.name or node.output[0]}" for node in every_node(model.graph) if node.op_type in LOOPS
        ),
    )


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    known: dict[str, tuple[int, ...]] = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    values: Iterator[onnx.ValueInfoProto] = iter([*model.graph.input, *model.graph.value_info, *model.graph.output])
    for value in values:
        dims = value.type.tensor_type.shape.dim
        if all(dim.HasField("dim_value") for dim in dims):
            known[value.name] = tuple(max(0, dim.dim_value) for dim in dims)
    return known


def _macs(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    """Each element of a result takes the part of the weights that reaches it; 0 if shapes are not known."""
    weights = node.input[3 if node.op_type.startswith("QLinear") else 1]
    left, right, made = shapes.get(node.input[0]), shapes.get(weights), shapes.get(node.output[0])
    if not left or not right or not made:
        return 0
    if node.op_type == "ConvTranspose":
        return math.prod(left) * math.prod(right[1:])
    if "Conv" in node.op_type:
        return math.prod(made) * math.prod(right[1:])
    across = {a.name: helper.get_attribute_value(a) for a in node.attribute}.get("transA", 0)
    return math.prod(made) * left[0 if across else -1]
