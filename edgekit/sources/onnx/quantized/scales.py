"""An ONNX network's own scales, carried through the converter.

onnx2tf drops and moves QuantizeLinear and DequantizeLinear. So each pair on an activation becomes a mark that it
keeps: ``Max(x, -2¹⁰⁰ · (1 + k · 2⁻²⁰))``, which is x whatever x is, and whose constant tells the number k of the
grid. Weights are converted as the floats that their integers stand for, and known again by their values.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgekit.sources.onnx.network import Array, attributes, consumed
from edgekit.sources.onnx.quantized import not_carried
from edgekit.waist import edit, fusing, graph
from edgekit.waist.fusing import Grid

_MOVES = {
    "DepthToSpace", "Flatten", "Gather", "Identity", "MaxPool", "Reshape", "Slice", "SpaceToDepth", "Split", "Squeeze",
    "Tile", "Transpose", "Unsqueeze",
}  # fmt: skip
"""What gives values of its first operand and may stand on integers themselves, as a Resize to the nearest may."""

_POSITIONS = {"ArgMax", "ArgMin"}
"""What may stand on integers since these are in the order of what they stand for; what it gives are none of them."""

_EIGHT_BITS = {"int8": 0, "uint8": 128}
"""By dtype, how far it lies above int8."""

_CODES = {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}


@dataclass(frozen=True)
class Weights:
    """Integers of the source as int8, with a scale and a zero point for all or for each channel."""

    name: str
    integers: Array
    scales: Array
    zero_points: Array


@dataclass
class Marked:
    """A network of float operators with marks, the grids by their number, and its quantized constants."""

    model: onnx.ModelProto
    grids: list[Grid] = field(default_factory=list)
    weights: list[Weights] = field(default_factory=list)


def code(number: int) -> np.float32:
    """The constant that a mark's Max reads."""
    return np.float32(-(2.0**100) * (1 + number * 2.0**-20))


def mark(model: onnx.ModelProto) -> Marked:
    """A copy of a network in QDQ form with marks in the place of pairs, and float weights.

    Raises:
        Unsupported: a scale, a dtype or an operator on integers has no TFLite form; it is named.
    """
    marked = Marked(onnx.ModelProto())
    marked.model.CopyFrom(model)
    main = marked.model.graph
    marking = _Marking(marked)
    nodes = marking.inputs()
    nodes += [made for node in _read(model.graph) for made in marking.node(marking.renamed(node))]
    for value in main.output:
        if value.type.tensor_type.elem_type in _CODES and value.name not in marking.on:
            raise not_carried(f"{value.name}, an output, has integers whose scale is not told")
        if value.name in marking.on:
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    del main.node[:], main.value_info[:], main.initializer[:]
    main.node.extend(nodes)
    main.initializer.extend(numpy_helper.from_array(value, name) for name, value in marking.constants.items())
    return marked


def _read(main: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes whose results somebody reads; a pair for each reader may leave some that nobody does."""
    wanted, kept = {value.name for value in main.output}, []
    for node in reversed(main.node):
        if wanted & set(node.output):
            kept.append(node)
            wanted.update(consumed(node))
    return kept[::-1]


@dataclass
class _Marking:
    """``constants`` by name; ``on`` is the grid of each value that the source holds as integers.

    ``given`` are the names that inputs of integers have inside, where they are marked.
    """

    marked: Marked
    on: dict[str, Grid] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        main = self.marked.model.graph
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in main.initializer}
        for node in main.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)

    def inputs(self) -> list[onnx.NodeProto]:
        """A mark behind every input that has 8-bit integers, which becomes a float one."""
        marks = []
        for value in self.marked.model.graph.input:
            if value.type.tensor_type.elem_type not in _CODES or value.name in self.constants:
                continue
            grid = self._grid_behind(value.name)
            if grid is None:
                raise not_carried(f"{value.name}, an input, has integers whose scale is not told")
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
            self.given[value.name] = f"{value.name}/integers"
            marks.append(self._mark(value.name, self.given[value.name], grid))
        return marks

    def renamed(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """A node that reads marked inputs instead of the inputs themselves."""
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [self.given.get(name, name) for name in node.input]
        return copy

    def _grid_behind(self, name: str) -> Grid | None:
        """The grid on which somebody reads integers, or what only moves them; None if nobody does."""
        for node in self.marked.model.graph.node:
            if not node.input or node.input[0] != name:
                continue
            if node.op_type == "DequantizeLinear":
                return self._grid(node)
            if (_moves(node) or node.op_type == "Pad") and (found := self._grid_behind(node.output[0])) is not None:
                return found
        return None

    def node(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """What takes a node's place; nothing if it became a constant."""
        given, made = node.input[0] if node.input else "", node.output[0]
        if made in self.constants:
            return []
        if node.op_type == "QuantizeLinear":
            return self._rounded(node, given, made)
        if node.op_type == "DequantizeLinear":
            if given in self.constants:
                self.constants[made] = self._weights(node, given)
                return []
            if self.on.get(given) != self._grid(node):
                raise not_carried(f"{made} reads the integers of {given} on another scale")
            return [helper.make_node("Identity", [given], [made], name=node.name)]
        if any(name in self.on for name in node.input):
            return self._on_integers(node)
        return self._of_constant(node)

    def _of_constant(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """What moves a constant's integers, as the rows of a table, moves what they stand for."""
        given, made = node.input[0] if node.input else "", node.output[0]
        stored = self.constants.get(given)
        moved = stored is not None and str(stored.dtype) in _EIGHT_BITS and _moves(node)
        grid = self._grid_behind(made) if moved else None
        if stored is None or grid is None:
            return [node]
        scale, zero_point = np.float32(grid[0]), grid[1] + _EIGHT_BITS[str(stored.dtype)]
        levels = stored.astype(np.int32) - zero_point
        node.input[0] = f"{given}/real/{made}"
        self.constants[node.input[0]] = levels.astype(np.float32) * scale
        zero = np.asarray([zero_point])
        self.marked.weights.append(_int8(given, stored, np.asarray([scale]), zero, levels))
        self.on |= dict.fromkeys(node.output, grid)
        return [node]

    def _on_integers(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """A node that reads integers itself, as one on what they stand for."""
        given, made = node.input[0], node.output[0]
        if [name for name in node.input if name in self.on] != [given]:
            raise not_carried(f"{node.op_type} computes {made} from integers")
        scale, zero_point = self.on[given]
        if node.op_type in _POSITIONS:
            return [node]
        if node.op_type == "Resize" and not _moves(node):  # ONNX Runtime rounds what it gives, to the same integers
            node.output[0] = f"{made}/real"
            return [node, self._mark(node.output[0], made, (scale, zero_point))]
        if node.op_type == "Pad" and attributes(node).get("mode", "constant") == "constant":
            stored = self.constants.get(node.input[2]) if len(node.input) > 2 else None
            if stored is None:
                raise not_carried(f"{node.op_type} fills {made} with an integer that is not told")
            level = int(stored.ravel()[0]) - _EIGHT_BITS[str(stored.dtype)]
            node.input[2] = f"{made}/filled"
            self.constants[node.input[2]] = np.asarray((level - zero_point) * scale, np.float32)
        elif node.op_type != "Pad" and not _moves(node):
            raise not_carried(f"{node.op_type} computes {made} from integers")
        self.on |= dict.fromkeys(node.output, self.on[given])
        return [node]

    def _rounded(self, node: onnx.NodeProto, given: str, made: str) -> list[onnx.NodeProto]:
        if given in self.constants:
            scales, zero = self._parameters(node)
            shape = _along(node, self.constants[given], scales)
            levels = np.rint(self.constants[given] / scales.reshape(shape)) + zero.reshape(shape)
            ends = np.iinfo(zero.dtype)
            self.constants[made] = np.clip(levels, ends.min, ends.max).astype(zero.dtype)
            return []
        return [self._mark(given, made, self._grid(node))]

    def _mark(self, given: str, made: str, grid: Grid) -> onnx.NodeProto:
        self.on[made] = grid
        self.marked.grids.append(grid)
        number = f"{made}/grid"
        self.constants[number] = np.asarray(code(len(self.marked.grids)))
        return helper.make_node("Max", [given, number], [made], name=made)

    def _grid(self, node: onnx.NodeProto) -> Grid:
        scales, zero = self._parameters(node)
        if str(zero.dtype) not in _EIGHT_BITS:
            raise not_carried(f"{node.output[0]} is rounded to {zero.dtype}")
        if scales.size != 1:
            raise not_carried(f"{node.output[0]} has a scale for each channel, and TFLite's activations have one")
        return float(scales.ravel()[0]), int(zero.ravel()[0]) - _EIGHT_BITS[str(zero.dtype)]

    def _parameters(self, node: onnx.NodeProto) -> tuple[Array, Array]:
        """Scales and zero points of a QuantizeLinear or DequantizeLinear, constants both."""
        names = node.input[1:]
        if any(name and name not in self.constants for name in names):
            raise not_carried(f"the scale of {node.output[0]} is computed")
        scales = self.constants[names[0]].astype(np.float32)
        if len(names) > 1 and names[1]:
            return scales, self.constants[names[1]]
        stored = self.constants.get(node.input[0])
        integers = stored is not None and stored.dtype.kind in "iu"
        return scales, np.zeros(scales.shape, stored.dtype if integers and stored is not None else np.uint8)

    def _weights(self, node: onnx.NodeProto, given: str) -> Array:
        """The floats that a constant's integers stand for; 8-bit ones are remembered."""
        scales, zero = self._parameters(node)
        stored = self.constants[given]
        shape = _along(node, stored, scales)
        levels = stored.astype(np.int32) - zero.astype(np.int32).reshape(shape)
        if str(stored.dtype) in _EIGHT_BITS:
            self.marked.weights.append(_int8(given, stored, scales, zero, levels))
        elif stored.dtype != np.int32:  # of biases
            raise not_carried(f"the constant {given} is of {stored.dtype}")
        real: Array = levels.astype(np.float32) * scales.reshape(shape)
        return real


def _moves(node: onnx.NodeProto) -> bool:
    """Whether a node only gives values of its first operand, as what stands on integers must."""
    modes = [attribute.s for attribute in node.attribute if attribute.name == "mode"]
    return node.op_type in _MOVES or (node.op_type == "Resize" and modes in ([], [b"nearest"]))


def _int8(name: str, stored: Array, scales: Array, zero: Array, levels: Array) -> Weights:
    """Integers as int8: about zero if they fit so, since those of layers are."""
    if levels.min(initial=0) >= -128 and levels.max(initial=0) <= 127:
        return Weights(name, levels.astype(np.int8), scales.ravel(), np.zeros(scales.size, np.int64))
    offset = _EIGHT_BITS[str(stored.dtype)]
    shifted = stored.astype(np.int32) - offset
    return Weights(name, shifted.astype(np.int8), scales.ravel(), zero.ravel().astype(np.int64) - offset)


def _along(node: onnx.NodeProto, values: Array, scales: Array) -> tuple[int, ...]:
    """The shape in which scales meet the axis of values that they belong to."""
    if scales.size == 1:
        return (1,) * values.ndim
    told = attributes(node)
    if told.get("block_size") or scales.ndim > 1:
        raise not_carried(f"the constant {node.input[0]} has scales for blocks")
    shape = [1] * values.ndim
    shape[told.get("axis", 1)] = scales.size
    return tuple(shape)


ROUNDED = (
    "the source's own scales are kept but for {count} of its weights ({names}): these lie about a zero point, and "
    "TFLite's about 0; channels that do not fit 8 bits so were rounded a second time, each on a scale of its own"
)
"""What users must know of weights that are not the source's integers any more."""


def fuse(file: Path, marked: Marked) -> tuple[str, ...]:
    """Make integers of a converted file with marks, in place.

    Returns:
        What users must know.

    Raises:
        Unsupported: the converter lost a mark or changed weights, or a layer has no integer form.
    """
    model = graph.load(file)
    unmark(model, marked)
    rounded = fusing.fuse(model, symmetric=True)
    file.write_bytes(graph.pack(model))
    names = [name.removesuffix("_int8") for name in rounded]
    shown = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
    return (ROUNDED.format(count=len(names), names=shown),) if names else ()


def unmark(model: Any, marked: Marked) -> None:
    """Make pairs of QUANTIZE and DEQUANTIZE of a converted file's marks, and integers of its weights, in place.

    Raises:
        Unsupported: the converter lost a mark, or changed weights.
    """
    numbers = {float(code(k)): k for k in range(1, len(marked.grids) + 1)}
    found = set()
    for operator in reversed(graph.describe(model)[0].operators):
        if operator.name != "MAXIMUM":
            continue
        for place, tensor in enumerate(operator.inputs):
            value = graph.constant(model, 0, tensor)
            number = numbers.get(float(value.ravel()[0])) if value is not None and value.size == 1 else None
            if number is not None:
                del model.subgraphs[0].operators[operator.index]
                fusing.pair(
                    model, operator.index, operator.inputs[1 - place], operator.outputs[0], marked.grids[number - 1]
                )
                found.add(number)
    if lost := set(numbers.values()) - found:
        raise not_carried(f"{len(lost)} of its {len(numbers)} roundings are lost in the conversion")
    _integers(model, marked.weights)


def _integers(model: Any, weights: list[Weights]) -> None:
    main = graph.describe(model)[0]
    left = {held.name for held in weights}
    read = {tensor for operator in main.operators for tensor in operator.inputs}
    for tensor in main.tensors:
        values = graph.constant(model, 0, tensor.index) if tensor.index in read else None
        if values is None or values.dtype != np.float32:
            continue
        for held in weights:
            if (form := _form(values, held)) is not None:
                left.discard(held.name)
                _store(model, tensor, held, *form)
                break
    if left:
        raise not_carried(f"the converter merges the constants {', '.join(sorted(left))} with others")


def _form(values: Array, held: Weights) -> tuple[Array, int] | None:
    """The integers of float values, if these are exactly a source's, and the axis of the scales."""
    if values.size != held.integers.size:
        return None
    for axis in (0,) if held.scales.size == 1 else dict.fromkeys((0, values.ndim - 1)):
        shape = [1] * values.ndim
        if held.scales.size > 1:
            if values.shape[axis] != held.scales.size:
                continue
            shape[axis] = held.scales.size
        scales = held.scales.reshape(shape)
        levels = np.rint(values / scales)
        if not np.array_equal(levels.astype(np.float32) * scales, values):
            continue
        stored = levels.astype(np.int64) + held.zero_points.reshape(shape)
        if np.array_equal(np.sort(stored, axis=None), np.sort(held.integers, axis=None)):
            return stored.astype(np.int8), axis
    return None


def _store(model: Any, tensor: graph.Tensor, held: Weights, integers: Array, axis: int) -> None:
    """An int8 constant with a DEQUANTIZE that gives the float one."""
    stored = edit.add_constant(model, f"{held.name}_int8", integers)
    model.subgraphs[0].tensors[stored].quantization = edit.quantization(held.scales, held.zero_points, axis)
    model.subgraphs[0].tensors[tensor.index].buffer = 0
    edit.add_operator(model, "DEQUANTIZE", [stored], [tensor.index], at=0)
