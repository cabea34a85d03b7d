"""An OpenVINO network cut where activations are rounded: stretches that run by themselves.

A *point* is a tensor that is rounded (what a FakeQuantize of activations reads) or a result of the network; in a file
without any such quantizer, what each layer makes. Between points lies a stretch: mostly a layer with its bias and its
activation.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.backends.openvino.libraries import CORE, EXACT, FAILURES, operators, ov
from edgekit.backends.openvino.reading import telling_line
from edgekit.errors import Unsupported
from edgekit.waist.tensors import Array

Floats = NDArray[np.float32]

LAYERS = frozenset({
    "Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData", "MatMul",
    "LSTMSequence", "GRUSequence", "RNNSequence", "LSTMCell", "GRUCell", "RNNCell",
})  # fmt: skip
"""Operators with weights."""

OWN = "source: "
"""What goes before names of operators that only one network has."""

Point = tuple[str, int]
"""A tensor by the name of the operator that makes it, and which of its results it is."""


@dataclass(frozen=True)
class Quantizer:
    """A FakeQuantize of activations (OpenVINO's operation specification, FakeQuantize-1)."""

    ends: tuple[Floats, Floats]
    """Of the inputs."""

    made: tuple[Floats, Floats]
    """Of the outputs."""

    levels: int

    @classmethod
    def of(cls, node: Any) -> "Quantizer":
        """That of an operator."""
        low, high, made_low, made_high = (
            np.asarray(node.input_value(k).get_node().data, np.float32) for k in range(1, 5)
        )
        return cls((low, high), (made_low, made_high), int(node.get_attributes()["levels"]))

    @property
    def step(self) -> float:
        """How far apart levels are, the mean over all channels."""
        return float(np.mean(self.made[1] - self.made[0]) / (self.levels - 1))

    @property
    def dtype(self) -> str:
        """That of the integers."""
        return "int8" if abs(self.made[0].min() + self.made[1].max()) <= 2 * self.step else "uint8"

    def __call__(self, values: Array) -> Floats:
        """Values on the nearest level."""
        low, high = self.ends
        share = (np.clip(values.astype(np.float32, copy=False), low, high) - low) / (high - low)
        rounded = np.rint(share * (self.levels - 1)) / (self.levels - 1)
        found: Floats = (rounded * (self.made[1] - self.made[0]) + self.made[0]).astype(np.float32)
        return found


@dataclass(frozen=True)
class Stretch:
    """What makes a point: the points that it reads, and how each is rounded before (absent: not at all).

    ``nodes`` are the names of its operators in order, ``layers`` those of them with weights.
    """

    point: Point
    reads: tuple[Point, ...]
    rounded: Mapping[Point, Quantizer]
    nodes: tuple[str, ...]
    layers: tuple[str, ...]


class IrNetwork:
    """A network, read from its file.

    Args:
        model: ``openvino.Model`` with fixed shapes and without state.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.nodes: dict[str, Any] = {}
        self.places: dict[str, int] = {}
        self._computed: set[str] = set()
        for node in model.get_ordered_ops():
            name = node.get_friendly_name()
            kind = node.get_type_name()
            if kind == "Parameter" or any(
                v.get_node().get_friendly_name() in self._computed for v in node.input_values()
            ):
                self._computed.add(name)
                self.places[name] = len(self.places)
            self.nodes[name] = node
        self.quantizers = tuple(n for n in self._computed if self.nodes[n].get_type_name() == "FakeQuantize")

    @property
    def points(self) -> tuple[Point, ...]:
        """All points, in the order in which they are made."""
        found = {_port(self.nodes[name].input_value(0)) for name in self.quantizers}
        found |= {_port(self._source(result.input_value(0))) for result in self.model.get_results()}
        found |= {(port.get_node().get_friendly_name(), 0) for port in self.model.inputs}
        if not self.quantizers:
            found |= {(name, 0) for name in self.layers}
        return tuple(sorted(found, key=lambda point: self.places.get(point[0], -1)))

    @property
    def layers(self) -> tuple[str, ...]:
        """Operators with weights, by name."""
        return tuple(name for name in self.places if self.nodes[name].get_type_name() in LAYERS)

    @cached_property
    def weights(self) -> dict[str, Floats]:
        """What the weights of layers stand for, however they are stored, by layer; no activations."""
        copy = IrNetwork(self.model.clone())
        values = {name: copy.nodes[name].input_value(1) for name in self.layers}
        held = {name: value for name, value in values.items() if _port(value)[0] not in self._computed}
        if not held:
            return {}
        made = compiled(ov.Model([operators.result(value) for value in held.values()], []))([])
        return {name: np.array(made[place], np.float32) for place, name in enumerate(held)}

    def quantizer(self, point: Point) -> Quantizer | None:
        """How a point is rounded; None if it is not, or if that is computed."""
        name, index = point
        for target in self.nodes[name].output(index).get_target_inputs():
            if target.get_node().get_friendly_name() in self.quantizers:
                return Quantizer.of(target.get_node())
        return None

    def port(self, point: Point) -> Any:
        """The output of an operator."""
        return self.nodes[point[0]].output(point[1])

    def told(self, point: Point) -> str:
        """A tensor's own name if it has one, else that of what makes it."""
        return min(self.port(point).get_names(), default=point[0])

    def named_as(self, other: "IrNetwork") -> "IrNetwork":
        """A copy in which what another network has as well is called as it is there; all else has names of its own.

        Both come from one source, but readers number what has no name as they go. So they are walked from the results
        to the inputs side by side: what is of one kind and one shape, and is read in the same place, is the same.
        """
        found: dict[str, str] = {}
        ends = zip(self.model.get_results(), other.model.get_results(), strict=False)
        waiting = [(mine.input_value(0), theirs.input_value(0)) for mine, theirs in ends]
        while waiting:
            mine, theirs = (one._source(value) for one, value in zip((self, other), waiting.pop(), strict=True))
            name, node = theirs.get_node().get_friendly_name(), mine.get_node()
            if node.get_friendly_name() in found or not _alike(mine, theirs):
                continue
            found[node.get_friendly_name()] = name
            both = zip(node.input_values(), theirs.get_node().input_values(), strict=False)
            waiting += [(a, b) for a, b in both if _port(a)[0] in self._computed and _port(b)[0] in other._computed]
        copy = self.model.clone()
        for node in copy.get_ordered_ops():
            name = node.get_friendly_name()
            node.set_friendly_name(found.get(name, f"{OWN}{name}"))
        return IrNetwork(copy)

    def has(self, point: Point) -> bool:
        """Whether there is a tensor of this name that is computed."""
        return point[0] in self._computed and point[1] < self.nodes[point[0]].get_output_size()

    def stretch(self, point: Point, ends: frozenset[Point]) -> Stretch:
        """What makes a point from others among ``ends``, or from inputs."""
        reads: dict[Point, None] = {}
        rounded: dict[Point, Quantizer] = {}
        nodes: dict[str, None] = {}
        waiting = [self.nodes[point[0]]]
        while waiting:
            node = waiting.pop()
            name = node.get_friendly_name()
            if name in nodes or name not in self._computed:
                continue
            nodes[name] = None
            for value in node.input_values():
                port, maker = _port(value), value.get_node()
                if port in ends or maker.get_type_name() == "Parameter":
                    reads[port] = None
                    if name in self.quantizers:
                        rounded.setdefault(port, Quantizer.of(node))
                else:
                    waiting.append(maker)
        ordered = tuple(sorted((n for n in nodes if n not in self.quantizers), key=self.places.__getitem__))
        layers = tuple(n for n in ordered if self.nodes[n].get_type_name() in LAYERS)
        return Stretch(point, tuple(reads), rounded, ordered, layers)

    def excerpt(self, stretch: Stretch, *, rounds: bool = True) -> "CompiledStretch":
        """A stretch as a network of its own; without its quantizers of activations unless it ``rounds``."""
        copy = IrNetwork(self.model.clone())
        parameters = []
        for read in stretch.reads:
            port = copy.port(read)
            parameter = operators.parameter(list(port.get_shape()), port.get_element_type())
            _redirect(port, parameter.output(0))
            parameters.append(parameter)
        for name in () if rounds else copy.quantizers:
            node = copy.nodes[name]
            _redirect(node.output(0), node.input_value(0))
        made = copy.port(stretch.point)
        return CompiledStretch(ov.Model([operators.result(made)], parameters), len(parameters))

    def _source(self, value: Any) -> Any:
        """What is rounded, of something that comes out of a quantizer."""
        while value.get_node().get_friendly_name() in self.quantizers:
            value = value.get_node().input_value(0)
        return value


class CompiledStretch:
    """A compiled network of one result; the order of inputs is that of its stretch."""

    def __init__(self, model: Any, inputs: int) -> None:
        self._compiled, self._inputs = compiled(model), inputs

    def __call__(self, values: Iterable[Array]) -> Floats:
        """The results ``[N, *shape]`` for inputs ``[N, *shape]``."""
        given = list(values)
        rows = [self._compiled([each[i] for each in given])[0].copy() for i in range(len(given[0]))]
        found: Floats = np.stack(rows).astype(np.float32)
        return found


def compiled(model: Any) -> Any:
    """A network on this host's CPU, exactly.

    Raises:
        Unsupported: the CPU plugin does not take it.
    """
    try:
        return CORE.compile_model(model, "CPU", EXACT)
    except FAILURES as error:
        raise Unsupported(
            f"OpenVINO's CPU plugin does not run a part of the file by itself: {telling_line(error)}.",
            place=model.get_friendly_name(),
            fix="diagnose a file of another precision, or one built for a target of TFLite files, such as android",
        ) from error


def _alike(one: Any, other: Any) -> bool:
    """Whether two values are made by one kind of operator, in one shape."""
    kinds = {value.get_node().get_type_name() for value in (one, other)}
    return len(kinds) == 1 and one.get_index() == other.get_index() and one.get_shape() == other.get_shape()


def _redirect(port: Any, other: Any) -> None:
    for target in port.get_target_inputs():
        target.replace_source_output(other)


def _port(value: Any) -> Point:
    return value.get_node().get_friendly_name(), value.get_index()
