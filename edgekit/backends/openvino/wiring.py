"""An OpenVINO graph in the waist's terms, so that the rules of `edgekit.waist.exact` hold for it as well.

Operators take the names of their counterparts in TFLite; those without any keep their own, which no
rule knows. A bias and what is fused behind it belong to their layer, as they do in TFLite.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.waist.exact import Wiring
from edgekit.waist.graph import Graph, Operator, Tensor

NAMES = {
    "Abs": "ABS", "Add": "ADD", "Broadcast": "BROADCAST_TO", "Ceiling": "CEIL", "Clamp": "MINIMUM",
    "Concat": "CONCATENATION", "Convert": "CAST", "Cos": "COS", "CumSum": "CUMSUM", "Divide": "DIV", "Elu": "ELU",
    "Equal": "EQUAL", "Exp": "EXP", "Floor": "FLOOR", "FloorMod": "FLOOR_MOD", "Gather": "GATHER",
    "GatherElements": "GATHER", "GatherND": "GATHER_ND", "Gelu": "GELU", "Greater": "GREATER",
    "GreaterEqual": "GREATER_EQUAL", "HSwish": "HARD_SWISH", "Less": "LESS", "LessEqual": "LESS_EQUAL", "Log": "LOG",
    "LogSoftmax": "SOFTMAX", "Maximum": "MAXIMUM", "Minimum": "MINIMUM", "Mod": "FLOOR_MOD", "Multiply": "MUL",
    "Negative": "NEG", "NonMaxSuppression": "NON_MAX_SUPPRESSION_V5", "NotEqual": "NOT_EQUAL", "PRelu": "LEAKY_RELU",
    "Pad": "PAD", "ReduceL1": "SUM", "ReduceL2": "SUM", "ReduceMax": "REDUCE_MAX",
    "ReduceMean": "MEAN", "ReduceMin": "REDUCE_MIN", "ReduceProd": "REDUCE_PROD", "ReduceSum": "SUM", "Relu": "RELU",
    "Reshape": "RESHAPE", "Round": "ROUND", "Select": "SELECT_V2", "ShapeOf": "SHAPE", "Sigmoid": "LOGISTIC",
    "Sign": "SIGN", "Sin": "SIN", "Slice": "SLICE", "Softmax": "SOFTMAX", "Split": "SPLIT", "Sqrt": "SQRT",
    "SquaredDifference": "SQUARED_DIFFERENCE", "Squeeze": "SQUEEZE", "StridedSlice": "STRIDED_SLICE",
    "Subtract": "SUB", "Tanh": "TANH", "Tile": "TILE", "TopK": "TOPK_V2", "Transpose": "TRANSPOSE",
    "Unsqueeze": "EXPAND_DIMS", "VariadicSplit": "SPLIT_V",
}  # fmt: skip
"""OpenVINO's types → TFLite's builtins (the nearest if there is no twin)."""

DTYPES = {"f32": "float32", "f16": "float32", "bf16": "float32", "f64": "float32", "boolean": "bool"}
"""Element types → dtypes; all floats are alike here, integers are ``int64``."""

LAYER = "LAYER"
"""What layers, their biases and the activations fused with them are called, whatever they are."""

_LAYERS = {"Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData", "MatMul"}

_FUSED = {"Relu", "Clamp", "PRelu"}


class Read:
    """A float ``openvino.Model``: its ``wiring``, the node of every operator by index, and constants by tensor."""

    def __init__(self, model: Any) -> None:
        self.nodes: list[Any] = []
        self._constants: dict[int, Any] = {}
        self._index: dict[tuple[str, int], int] = {}
        self._tensors: list[Tensor] = []
        operators: list[Operator] = []
        for node in model.get_ordered_ops():
            inputs = tuple(self._index[_port(value)] for value in node.input_values())
            fixed = node.get_type_name() == "Constant" or (
                bool(inputs) and all(self._tensors[index].constant_bytes for index in inputs)
            )
            outputs = tuple(self._add(output, fixed=fixed) for output in node.outputs())
            if node.get_type_name() == "Constant":
                self._constants[outputs[0]] = node
            if inputs and not fixed and node.get_type_name() != "Result":
                name, operands = _told(node, inputs)
                read = tuple(index for index, output in zip(outputs, node.outputs(), strict=True) if _is_read(output))
                operators.append(Operator(index=len(operators), name=name, inputs=operands, outputs=read))
                self.nodes.append(node)
        graph = Graph(
            tensors=tuple(self._tensors),
            operators=tuple(operators),
            inputs=tuple(self._index[_port(node.output(0))] for node in model.get_parameters()),
            outputs=tuple(self._index[_port(node.input_value(0))] for node in model.get_results()),
        )
        self.wiring = Wiring(graph)

    def _add(self, output: Any, *, fixed: bool) -> int:
        index = len(self._tensors)
        self._index[_port(output)] = index
        dtype = DTYPES.get(output.get_element_type().get_type_name(), "int64")
        self._tensors.append(
            Tensor(index=index, name="", shape=(), signature_shape=(), dtype=dtype, constant_bytes=int(fixed))
        )
        return index

    def constants(self, operator: Operator) -> Iterator[NDArray[np.float32]]:
        """Float operands of an operator that are constants."""
        for tensor in operator.inputs:
            node = self._constants.get(tensor)
            if node is not None and self._tensors[tensor].dtype == "float32":
                yield np.asarray(node.data, np.float32)


def _is_read(output: Any) -> bool:
    """Whether somebody reads an output; the indices of a MaxPool are there in any case."""
    return bool(output.get_target_inputs())


def _port(value: Any) -> tuple[str, int]:
    return value.get_node().get_name(), value.get_index()


def _told(node: Any, inputs: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """Name and operands of a node; a product with a reciprocal is the division that it stands for."""
    if node.get_type_name() == "Multiply":
        for place in (0, 1):
            if _reciprocal(node.input_value(place).get_node()):
                return "DIV", (inputs[1 - place], inputs[place])
    return _name(node), inputs


def _reciprocal(node: Any) -> bool:
    """Whether a node gives 1/x, 1/√x or the like; or moves such values to another shape."""
    kind = node.get_type_name()
    if kind == "Power":
        exponent = scalar(node.input_value(1))
        return exponent is not None and exponent < 0
    if kind == "Divide":
        return scalar(node.input_value(0)) is not None
    return kind in {"Reshape", "Squeeze", "Unsqueeze", "Broadcast", "Transpose"} and _reciprocal(
        node.input_value(0).get_node()
    )


def _name(node: Any) -> str:
    kind: str = node.get_type_name()
    if _in_layer(node):
        return LAYER
    if kind == "Power":
        exponent = scalar(node.input_value(1))
        return "SQUARE" if exponent is not None and exponent >= 1 and exponent.is_integer() else "POW"
    return NAMES.get(kind, kind)


def _in_layer(node: Any) -> bool:
    """Whether a node is a layer, its bias, or an activation that is fused with it."""
    kind = node.get_type_name()
    if kind in _LAYERS:
        return True
    before = node.input_value(0) if node.inputs() else None
    if before is None or len(before.get_target_inputs()) > 1:
        return False
    biased = kind == "Add" and node.input_value(1).get_node().get_type_name() == "Constant"
    return (biased or kind in _FUSED) and _in_layer(before.get_node())


def scalar(value: Any) -> float | None:
    """The number that a port gives, if it is a constant of one element."""
    node = value.get_node()
    if node.get_type_name() != "Constant" or np.prod(node.get_output_shape(0)) != 1:
        return None
    return float(np.asarray(node.data, np.float64).ravel()[0])
