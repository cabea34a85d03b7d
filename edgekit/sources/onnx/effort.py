"""What one inference of an ONNX model takes, as far as its graph tells: for the limit of time that it gets."""

import math
from collections import ChainMap
from typing import NamedTuple

import onnx
from onnx import numpy_helper

from edgekit.host.deadline import Effort
from edgekit.sources.onnx.functions import inline_own
from edgekit.sources.onnx.network import ONNX_ERRORS, attributes, every_node, inferred, kind, subgraphs
from edgekit.waist.effort import MOST_TRIPS

LOOPS = {"Loop", "Scan"}

RECURRENT = {"LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"}

PRODUCTS = {
    *("Conv", "ConvInteger", "QLinearConv", "FusedConv", "ConvTranspose", "DeformConv"),
    *("Gemm", "QGemm", "FusedGemm", "MatMul", "FusedMatMul", "MatMulInteger", "QLinearMatMul", "Einsum"),
    *("DynamicQuantizeMatMul", "MatMulIntegerToFloat"),
}
"""Operators of multiply-accumulates, beside recurrent ones and `ATTENTION`."""

ATTENTION = {"Attention", "QAttention", "MultiHeadAttention", "GroupQueryAttention"}
"""ONNX's and ONNX Runtime's (docs/ContribOperators.md in its repository)."""

Shape = tuple[int, ...]


class _Given(NamedTuple):
    """Sizes of the inputs, for work whose own shapes nobody knows: the longest axis, and the most pixels."""

    longest: int
    pixels: int


class _Scope(NamedTuple):
    """What is known in a graph of values by name: shapes, and the tensors that are stored."""

    shapes: ChainMap[str, Shape]
    stored: ChainMap[str, onnx.TensorProto]

    def inside(self, graph: onnx.GraphProto) -> "_Scope":
        """What a graph inside this one knows."""
        tensors = {tensor.name: tensor for tensor in graph.initializer}
        constants = (node for node in graph.node if node.op_type == "Constant")
        tensors |= {node.output[0]: value.t for node in constants for value in node.attribute if value.name == "value"}
        values = (*graph.input, *graph.value_info, *graph.output)
        shapes = {value.name: shape for value in values if (shape := _shape(value)) is not None}
        shapes |= {name: tuple(tensor.dims) for name, tensor in tensors.items()}
        return _Scope(self.shapes.new_child(shapes), self.stored.new_child(tensors))


def of(model: onnx.ModelProto) -> Effort:
    """The effort of a model with fixed input shapes, its own functions included.

    Loops count as often as `_times` says; weights of which nobody knows what they meet (behind operators that shape
    inference does not know) once for each step of the longest input, those of convolutions for each pixel.
    """
    try:
        model = inline_own(model)
        known = inferred(model)
    except ONNX_ERRORS:
        known = model
    stored = {tensor.name for tensor in model.graph.initializer}
    shapes = [_shape(value) or () for value in model.graph.input if value.name not in stored]
    given = _Given(
        longest=max((size for shape in shapes for size in shape), default=1),
        pixels=max((math.prod(shape[2:]) for shape in shapes), default=1),
    )
    macs, values = _work(known.graph, _Scope(ChainMap(), ChainMap()), given, MOST_TRIPS)
    loops = (node for node in every_node(model.graph) if node.op_type in LOOPS)
    return Effort(
        macs=macs, values=values, loops=tuple(f"{kind(node)} {node.name or node.output[0]}" for node in loops)
    )


def _work(graph: onnx.GraphProto, outer: _Scope, given: _Given, most: int) -> tuple[int, int]:
    """Multiply-accumulates and values of a graph with those inside it, of which loops count ``most`` times at most."""
    scope = outer.inside(graph)
    macs = sum(_macs(node, scope, given) for node in graph.node)
    values = sum(math.prod(scope.shapes.get(name, ())) for node in graph.node for name in node.output)
    for node in graph.node:
        for inner in subgraphs(node):
            times = min(most, _times(node, scope, given)) if node.op_type in LOOPS else 1
            inside = _work(inner, scope, given, most // max(1, times))
            macs, values = macs + times * inside[0], values + times * inside[1]
    return macs, values


def _times(loop: onnx.NodeProto, scope: _Scope, given: _Given) -> int:
    """How often a loop runs: a Loop's own number if it is stored, a Scan for each slice, else as `_Given` says."""
    if loop.op_type == "Loop":
        stored = scope.stored.get(loop.input[0]) if loop.input else None
        return given.longest if stored is None else max(0, int(numpy_helper.to_array(stored).reshape(-1)[0]))
    told = attributes(loop)
    scanned = loop.input[-told.get("num_scan_inputs", 1) :]
    axes = told.get("scan_input_axes") or [0] * len(scanned)
    return max(
        (shape[axis] for name, axis in zip(scanned, axes, strict=False) if (shape := scope.shapes.get(name))),
        default=given.longest,
    )


def _shape(value: onnx.ValueInfoProto) -> Shape | None:
    dims = value.type.tensor_type.shape.dim
    return tuple(max(0, d.dim_value) for d in dims) if all(d.HasField("dim_value") for d in dims) else None


def _macs(node: onnx.NodeProto, scope: _Scope, given: _Given) -> int:
    """Multiply-accumulates of a node; 0 for what is no product of matrices."""
    shapes = scope.shapes
    if node.op_type in RECURRENT:
        return _recurrent_macs(node, shapes)
    if node.op_type in ATTENTION:
        return _attention_macs(node, scope, given)
    if node.op_type == "MatMulNBits":  # its weights [N, K] are packed
        told, left = attributes(node), shapes.get(node.input[0])
        rows = math.prod(left[:-1]) if left else given.longest
        return rows * int(told.get("K", 0)) * int(told.get("N", 0))
    if node.op_type not in PRODUCTS or len(node.input) < 2:
        return 0
    weights = node.input[3 if node.op_type.startswith("Q") and len(node.input) > 3 else 1]
    left, right, made = shapes.get(node.input[0]), shapes.get(weights), shapes.get(node.output[0])
    convolves = "Conv" in node.op_type
    if left and right and made:
        return _product_macs(node, left, right, made, convolves=convolves)
    return math.prod(right) * (given.pixels if convolves else given.longest) if right and weights in scope.stored else 0


def _product_macs(node: onnx.NodeProto, left: Shape, right: Shape, made: Shape, *, convolves: bool) -> int:
    """Each element of a result takes the part of the weights that reaches it."""
    if convolves:
        return math.prod(left if node.op_type == "ConvTranspose" else made) * math.prod(right[1:])
    if node.op_type == "Einsum":
        return math.prod(made) * max(left)
    return math.prod(made) * left[0 if attributes(node).get("transA", 0) else -1]


def _recurrent_macs(node: onnx.NodeProto, shapes: ChainMap[str, Shape]) -> int:
    """Each step of the sequence ``[T, N, ...]`` meets all weights: those of the input, and the recurrent ones."""
    sequence, *weights = (shapes.get(name, ()) for name in node.input[:3])
    return math.prod(sequence[:2]) * sum(math.prod(shape) for shape in weights if shape)


def _attention_macs(node: onnx.NodeProto, scope: _Scope, given: _Given) -> int:
    """Each query meets each key, and then each value; weights that project to all three meet each step before.

    Of 4-bit and of cached keys only those that are passed in count.
    """
    shapes, second = scope.shapes, node.input[1] if len(node.input) > 1 else ""
    queries = shapes.get(node.input[0]) or (1, given.longest, 0)
    if node.op_type.endswith("Attention") and second in scope.stored and len(shapes[second]) == 2:
        inner, projected = shapes[second]
        steps = math.prod(queries[:-1])
        return steps * (inner * projected + queries[-2] * 2 * (projected // 3))
    keys = shapes.get(second) or queries
    return math.prod(queries) * 2 * keys[-2]
