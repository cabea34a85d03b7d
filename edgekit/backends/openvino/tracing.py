"""Channels traced through an OpenVINO graph, as `edgekit.equalization.tracing` traces them through a waist.

Here each value of a tensor has its channel's number, however channels lie in it: an array of numbers of the tensor's
rank, with one place along every axis along which they do not differ. What moves values is evaluated on these numbers.
"""

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import numpy as np

from edgekit.backends.openvino.layers import IrLayer, layer
from edgekit.backends.openvino.libraries import FAILURES, ov
from edgekit.equalization.homogeneous import CAP
from edgekit.equalization.numbering import Floats, Numbered, Numbers
from edgekit.equalization.observing import FINITE
from edgekit.equalization.tracing import MOST_VALUES

Port = tuple[str, int]
"""A tensor: the friendly name of the node that makes it, and which of its results it is."""

Place = tuple[str, int]
"""A constant: the friendly name of the node that reads it, and which of its inputs it is."""

_SAME = {"Relu", "PRelu", "Clamp", "Multiply", "Divide"}
"""Operators of values with others that have no channels: element by element, each times the same number."""

_SUMS = {"Add", "Subtract", "Maximum", "Minimum"}
"""Operators for which channels of operands must be divided alike; constants among these are divided as well."""

_POOLS = {"MaxPool", "AvgPool"}

_REDUCTIONS = {"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"}

_MOVES = {
    "Broadcast", "Concat", "DepthToSpace", "Gather", "Reshape", "ShuffleChannels", "Slice", "SpaceToDepth", "Split",
    "Squeeze", "StridedSlice", "Tile", "Transpose", "Unsqueeze", "VariadicSplit",
}  # fmt: skip

FUSED = {"Relu", "PRelu", "Clamp"}
"""Operators that kernels compute together with what comes before."""


class IrTrace(Numbered):
    """The channels of an ``openvino.Model``, numbered: layers by friendly name, tensors by `Port`.

    ``within`` has tensors that vary by channel along one axis, which stands in ``axes``. ``added`` are numbers of
    constants that are added to channels, as an array that is broadcast to them.

    Args:
        model: float, with fixed shapes and distinct friendly names.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.axes: dict[Port, int] = {}
        self.added: dict[Place, Numbers] = {}
        self._model = model
        self._numbers: dict[Port, Numbers] = {}
        for node in model.get_ordered_ops():
            self._follow(node)
        for port, numbers in self._numbers.items():
            varying = [axis for axis, size in enumerate(numbers.shape) if size > 1]
            if len(varying) == 1:
                self.axes[port], self.within[port] = varying[0], numbers.ravel()
        for port in self.capped - self.within.keys():  # nobody knows how near its cap a channel of it is
            self._leave(np.unique(self._numbers[port]))
        roots = self._settle()
        self.added = {place: roots[numbers] for place, numbers in self.added.items()}

    def divided(self, by: Floats) -> Any:
        """A copy of the model that computes the same with its channels divided.

        Args:
            by: numbers > 0 for each channel's number ``[count]``; 1 for the number 0.
        """
        copy = self._model.clone()
        nodes = {node.get_friendly_name(): node for node in copy.get_ordered_ops()}
        for name, found in self.layers.items():
            _store(nodes[name], 1, found.as_weights(self.weights(name, by)))
        for (name, place), numbers in self.added.items():
            if (by[numbers] != 1).any():
                values = np.array(nodes[name].input_value(place).get_node().data, np.float64)
                _store(nodes[name], place, values / by[numbers])
        return copy

    def looked_at(self) -> Iterator[Port]:
        """Tensors that somebody else than a bias or an activation function reads: those that are rounded."""
        for node in self._model.get_ordered_ops():
            for output in node.outputs():
                readers = [target.get_node() for target in output.get_target_inputs()]
                if _port(output) in self.within and not all(map(_is_fused, readers)):
                    yield _port(output)

    def _follow(self, node: Any) -> None:
        kind, read = node.get_type_name(), [value for value in node.input_values() if _port(value) in self._numbers]
        ports = (*node.inputs(), *node.outputs())
        if any(port.get_partial_shape().is_dynamic for port in ports):
            known = False
        elif (found := layer(node)) is not None:
            known = self._layer(found)
        elif not read:
            return
        else:
            known = self._passes(kind, node, read)
        for value in () if known else read:
            self._leave(np.unique(self._numbers[_port(value)]))

    def _passes(self, kind: str, node: Any, read: list[Any]) -> bool:
        """What comes after layers; whether channels go on."""
        rules: dict[str, Callable[[Any, list[Any]], bool]] = {
            **dict.fromkeys(_SAME, self._same_values),
            **dict.fromkeys(_SUMS, self._sum),
            **dict.fromkeys(_POOLS, self._pool),
            **dict.fromkeys(_REDUCTIONS, self._reduction),
            **dict.fromkeys(_MOVES, self._moves),
            "Interpolate": self._resized,
            "Pad": self._padded,
        }
        return kind in rules and rules[kind](node, read)

    def _layer(self, found: IrLayer) -> bool:
        name, source = found.node.get_friendly_name(), found.node.input_value(0)
        numbers = self._numbers.get(_port(source))
        rank, is_matrix = len(source.get_shape()), found.node.get_type_name() == "MatMul"
        axis = rank - 1 if is_matrix else 1
        whole = numbers is not None and all(size == 1 for k, size in enumerate(numbers.shape) if k != axis)
        self.layers[name] = found
        if numbers is not None and whole:
            self.read[name] = np.broadcast_to(numbers.ravel(), (found.read,))
        self.made[name] = self._new(found.made)
        out = len(found.node.get_output_shape(0))
        shape = [found.made if k == (out - 1 if is_matrix else 1) else 1 for k in range(out)]
        self._numbers[name, 0] = self.made[name].reshape(shape)
        return whole

    def _same_values(self, node: Any, read: list[Any]) -> bool:
        """Values times numbers that are the same whatever they are divided by."""
        (first, *others), kind = read, node.get_type_name()
        if others or (kind in {"Divide", "PRelu"} and _port(first) != _port(node.input_value(0))):
            return False
        if kind == "Clamp":
            least, most = (node.get_attributes()[end] for end in ("min", "max"))
            if least != 0 or (most != CAP and most < FINITE):
                return False
            if most == CAP:
                self.capped.add((node.get_friendly_name(), 0))
        self._keep(node, first)
        return True

    def _sum(self, node: Any, read: list[Any]) -> bool:
        """Sums, whose channels are divided alike, as constants are that are added."""
        rank = len(node.get_output_shape(0))
        numbers = [_lifted(self._numbers[_port(value)], rank) for value in read]
        for place, value in enumerate(node.input_values()):
            constant = value.get_node()
            if _port(value) in self._numbers:
                continue
            alone = constant.get_type_name() == "Constant" and len(value.get_target_inputs()) == 1
            if not alone or constant.get_element_type() != ov.Type.f32:
                return False
            self.added[node.get_friendly_name(), place] = numbers[0]
        for other in numbers[1:]:
            both = np.stack([each.ravel() for each in np.broadcast_arrays(numbers[0], other)])
            for one, tied in np.unique(both, axis=1).T:
                self._tie(int(one), int(tied))
        whole = np.broadcast_shapes(*(each.shape for each in numbers))
        self._numbers[node.get_friendly_name(), 0] = np.broadcast_to(numbers[0], whole)
        return True

    def _pool(self, node: Any, _: list[Any]) -> bool:
        numbers = self._numbers[_port(node.input_value(0))]
        shown = any(output.get_target_inputs() for output in node.outputs()[1:])
        return not shown and max(numbers.shape[2:], default=1) == 1 and self._keep(node, node.input_value(0))

    def _reduction(self, node: Any, _: list[Any]) -> bool:
        numbers, axes = self._numbers[_port(node.input_value(0))], _constant(node.input_value(1))
        if axes is None:
            return False
        gone = tuple(int(axis) % numbers.ndim for axis in axes.ravel())
        if any(numbers.shape[axis] > 1 for axis in gone):
            return False
        kept = numbers if node.get_attributes()["keep_dims"] else np.squeeze(numbers, gone)
        self._numbers[node.get_friendly_name(), 0] = kept
        return True

    def _resized(self, node: Any, _: list[Any]) -> bool:
        """Other heights and widths; channels that lie along these are no channels any more."""
        before, after = node.get_input_shape(0), node.get_output_shape(0)
        numbers, options = self._numbers[_port(node.input_value(0))], node.get_attributes()
        changed = [axis for axis, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
        padded = any(any(options.get(end, ())) for end in ("pads_begin", "pads_end"))
        whole = not padded and all(numbers.shape[axis] == 1 for axis in changed)
        return whole and self._keep(node, node.input_value(0))

    def _padded(self, node: Any, _: list[Any]) -> bool:
        """Padding by 0, by what lies below all values, or by values of the same channel."""
        numbers, ends = self._numbers[_port(node.input_value(0))], [_constant(node.input_value(k)) for k in (1, 2)]
        if any(end is None for end in ends):
            return False
        axes = [axis for axis, sizes in enumerate(zip(*(np.ravel(end) for end in ends), strict=True)) if any(sizes)]
        if any(numbers.shape[axis] > 1 for axis in axes):
            return False
        if node.get_attributes()["pad_mode"] == "constant" and len(node.input_values()) > 3:
            value = _constant(node.input_value(3))
            if value is None or not (value.ravel()[0] == 0 or value.ravel()[0] <= -FINITE):
                return False
        return self._keep(node, node.input_value(0))

    def _moves(self, node: Any, read: list[Any]) -> bool:
        """What moves values: it moves their numbers. Whether it could."""
        values = node.input_values() if node.get_type_name() == "Concat" else node.input_values()[:1]
        others = node.input_values()[len(values) :]
        sizes = [prod(port.get_shape()) for port in (*values, *node.outputs())]
        fixed = [_constant(value) for value in others]
        if any(one is None for one in fixed) or len(read) > len(values) or max(sizes) > MOST_VALUES:
            return False
        if self.count > MOST_VALUES or any(value.get_element_type() != ov.Type.f32 for value in values):
            return False
        given = [ov.Tensor(np.ascontiguousarray(self._full(value), np.float32)) for value in values]
        given += [ov.Tensor(one) for one in fixed if one is not None]
        made = [ov.Tensor(ov.Type.f32, ov.Shape(list(output.get_shape()))) for output in node.outputs()]
        try:
            if not node.evaluate(made, given):
                return False
        except FAILURES:
            return False
        for index, moved in enumerate(made):
            self._numbers[node.get_friendly_name(), index] = _lean(moved.data.astype(np.int_))
        return True

    def _full(self, value: Any) -> Numbers:
        """The number of each value of a tensor; that of constants, which may be joined with channels, is 0."""
        found = self._numbers.get(_port(value), np.zeros(1, np.int_))
        return np.broadcast_to(found, value.get_shape())

    def _keep(self, node: Any, value: Any) -> bool:
        numbers = _lifted(self._numbers[_port(value)], len(node.get_output_shape(0)))
        self._numbers[node.get_friendly_name(), 0] = numbers
        return True


def _port(value: Any) -> Port:
    return value.get_node().get_friendly_name(), value.get_index()


def _constant(value: Any) -> Any:
    node = value.get_node()
    return np.array(node.data) if node.get_type_name() == "Constant" else None


def _is_fused(node: Any) -> bool:
    """Whether a node is computed with what comes before: a bias, an activation function."""
    kind = node.get_type_name()
    biased = kind == "Add" and any(value.get_node().get_type_name() == "Constant" for value in node.input_values())
    return biased or kind in FUSED


def _lifted(numbers: Numbers, rank: int) -> Numbers:
    """Numbers with leading axes for a rank."""
    return numbers.reshape((1,) * (rank - numbers.ndim) + numbers.shape)


def _lean(numbers: Numbers) -> Numbers:
    """Numbers with one place along each axis along which they do not differ."""
    for axis in range(numbers.ndim):
        first = numbers.take([0], axis) if numbers.shape[axis] else numbers
        numbers = first if (numbers == first).all() else numbers
    return numbers


def _store(node: Any, place: int, values: Any) -> None:
    constant = ov.op.Constant(np.ascontiguousarray(values, np.float32))
    constant.set_friendly_name(node.input_value(place).get_node().get_friendly_name())
    node.input(place).replace_source_output(constant.output(0))
