"""Which integer inputs are indices, and how far they may go: what an operator's contract asks of made-up inputs."""

from collections.abc import Iterator
from typing import Any

import onnx
from onnx import helper, numpy_helper

from edgekit.sources.onnx.network import ONNX_ERRORS

SAME_VALUES = {"Cast", "Identity", "Reshape", "Unsqueeze", "Squeeze", "Transpose", "Flatten", "Expand", "Tile", "Slice"}
"""Operators whose outputs hold the values of their first input."""

Shapes = dict[str, tuple[int, ...]]


def limits(model: onnx.ModelProto, inputs: list[str]) -> dict[str, int]:
    """By input the size of the smallest table that it indexes, which its values must stay below.

    Only the main graph is looked at; inputs that index nothing there are left out.

    Args:
        model: with fixed shapes of its inputs.
        inputs: names of integer inputs.
    """
    if not inputs:
        return {}
    try:
        inferred = onnx.shape_inference.infer_shapes(model)
    except ONNX_ERRORS:  # what ONNX Runtime takes is not always what onnx's own library takes
        inferred = model
    shapes = dict(_shapes(inferred.graph))
    constants = {tensor.name: tensor for tensor in inferred.graph.initializer}
    found: dict[str, int] = {}
    for name in inputs:
        known, sizes = {name}, []
        for node in inferred.graph.node:
            if node.op_type in SAME_VALUES and node.input[0] in known:
                known.update(node.output)
            sizes += [size for size in _tables(node, known, shapes, constants) if size > 0]
        if sizes:
            found[name] = min(sizes)
    return found


def _shapes(graph: onnx.GraphProto) -> Iterator[tuple[str, tuple[int, ...]]]:
    for value in (*graph.input, *graph.output, *graph.value_info):
        yield value.name, tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
    for tensor in graph.initializer:
        yield tensor.name, tuple(tensor.dims)


def _tables(
    node: onnx.NodeProto, known: set[str], shapes: Shapes, constants: dict[str, onnx.TensorProto]
) -> Iterator[int]:
    """Sizes of what a node indexes with one of the known values."""
    if node.op_type == "OneHot":
        if node.input[0] in known and node.input[1] in constants:
            yield int(numpy_helper.to_array(constants[node.input[1]]).reshape(-1)[0])
        return
    if len(node.input) < 2 or node.input[1] not in known or not (table := shapes.get(node.input[0])):
        return
    if node.op_type in {"Gather", "GatherElements", "ScatterElements", "Scatter"}:
        yield table[_attribute(node, "axis", 0)]
    elif node.op_type in {"GatherND", "ScatterND"} and (index := shapes.get(node.input[1])):
        skipped = _attribute(node, "batch_dims", 0)
        yield from table[skipped : skipped + index[-1]]


def _attribute(node: onnx.NodeProto, name: str, default: int) -> Any:
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)
