"""Which integer inputs are indices or lengths, and how far they may go: what operators ask of made-up inputs."""

from collections.abc import Iterator
from typing import Any

import onnx
from onnx import helper, numpy_helper

from edgekit.sources.onnx.network import ONNX_ERRORS

SAME_VALUES = {"Cast", "Identity", "Reshape", "Unsqueeze", "Squeeze", "Transpose", "Flatten", "Expand", "Tile", "Slice"}
"""Operators whose outputs hold the values of their first input."""

Shapes = dict[str, tuple[int, ...]]


SUMMING = SAME_VALUES | {"ReduceSum", "Sub", "Add"}
"""Operators that lead from a mask to a number of places that are not masked."""


def limits(model: onnx.ModelProto, inputs: list[str]) -> dict[str, range]:
    """By input the values that it may take: below the size of the smallest table that it indexes, or a length.

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
    found = _lengths(inferred.graph, shapes, constants)
    for name in inputs:
        known, sizes = {name}, []
        for node in inferred.graph.node:
            if node.op_type in SAME_VALUES and node.input[0] in known:
                known.update(node.output)
            sizes += [size for size in _tables(node, known, shapes, constants) if size > 0]
        if sizes:
            found[name] = range(min(sizes))
    return {name: values for name, values in found.items() if name in inputs}


def _lengths(graph: onnx.GraphProto, shapes: Shapes, constants: dict[str, onnx.TensorProto]) -> dict[str, range]:
    """Inputs that tell GroupQueryAttention how many keys there are: the last of them, or a mask that hides none.

    What ONNX Runtime gives is undefined for rows without a key of their own, and no other kernel gives the same.
    """
    made = {name: node for node in graph.node for name in node.output}
    found: dict[str, range] = {}
    for node in graph.node:
        if node.op_type != "GroupQueryAttention" or len(node.input) < 7:
            continue
        name, summed = node.input[5], False
        while name in made and made[name].op_type in SUMMING and made[name].input:
            summed |= made[name].op_type == "ReduceSum"
            name = made[name].input[0]
        if summed:
            found[name] = range(1, 2)
        elif node.input[6] in constants and (rows := shapes.get(node.input[0], ())[1:2]):
            columns = int(numpy_helper.to_array(constants[node.input[6]]).reshape(-1)[0])
            found[name] = range(columns - 1 if rows[0] == columns else rows[0] - 1, columns)
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
