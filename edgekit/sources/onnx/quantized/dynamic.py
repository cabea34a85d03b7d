"""Dynamically quantized models as the float networks that they approximate.

DynamicQuantizeLinear gives integers, a scale and a zero point of a tensor, and what reads them computes with
(integer − zero point) · scale, wherever it multiplies by the scale. So the tensor itself, 1 and 0 may take their
place: integer products become float ones, with the weights less their zero point, and all else stays.
"""

from collections import Counter
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgekit.sources.onnx.network import Array, attributes, kind

PRODUCTS = {"MatMulInteger": "MatMul", "ConvInteger": "Conv"}
"""Operators on integers that give int32, by their float ones."""


def as_floats(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a model without roundings of activations. Operators that are not known here stay.

    Source of the operands' order: https://onnx.ai/onnx/operators and
    https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    decoding = _Decoding(copy)
    nodes = [made for node in model.graph.node for made in decoding.node(node)]
    del copy.graph.node[:], copy.graph.value_info[:]
    copy.graph.node.extend(nodes)
    return copy


def _roundings_of_biases(graph: onnx.GraphProto) -> set[str]:
    """What makes integers of a bias for a product of integers: Cast(Floor(bias / scale)), perhaps reshaped, and added.

    ONNX Runtime's quantizer wrote biases of convolutions so before 1.9. The scale is that of the weights alone once the
    activations' is 1, far too coarse a step to round a bias to.
    """
    makers = {name: node for node in graph.node for name in node.output}
    read = Counter(name for node in graph.node for name in node.input)
    products = {node.output[0] for node in graph.node if node.op_type in PRODUCTS}
    found: set[str] = set()
    for node in graph.node:
        if node.op_type != "Add" or not products & set(node.input):
            continue
        for bias in set(node.input) - products:
            step = bias
            while (maker := makers.get(step)) and maker.op_type in {*MOVES, *ROUNDINGS} and read[step] == 1:
                found |= {step} if maker.op_type in ROUNDINGS else set()
                step = maker.input[0]
    return found


MOVES = {"Reshape", "Unsqueeze", "Squeeze", "Flatten", "Identity"}

ROUNDINGS = {"Cast", "Floor", "Round", "Ceil"}


def rounds(node: onnx.NodeProto) -> bool:
    """Whether a product by packed weights rounds its activations to 8 bits, as ``accuracy_level`` 4 asks for."""
    return kind(node) == "com.microsoft:MatMulNBits" and attributes(node).get("accuracy_level", 0) == EIGHT_BITS


EIGHT_BITS = 4
"""MatMulNBits' level of accuracy for 8-bit activations."""


def _without(node: onnx.NodeProto, attribute: str) -> onnx.NodeProto:
    made = onnx.NodeProto()
    made.CopyFrom(node)
    del made.attribute[:]
    made.attribute.extend(told for told in node.attribute if told.name != attribute)
    return made


class _Decoding:
    """One pass in order. ``real`` are the values that took the place of integers."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        for node in model.graph.node:
            if node.op_type == "Constant" and (value := attributes(node).get("value")) is not None:
                self.constants[node.output[0]] = numpy_helper.to_array(value)
        self.real: set[str] = set()
        self.roundings = _roundings_of_biases(model.graph)

    def node(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """What stands for an operator."""
        name, given = kind(node), [*node.input, *[""] * 8]
        if node.output[0] in self.roundings:
            return [helper.make_node("Identity", [given[0]], [node.output[0]], name=node.name)]
        if name == "DynamicQuantizeLinear":
            self.real.add(node.output[0])
            self._constant(node.output[1], np.float32(1))
            self._constant(node.output[2], np.float32(0))
            return [helper.make_node("Identity", [given[0]], [node.output[0]], name=node.name)]
        if name in PRODUCTS and given[0] in self.real:
            weights = given[1] if given[1] in self.real else self._weights(node, given[1], given[3], "")
            return [self._as(node, PRODUCTS[name], [given[0], weights])] if weights else [node]
        if name == "com.microsoft:MatMulIntegerToFloat" and given[0] in self.real:
            return self._product(node, given[0], self._weights(node, given[1], given[5], given[3]), given[6])
        return self._contributed(node, name, given)

    def _contributed(self, node: onnx.NodeProto, name: str, given: list[str]) -> list[onnx.NodeProto]:
        if name == "com.microsoft:DynamicQuantizeMatMul":
            return self._product(node, given[0], self._weights(node, given[1], given[3], given[2]), given[4])
        if rounds(node):
            return [_without(node, "accuracy_level")]
        if name == "com.microsoft:QAttention" and given[0] in self.real:
            return self._attention(node, given)
        if name == "com.microsoft:QEmbedLayerNormalization":
            return self._embedding(node, given)
        if name == "com.microsoft:DynamicQuantizeLSTM":
            kernels = [self._weights(node, given[k], given[7 + 2 * k], given[6 + 2 * k]) for k in (1, 2)]
            return [self._as(node, "LSTM", [given[0], *kernels, *given[3:8]])] if all(kernels) else [node]
        return [node]

    def _attention(self, node: onnx.NodeProto, given: list[str]) -> list[onnx.NodeProto]:
        weights = self._weights(node, given[1], given[7], given[4])
        if not weights:
            return [node]
        return [self._as(node, "Attention", [given[0], weights, given[2], given[5], given[8]], domain=node.domain)]

    def _embedding(self, node: onnx.NodeProto, given: list[str]) -> list[onnx.NodeProto]:
        """Tables and factors, each with its scale six places behind it, and its zero point five behind that."""
        given = [*given, *[""] * 18]
        tables = [
            name if not name or name in self.real else self._weights(node, name, given[k + 11], given[k + 6])
            for k, name in enumerate(given[2:7], 2)
        ]
        if any(name and not table for name, table in zip(given[2:7], tables, strict=True)):
            return [node]
        return [self._as(node, "EmbedLayerNormalization", [*given[:2], *tables, given[7]], domain=node.domain)]

    def _product(self, node: onnx.NodeProto, given: str, weights: str, bias: str) -> list[onnx.NodeProto]:
        if not weights:
            return [node]
        product = f"{node.output[0]}/product" if bias else node.output[0]
        made = [helper.make_node("MatMul", [given, weights], [product], name=node.name)]
        return made + ([helper.make_node("Add", [product, bias], [node.output[0]])] if bias else [])

    def _as(self, node: onnx.NodeProto, operator: str, inputs: list[str], domain: str = "") -> onnx.NodeProto:
        while inputs and not inputs[-1]:
            inputs.pop()
        made = helper.make_node(operator, inputs, list(node.output), name=node.name, domain=domain)
        made.attribute.extend(node.attribute)
        return made

    def _weights(self, node: onnx.NodeProto, integers: str, zero_point: str, scale: str) -> str:
        """The name of the floats that integers stand for, less their zero point; empty if they are computed."""
        names = [name for name in (integers, zero_point, scale) if name]
        if any(name not in self.constants for name in names):
            return ""
        values = self.constants[integers].astype(np.float32)
        values = values - self._along(node, zero_point, values) if zero_point else values
        values = values * self._along(node, scale, values) if scale else values
        if kind(node) == "com.microsoft:DynamicQuantizeLSTM":  # transposed against LSTM's
            values = values.transpose(0, 2, 1)
        made = f"{integers}/floats/{node.output[0]}"
        self._constant(made, values.astype(np.float32))
        return made

    def _along(self, node: onnx.NodeProto, name: str, values: Array) -> Array:
        """A constant in the shape in which it meets the channels of values."""
        held: Array = self.constants[name].astype(np.float32)
        shape: tuple[int, ...] = held.shape
        if held.size == 1:
            shape = ()
        elif kind(node) == "ConvInteger":
            shape = (-1, *[1] * (values.ndim - 1))
        elif kind(node) == "com.microsoft:DynamicQuantizeLSTM":
            shape = (values.shape[0], 1, -1)
        along: Array = held.reshape(shape)
        return along

    def _constant(self, name: str, values: Any) -> None:
        self.model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
