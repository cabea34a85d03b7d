"""Integers of a network that rounds between float operators: QUANTIZE and DEQUANTIZE move into the operators.

The file that comes in computes in float32, and rounds activations by a QUANTIZE with a DEQUANTIZE behind it;
its quantized constants are int8 behind a DEQUANTIZE. An operator between DEQUANTIZE and QUANTIZE becomes the
integer operator of TFLite's quantization specification (https://ai.google.dev/edge/litert/models/quantization_spec)
on the very same scales. What has no integer form, or no QUANTIZE behind it, stays float, as it was.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekit.errors import Unsupported
from edgekit.waist import edit, graph, integer_forms
from edgekit.waist.graph import Graph, Operator

Grid = tuple[float, int]
"""Scale and zero point of int8 values."""

CLAMPS = {"RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1"}

MOVES = CLAMPS | {
    "BATCH_TO_SPACE_ND", "BROADCAST_TO", "DEPTH_TO_SPACE", "EXPAND_DIMS", "GATHER", "GATHER_ND", "MAX_POOL_2D",
    "MIRROR_PAD", "PAD", "PADV2", "RESHAPE", "RESIZE_NEAREST_NEIGHBOR", "REVERSE_V2", "SLICE", "SPACE_TO_BATCH_ND",
    "SPACE_TO_DEPTH", "SPLIT", "SPLIT_V", "SQUEEZE", "STRIDED_SLICE", "TILE", "TRANSPOSE", "UNPACK",
}  # fmt: skip
"""What gives values of its operand, 0, or a bound: in integers with the operand's grid, and nothing is rounded."""

BEHIND_ROUNDING = MOVES - {"PADV2", "SPLIT", "SPLIT_V", "UNPACK"} | {"CONCATENATION", "PACK", "SELECT", "SELECT_V2"}
"""What may as well come behind the rounding of its result: it gives values of its operands, 0, or a bound."""

SAME_GRID = {"AVERAGE_POOL_2D", "RESIZE_BILINEAR"}
"""What computes, in integers, on the grid of its operand."""

JOINS = {"CONCATENATION", "MAXIMUM", "MINIMUM", "PACK", "SELECT", "SELECT_V2"}
"""What needs all operands on the grid of the result."""

FREE = {"ADD", "BATCH_MATMUL", "ELU", "GELU", "HARD_SWISH", "LEAKY_RELU", "MEAN", "MUL", "PRELU", "SUB"}
"""What has operands and results on any grids."""

FIXED: dict[str, Grid] = {
    "L2_NORMALIZATION": (1 / 128, 0), "LOGISTIC": (1 / 256, -128), "SOFTMAX": (1 / 256, -128), "TANH": (1 / 128, 0),
}  # fmt: skip
"""What gives results on one grid only, by the specification."""

LAYERS = {
    "CONV_2D": (0, 1, 2),
    "DEPTHWISE_CONV_2D": (0, 1, 2),
    "FULLY_CONNECTED": (0, 1, 2),
    "TRANSPOSE_CONV": (2, 1, 3),
}
"""What has weights: the places of input, weights and bias among its operands."""

VERSIONS = {
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 4,
    "HARD_SWISH": 1,
    "RELU_0_TO_1": 1,
    "RESHAPE": 1,
    "TRANSPOSE_CONV": 3,
}
"""The first version of an operator with int8, if it is not 2 (TFLite's op_version.cc)."""


def fuse(model: Any, *, fixed: bool = False, symmetric: bool = False) -> dict[str, int]:
    """Make integer operators of what stands between DEQUANTIZE and QUANTIZE, in place; tensors are renumbered.

    Args:
        model: the object tree of a file.
        fixed: let the operators of `FIXED` give integers also if no QUANTIZE is behind them. Quantization-aware
            training leaves these out because it relies on it.
        symmetric: round weights with a zero point anew (`about_zero`), if that is what it takes.

    Returns:
        The weights that were rounded anew, by name, with how many of their channels were.

    Raises:
        Unsupported: a layer's weights or bias have no integer form in TFLite; they are named.
    """
    integer_forms.bias_of_transposed(model)
    integer_forms.fillings(model)
    _round_early(model)
    fusion = _Fusion(model, fixed=fixed, symmetric=symmetric)
    fusion.run()
    edit.sweep(model)
    edit.compact(model)
    return fusion.rounded


def about_zero(levels: NDArray[np.int32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Integers of 9 bits as int8, a channel on a wider grid if its own do not fit.

    Args:
        levels: weights less their zero point, -255 to 255.
        axis: that of the channels.

    Returns:
        The integers, and for each channel what one of them stands for: 1, or more if it was rounded anew.
    """
    channels = np.moveaxis(levels, axis, 0).reshape(levels.shape[axis], -1)
    least, most = channels.min(1, initial=0), channels.max(1, initial=0)
    fits = (least >= -128) & (most <= 127)
    steps = np.where(fits, 1.0, np.maximum(-least, most) / 127)
    shape = [1] * levels.ndim
    shape[axis] = len(steps)
    return np.rint(levels / steps.reshape(shape)).astype(np.int8), steps


def pair(model: Any, at: int, given: int, made: int, grid: Grid) -> None:
    """Let ``made`` be ``given``, rounded to a grid: a QUANTIZE and a DEQUANTIZE at a place in the order, in place."""
    inner = integer_tensor(model, made, grid)
    edit.add_operator(model, "DEQUANTIZE", [inner], [made], at=at)
    edit.add_operator(model, "QUANTIZE", [given], [inner], at=at)


def integer_tensor(model: Any, like: int, grid: Grid) -> int:
    """A new int8 activation with a tensor's shape and name, and a grid."""
    main = model.subgraphs[0]
    old = main.tensors[like]
    index = edit.add_tensor(main, bytes(old.name or b"").decode() + "_int8", graph.ints(old.shape), "int8")
    main.tensors[index].quantization = edit.quantization([grid[0]], [grid[1]])
    return index


def _grid_of(name: str, grids: list[Any], wanted: Grid | None) -> Grid | None:
    """The grid of an integer operator's results, from its operands' and what is wanted; None without such a form."""
    if len(set(grids)) == 1 and (name in MOVES or (name in JOINS and wanted is None)):
        found: Grid = grids[0]
        return found
    if wanted is None or (name == "BATCH_MATMUL" and grids[1][1] != 0):  # XNNPACK takes that for 0, whatever it is
        return None
    return {**dict.fromkeys(FREE | JOINS, wanted), **FIXED, **dict.fromkeys(SAME_GRID, grids[0])}.get(name)


def _round_early(model: Any) -> None:
    """Let QUANTIZE come before what only moves or clamps values and reads them from float operators, in place.

    So ``Conv, Relu, QUANTIZE`` is ``Conv, QUANTIZE, Relu``. The grid ends where it ends either way.
    """
    while (found := _moved_before(model)) is not None:
        operator, rounded = found
        main = graph.describe(model)[0]
        tensor = main.tensors[rounded]
        for given in dict.fromkeys(_floats(main, operator)):
            made = edit.add_tensor(model.subgraphs[0], main.tensors[given].name + "_rounded", main.tensors[given].shape)
            edit.redirect(model.subgraphs[0].operators[operator.index], given, made)
            pair(model, operator.index, given, made, (tensor.scales[0], tensor.zero_points[0]))
            operator = msgspec.structs.replace(operator, index=operator.index + 2)


def _floats(main: Graph, operator: Operator) -> list[int]:
    return [tensor for tensor in operator.inputs if tensor >= 0 and main.tensors[tensor].dtype == "float32"]


def _moved_before(model: Any) -> tuple[Operator, int] | None:
    """An operator whose result is rounded, and might as well be before it, with the tensor that has the grid."""
    main = graph.describe(model)[0]
    readers = integer_forms.float_readers(main)
    makers = {tensor: operator for operator in main.operators for tensor in operator.outputs}
    for operator in main.operators:
        followers = readers.get(operator.outputs[0], [])
        if operator.name not in BEHIND_ROUNDING or [follower.name for follower in followers] != ["QUANTIZE"]:
            continue
        given = _floats(main, operator)
        alone = all(reader == operator for tensor in given for reader in readers[tensor])
        inner = not {*given, operator.outputs[0]} & {*main.outputs}
        rounded = all(tensor in makers and makers[tensor].name == "DEQUANTIZE" for tensor in given)
        if alone and inner and not rounded:
            return operator, followers[0].outputs[0]
    return None


@dataclass
class _Fusion:
    """One pass over the operators in their order.

    ``whole`` maps a float tensor to the int8 tensor that holds its values; ``same`` an int8 tensor to the one
    that took its place; ``floats`` are the tensors of ``whole`` that a DEQUANTIZE has made for float readers.
    """

    model: Any
    fixed: bool = False
    symmetric: bool = False
    rounded: dict[str, int] = field(default_factory=dict)
    whole: dict[int, int] = field(default_factory=dict)
    same: dict[int, int] = field(default_factory=dict)
    floats: set[int] = field(default_factory=set)
    made: list[Any] = field(default_factory=list)

    def run(self) -> None:
        """Write the operators anew."""
        self.main = graph.describe(self.model)[0]
        self.readers = integer_forms.float_readers(self.main)
        self.tree = self.model.subgraphs[0]
        old = list(self.tree.operators)
        for operator in self.main.operators:
            self._take(operator, old[operator.index])
        for tensor in self.main.outputs:
            self._as_float(tensor)
        self.tree.operators = self.made

    def _take(self, operator: Operator, old: Any) -> None:
        if operator.name == "DEQUANTIZE" and self._dtype(operator.inputs[0]) in {"int8", "int32"}:
            self.whole[operator.outputs[0]] = self.same.get(operator.inputs[0], operator.inputs[0])
        elif operator.name == "QUANTIZE" and operator.inputs[0] in self.whole:
            self.same[operator.outputs[0]] = self._on_grid(operator.inputs[0], self._grid(operator.outputs[0]))
        elif not self._integer(operator, old):
            for tensor in operator.inputs:
                self._as_float(tensor)
            self.made.append(old)

    def _integer(self, operator: Operator, old: Any) -> bool:
        """Write an operator's integer form, if it has one."""
        wanted, places = self._wanted(operator.outputs[0]), self._places(operator)
        if wanted is None and self.fixed:
            wanted = FIXED.get(operator.name)
        if operator.name in LAYERS:
            return wanted is not None and self._layer(operator, old, wanted)
        whole = [self.whole.get(operator.inputs[place]) for place in places]
        grids = [self._grid(tensor) for tensor in whole if tensor is not None and self._dtype(tensor) == "int8"]
        if not places or len(grids) < len(places) or None in grids:
            return False
        joined = operator.name in JOINS
        grid = _grid_of(operator.name, grids, wanted)
        if grid is None:
            return False
        inputs = list(operator.inputs)
        for place in places:
            inputs[place] = self._on_grid(inputs[place], grid) if joined else self.whole[inputs[place]]
        self._append(operator, old, inputs, grid)
        return True

    def _append(self, operator: Operator, old: Any, inputs: list[int], grid: Grid) -> None:
        outputs = []
        for tensor in operator.outputs:
            self.whole[tensor] = integer_tensor(self.model, tensor, grid)
            outputs.append(self.whole[tensor])
        old.inputs, old.outputs = inputs, outputs
        code = self.model.operatorCodes[old.opcodeIndex]
        code.version = max(code.version or 1, VERSIONS.get(operator.name, 2))
        self.made.append(old)

    def _layer(self, operator: Operator, old: Any, wanted: Grid) -> bool:
        """A layer with weights, its bias as int32 on the scale of input times weights."""
        given, weights, bias = LAYERS[operator.name]
        inputs = list(operator.inputs)
        kernel = self.whole.get(inputs[weights])
        grid = self._grid(self.whole[inputs[given]]) if inputs[given] in self.whole else None
        if kernel is None or grid is None or graph.constant(self.model, 0, kernel) is None:
            return False
        axis = 3 if operator.name == "DEPTHWISE_CONV_2D" else 0
        if len(self.tree.tensors[kernel].quantization.scale) > 1 and (
            self.tree.tensors[kernel].quantization.quantizedDimension != axis
        ):
            return False
        kernel = self._without_zero_point(kernel, axis)
        held = self.tree.tensors[kernel].quantization
        inputs[given], inputs[weights] = self.whole[inputs[given]], kernel
        if len(inputs) > bias and inputs[bias] >= 0:
            inputs[bias] = self._bias(inputs[bias], np.float64(grid[0]) * np.asarray(held.scale, np.float64))
        self._append(operator, old, inputs, wanted)
        return True

    def _without_zero_point(self, kernel: int, axis: int) -> int:
        """Weights about zero, as those of TFLite's layers are: the same if they are, else others, with a note."""
        held, values = self.tree.tensors[kernel].quantization, graph.constant(self.model, 0, kernel)
        if values is None or not any(held.zeroPoint):
            return kernel
        name, zero_points = self._name(kernel), graph.ints(held.zeroPoint)
        if not self.symmetric:
            raise Unsupported(
                f"the weights {name} have a zero point ({zero_points[0]}), and those of TFLite have none", place=name
            )
        shape = [1] * values.ndim
        shape[axis] = len(zero_points)
        integers, steps = about_zero(values.astype(np.int32) - np.reshape(zero_points, shape), axis)
        if anew := int(np.count_nonzero(steps > 1)):
            self.rounded[name] = anew
        scales = np.asarray(held.scale, np.float64) * (steps if anew else 1)
        made = edit.add_constant(self.model, f"{name}_about_zero", integers)
        self.tree.tensors[made].quantization = edit.quantization(scales, np.zeros(len(scales)), axis)
        return made

    def _bias(self, tensor: int, scales: NDArray[np.float64]) -> int:
        whole = self.whole.get(tensor)
        values = graph.constant(self.model, 0, tensor if whole is None else whole)
        if values is None:
            raise Unsupported(f"the bias {self._name(tensor)} is computed", place=self._name(tensor))
        real = values.astype(np.float64)
        if whole is not None:
            held = self.tree.tensors[whole].quantization
            real = (real - np.asarray(held.zeroPoint)) * np.asarray(held.scale, np.float64)
        levels = np.rint(real / scales)
        if np.abs(levels).max(initial=0) > np.iinfo(np.int32).max:
            raise Unsupported(f"the bias {self._name(tensor)} is too large for 32 bits", place=self._name(tensor))
        made = edit.add_constant(self.model, f"{self._name(tensor)}_int32", levels.astype(np.int32))
        self.tree.tensors[made].quantization = edit.quantization(scales, np.zeros(len(scales)))
        return made

    def _places(self, operator: Operator) -> list[int]:
        """The places of an operator's float operands."""
        return [k for k, tensor in enumerate(operator.inputs) if tensor >= 0 and self._dtype(tensor) == "float32"]

    def _wanted(self, tensor: int) -> Grid | None:
        """The grid that everybody who reads a tensor rounds it to."""
        readers = self.readers.get(tensor, [])
        if not readers or tensor in self.main.outputs or any(reader.name != "QUANTIZE" for reader in readers):
            return None
        grids = {self._grid(reader.outputs[0]) for reader in readers}
        return grids.pop() if len(grids) == 1 else None

    def _grid(self, tensor: int) -> Grid | None:
        """The grid of an int8 tensor; None if each channel has its own."""
        held = self.tree.tensors[tensor].quantization
        return (float(held.scale[0]), int(held.zeroPoint[0])) if len(held.scale) == 1 else None

    def _on_grid(self, tensor: int, grid: Any) -> int:
        """An int8 tensor with the values of a float one on a grid: its own, or one behind a requantization."""
        whole = self.whole[tensor]
        if self._grid(whole) == grid:
            return whole
        made = integer_tensor(self.model, tensor, grid)
        self._add("QUANTIZE", whole, made)
        return made

    def _as_float(self, tensor: int) -> None:
        """Let a DEQUANTIZE make a float tensor that integers stand for, once."""
        if tensor in self.whole and tensor not in self.floats:
            self.floats.add(tensor)
            self._add("DEQUANTIZE", self.whole[tensor], tensor)

    def _add(self, builtin: str, given: int, made: int) -> None:
        self.made.append(edit.operator(self.model, builtin, [given], [made], version=2))

    def _dtype(self, tensor: int) -> str:
        return graph.DTYPES[self.tree.tensors[tensor].type]

    def _name(self, tensor: int) -> str:
        return bytes(self.tree.tensors[tensor].name or b"").decode("utf8", "replace")
