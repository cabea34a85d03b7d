"""What one inference of an ONNX model takes, as far as its graph tells: for the limit of time that it gets."""

import math

import onnx
from onnx import helper, numpy_helper

from edgekit.host.deadline import Effort
from edgekit.sources.onnx.network import every_node, kind, subgraphs
from edgekit.waist.effort import MOST_TRIPS

LOOPS = {"Loop", "Scan"}

RECURRENT = {"LSTM", "GRU", "RNN"}

PRODUCTS = {
    *("Conv", "ConvInteger", "QLinearConv", "FusedConv", "ConvTranspose"),
    *("Gemm", "QGemm", "MatMul", "FusedMatMul", "MatMulInteger", "QLinearMatMul", "Einsum"),
}
"""Operators of multiply-accumulates, beside `RECURRENT`."""

Shapes = dict[str, tuple[int, ...]]


def of(model: onnx.ModelProto) -> Effort:
    """The effort of a model with fixed input shapes; loops count as often as `_times` says."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        inferred = model
    longest = max((size for value in model.graph.input for size in _shape(value) or ()), default=1)
    macs, values = _work(inferred.graph, {}, longest, MOST_TRIPS)
    return Effort(
        macs=macs,
        values=values,
        loops=tuple(
            f"{kind(node)} {node.name or node.output[0]}" for node in every_node(model.graph) if node.op_type in LOOPS
        ),
    )


def _work(graph: onnx.GraphProto, outer: Shapes, longest: int, most: int) -> tuple[int, int]:
    """Multiply-accumulates and values of a graph with those inside it, of which loops count ``most`` times at most."""
    shapes = outer | _shapes(graph)
    macs = sum(_macs(node, shapes) for node in graph.node)
    values = sum(math.prod(shapes.get(name, ())) for node in graph.node for name in node.output)
    for node in graph.node:
        for inner in subgraphs(node):
            times = min(most, _times(node, graph, longest)) if node.op_type in LOOPS else 1
            inside = _work(inner, shapes, longest, most // max(1, times))
            macs, values = macs + times * inside[0], values + times * inside[1]
    return macs, values


def _times(loop: onnx.NodeProto, graph: onnx.GraphProto, longest: int) -> int:
    """How often a loop runs: a Loop's own number if it is stored, else once for each step of the longest input."""
    stored = next((tensor for tensor in graph.initializer if tensor.name == loop.input[0]), None)
    if loop.op_type != "Loop" or stored is None:
        return longest
    return max(0, int(numpy_helper.to_array(stored).reshape(-1)[0]))


def _shapes(graph: onnx.GraphProto) -> Shapes:
    values = (*graph.input, *graph.value_info, *graph.output)
    known = {value.name: shape for value in values if (shape := _shape(value)) is not None}
    return known | {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    dims = value.type.tensor_type.shape.dim
    return tuple(max(0, d.dim_value) for d in dims) if all(d.HasField("dim_value") for d in dims) else None


def _macs(node: onnx.NodeProto, shapes: Shapes) -> int:
    """Each element of a result takes the part of the weights that reaches it; 0 if shapes are not known."""
    if node.op_type in RECURRENT:
        return _recurrent_macs(node, shapes)
    if node.op_type not in PRODUCTS or len(node.input) < 2:
        return 0
    weights_at = node.input[3 if node.op_type.startswith("Q") else 1]
    left, right, made = shapes.get(node.input[0]), shapes.get(weights_at), shapes.get(node.output[0])
    if not left or not right or not made:
        return 0
    if "Conv" in node.op_type:
        return math.prod(left if node.op_type == "ConvTranspose" else made) * math.prod(right[1:])
    if node.op_type == "Einsum":
        return math.prod(made) * max(left)
    across = {a.name: helper.get_attribute_value(a) for a in node.attribute}.get("transA", 0)
    return math.prod(made) * left[0 if across else -1]


def _recurrent_macs(node: onnx.NodeProto, shapes: Shapes) -> int:
    """Each step of the sequence ``[T, N, ...]`` meets all weights: those of the input, and the recurrent ones."""
    sequence, *weights = (shapes.get(name, ()) for name in node.input[:3])
    return math.prod(sequence[:2]) * sum(math.prod(shape) for shape in weights if shape)
