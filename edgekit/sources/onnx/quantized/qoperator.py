"""Operators on integers (QOperator form) as float operators between DequantizeLinear and QuantizeLinear.

Source of the operands' order: https://onnx.ai/onnx/operators (QLinearConv, QLinearMatMul) and
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md (all others).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgekit.errors import Unsupported
from edgekit.sources.onnx.network import kind
from edgekit.sources.onnx.quantized import constants, is_static, not_carried

_OPERANDS = {
    "QLinearConv": ("Conv", 2, 6),
    "QLinearMatMul": ("MatMul", 2, 6),
    "com.microsoft:QGemm": ("Gemm", 2, 7),
    "com.microsoft:QLinearAdd": ("Add", 2, 6),
    "com.microsoft:QLinearAveragePool": ("AveragePool", 1, 3),
    "com.microsoft:QLinearGlobalAveragePool": ("GlobalAveragePool", 1, 3),
    "com.microsoft:QLinearLeakyRelu": ("LeakyRelu", 1, 3),
    "com.microsoft:QLinearMul": ("Mul", 2, 6),
    "com.microsoft:QLinearSigmoid": ("Sigmoid", 1, 3),
    "com.microsoft:QLinearSoftmax": ("Softmax", 1, 3),
}
"""Operator → float operator, how many operands it has (value, scale, zero point each), where the result's grid is."""

_COLUMNS = {"MatMul", "Gemm", "com.microsoft:Attention"}
"""Float operators whose weights hold a channel in each column."""

_OWN = {"channels_last", "opset"}
"""Attributes that float operators do not have."""


def as_pairs(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a model in QDQ form. Operators on integers that are not known here stay.

    Raises:
        Unsupported: a scale is computed.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = constants(model)
    nodes = [
        new for node in copy.graph.node for new in (_scaled(node) if is_static(node, known) else _written(copy, node))
    ]
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    return copy


def spelled_out(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same for a float file: the model itself if nothing in it is on integers, or if a scale is computed."""
    known = constants(model)
    try:
        return as_pairs(model) if any(_known(node) or is_static(node, known) for node in model.graph.node) else model
    except Unsupported:
        return model


def _known(node: onnx.NodeProto) -> bool:
    return kind(node) in {*_OPERANDS, "com.microsoft:QLinearConcat", "com.microsoft:QLinearWhere"}


def _written(model: onnx.ModelProto, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if attributes.get("channels_last"):
        yield node
    elif kind(node) == "com.microsoft:QLinearConcat":
        parts = [node.input[k : k + 3] for k in range(2, len(node.input), 3)]
        yield from _between(node, "Concat", parts, node.input[:2], attributes)
    elif kind(node) == "com.microsoft:QLinearWhere":
        parts = [node.input[:1], node.input[1:4], node.input[4:7]]
        yield from _between(node, "Where", parts, node.input[7:9], attributes)
    elif kind(node) in _OPERANDS:
        operator, count, grid = _OPERANDS[kind(node)]
        parts = [node.input[3 * k : 3 * k + 3] for k in range(count)]
        bias = {"Conv": node.input[8:9], "Gemm": node.input[6:7]}.get(operator, ())
        parts += [_bias(model, node, name, attributes.get("alpha", 1.0)) for name in bias if name]
        yield from _between(node, operator, parts, node.input[grid : grid + 2], attributes)
    else:
        yield node


def _scaled(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """An operator that gives floats of integers with a scale of their own (`quantized.SCALED`)."""
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    given = [*node.input, *[""] * 9][:9]
    if node.op_type == "QAttention":
        parts = [[given[0], given[3], given[6]], [given[1], given[4], given[7]], *([given[k]] for k in (2, 5, 8))]
        yield from _between(node, "com.microsoft:Attention", parts, [], attributes)
        return
    product = f"{node.output[0]}/product" if given[6] else node.output[0]
    inner = onnx.NodeProto(op_type="MatMul", name=node.name, output=[product])
    parts = [[given[0], given[2], given[4]], [given[1], given[3], given[5]]]
    yield from _between(inner, "MatMul", parts, [], attributes)
    if given[6]:
        yield helper.make_node("Add", [product, given[6]], [node.output[0]])


def _bias(model: onnx.ModelProto, node: onnx.NodeProto, name: str, factor: float) -> list[str]:
    """A bias with its scale, which no QOperator spells out: that of input times weights."""
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    scale = f"{node.output[0]}/bias_scale"
    if any(operand not in values for operand in (node.input[1], node.input[4])):
        raise not_carried(f"the scales of {node.output[0]} are computed")
    product = np.float32(factor) * values[node.input[1]].ravel() * values[node.input[4]].ravel()
    product = product.reshape(()) if product.size == 1 else product
    model.graph.initializer.append(numpy_helper.from_array(product.astype(np.float32), scale))
    return [name, scale]


def _between(
    node: onnx.NodeProto, operator: str, parts: list[list[str]], grid: list[str], attributes: dict[str, Any]
) -> Iterator[onnx.NodeProto]:
    """DequantizeLinear of each part with a scale, the float operator, and QuantizeLinear of its result to a grid."""
    result, reals = node.output[0], []
    for number, part in enumerate(parts):
        if len(part) == 1:
            reals += part
            continue
        reals.append(f"{result}/operand{number}")
        axis = 1 if operator in _COLUMNS and number == 1 and not attributes.get("transB") else 0
        held = [name for name in part if name]
        yield helper.make_node("DequantizeLinear", held, [reals[-1]], name=reals[-1], axis=axis)
    real = f"{result}/real" if grid else result
    kept = {name: value for name, value in attributes.items() if name not in _OWN}
    while not reals[-1]:
        reals.pop()
    domain, _, bare = operator.rpartition(":")
    yield helper.make_node(bare, reals, [real], name=node.name or real, domain=domain, **kept)
    if grid:
        yield helper.make_node("QuantizeLinear", [real, *grid], [result], name=result)
