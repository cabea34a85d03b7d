"""Roundings that a float file does itself: pairs of QUANTIZE and DEQUANTIZE, as converters write fake quantization.

TensorFlow's converter makes such a pair, of uint8, of every FakeQuantWithMinMaxVars, around constants as well. Here
they get the form that `edgekit.waist.fusing` takes: int8, and constants stored as integers. Nothing that is computed
changes.
"""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.waist import edit, graph
from edgekit.waist.graph import Graph, Operator, Tensor
from edgekit.waist.tensors import Array

BELOW = {"int4": 0, "int8": 0, "uint4": 8, "uint8": 128}
"""What is taken off a dtype's integers so that they are signed."""

BITS = {"int4": 4, "int8": 8, "uint4": 4, "uint8": 8}


def as_int8(model: Any) -> None:
    """Let roundings to uint8 be roundings to int8, and those of constants be done, in place."""
    _shape(model)
    _sign(model)
    folding = _Folding(model)
    main = model.subgraphs[0]
    pairs = zip(graph.describe(model)[0].operators, list(main.operators), strict=True)
    main.operators = [made for seen, old in pairs if (made := folding.take(seen, old)) is not None]
    edit.sweep(model)


def ranges(main: Graph) -> dict[int, tuple[float, float]]:
    """The least and the largest value of inputs that a file rounds before all else, by their tensors."""
    found = {}
    for operator in main.operators:
        if operator.name != "QUANTIZE" or operator.inputs[0] not in main.inputs:
            continue
        grid = main.tensors[operator.outputs[0]]
        if grid.dtype in BELOW:
            scale, zero = grid.scales[0], grid.zero_points[0] - BELOW[grid.dtype]
            found[operator.inputs[0]] = ((-128 - zero) * scale, (127 - zero) * scale)
    return found


def rounds(main: Graph) -> bool:
    """Whether a graph rounds anything."""
    return any(operator.name == "QUANTIZE" for operator in main.operators)


def _shape(model: Any) -> None:
    """Give results of roundings their shapes, which the converter leaves out of some, in place."""
    main = graph.describe(model)[0]
    shapes = [tensor.shape for tensor in main.tensors]
    for operator in main.operators:
        if operator.name in graph.BORDER:
            shapes[operator.outputs[0]] = shapes[operator.inputs[0]]
            model.subgraphs[0].tensors[operator.outputs[0]].shape = np.array(shapes[operator.inputs[0]], np.int32)


def _sign(model: Any) -> None:
    main = model.subgraphs[0]
    for tensor in graph.describe(model)[0].tensors:
        if tensor.dtype == "uint8" and tensor.scales and not tensor.constant_bytes:
            _put(main.tensors[tensor.index], tensor)
    for code in model.operatorCodes:
        if code.builtinCode == schema.BuiltinOperator.DEQUANTIZE:
            code.version = max(code.version or 1, 2)  # the first with int8


def _put(held: Any, grid: Tensor) -> None:
    """Make an int8 tensor of one on a grid of another dtype, in place."""
    held.type = edit.TYPES["int8"]
    held.quantization = edit.quantization(grid.scales, np.asarray(grid.zero_points) - BELOW[grid.dtype], grid.axis)


class _Folding:
    """One pass in the order of execution. ``stored`` maps what DEQUANTIZE makes of constants to these."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.tensors = graph.describe(model)[0].tensors
        self.stored: dict[int, int] = {}

    def take(self, operator: Operator, old: Any) -> Any:
        """What an operator becomes; None for one that is done."""
        given = operator.inputs[0] if operator.inputs else -1
        if operator.name == "QUANTIZE" and self._round(given, operator.outputs[0]):
            return None
        if operator.name == "DEQUANTIZE" and graph.constant(self.model, 0, given) is not None:
            self.stored[operator.outputs[0]] = given
        elif operator.name == "TRANSPOSE" and given in self.stored:
            return self._transposed(operator, old)
        return old

    def _round(self, given: int, made: int) -> bool:
        values, grid = graph.constant(self.model, 0, given), self.tensors[made]
        if values is None or values.dtype != np.float32 or grid.dtype not in BELOW:
            return False
        edit.set_constant(self.model, made, levels(values, grid))
        _put(self.model.subgraphs[0].tensors[made], grid)
        return True

    def _transposed(self, operator: Operator, old: Any) -> Any:
        """A DEQUANTIZE of the transposed integers."""
        stored, made = self.stored[operator.inputs[0]], operator.outputs[0]
        order, values = (graph.constant(self.model, 0, tensor) for tensor in (operator.inputs[1], stored))
        if order is None or values is None:
            return old
        held = self.model.subgraphs[0].tensors[stored].quantization
        axis = graph.ints(order).index(held.quantizedDimension) if len(held.scale) > 1 else 0
        name = self.tensors[operator.outputs[0]].name
        self.stored[made] = edit.add_constant(self.model, f"{name}_int8", values.transpose(order))
        self.model.subgraphs[0].tensors[self.stored[made]].quantization = edit.quantization(
            held.scale, held.zeroPoint, axis
        )
        return edit.operator(self.model, "DEQUANTIZE", [self.stored[made]], [made], version=2)


def levels(values: Array, grid: Tensor) -> Array:
    """The integers that floats are rounded to on a tensor's grid, as int8."""
    shape = [1] * values.ndim
    if len(grid.scales) > 1:
        shape[grid.axis] = len(grid.scales)
    scales = np.asarray(grid.scales, np.float32).reshape(shape)
    zero_points = np.asarray(grid.zero_points).reshape(shape) - BELOW[grid.dtype]
    end = 2 ** (BITS[grid.dtype] - 1)
    found: Array = np.clip(np.rint(values.astype(np.float32) / scales) + zero_points, -end, end - 1).astype(np.int8)
    return found
