"""Which tensors of a file stand for the same values as tensors of the float network that it was made from.

By their names, if these survived the making; else by structure: an operator of the same kind that reads the same
tensors. If several do (branches of one shape), their constants tell them apart. QUANTIZE and DEQUANTIZE carry a tensor
on; an activation that one side fuses into a layer is an operator of its own on the other.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from edgekit.backends.tflite.diagnosis import carried
from edgekit.errors import InputError
from edgekit.waist import graph, stored
from edgekit.waist.exact import LAYERS, Wiring
from edgekit.waist.graph import Graph, Operator
from edgekit.waist.tensors import Array

LEAST = 0.5
"""Share of a file's operators below which it is another network than the one that it is held against."""

ALIKE = 0.9
"""Cosine of two operators' constants from which on they are taken for the same: those of another training have 0."""

OWN = {"int4": 0.97, "int2": 0.8}
"""What the layers of a file have with the source's at least if it was made from it, by the dtype of their weights.

ResNet-8 in int4 has 0.992; the same network fine-tuned for 14 epochs has 0.96 with the one that it started from.
"""

OWN_AT_8_BITS = 0.99
"""The same for all others: steps of 8 bits leave 0.9999."""

APART = 0.2
"""By how much two operators' constants must differ in it to be told apart."""

ACTIVATIONS = {"RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3, "TANH": 4}
"""Operators that a layer may have fused, and how its options name them (schema, ``ActivationFunctionType``)."""

BIASES = {"int32", "int64"}
"""Dtypes of a layer's bias, whose zero point is 0."""

COMMUTATIVE = {"ADD", "MUL", "MAXIMUM", "MINIMUM"}


class Side:
    """One of two networks: its object tree, graph and wiring."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.graph: Graph = graph.describe(model)[0]
        self.wiring = Wiring(self.graph)

    def is_activation(self, tensor: int) -> bool:
        """Whether a tensor is computed, or an input."""
        return tensor >= 0 and not self.graph.tensors[tensor].constant_bytes

    def constant(self, tensor: int) -> Array | None:
        """The values that a constant stands for, float32 or as they are stored; None for activations."""
        if tensor < 0 or self.is_activation(tensor):
            return None
        described = self.graph.tensors[tensor]
        real = stored.real(self.model, 0, described)
        if real is not None:
            return real
        values = self.raw(tensor)
        if values is not None and described.scales and described.dtype in BIASES:
            found: Array = (values.astype(np.float64) * np.asarray(described.scales)).astype(np.float32)
            return found
        return values

    def raw(self, tensor: int) -> Array | None:
        """A constant as it is stored."""
        return graph.constant(self.model, 0, tensor) if tensor >= 0 else None


class Pairs:
    """Pairs of tensors: ``tensors`` maps those of the file to those of the float network.

    Raises:
        InputError: the file is of another network.
    """

    def __init__(self, file: Side, waist: Side, place: str) -> None:
        self._file, self._waist = file, waist
        self.tensors: dict[int, int] = {}
        self._ends(place)
        mine, theirs = carried.reads(file.graph), carried.reads(waist.graph)
        self._reads = {one: two for name in mine for one, two in zip(mine[name], theirs.get(name, ()), strict=False)}
        self.tensors |= self._reads
        named = self._by_name()
        self._taken = {*self.tensors.values(), *named.values()}
        for operator in file.graph.operators:
            self._follow(operator, named)
        self._require(place)

    def operator(self, of: Operator) -> Operator | None:
        """The float network's operator that makes what one of the file's makes."""
        made = next((self.tensors[tensor] for tensor in of.outputs if tensor in self.tensors), -1)
        return self._waist.wiring.producer.get(made)

    @property
    def fit(self) -> int:
        """How many of the file's operators have one of the same kind, with the same constants but for factors."""
        pairs = [(one, other) for one in self._file.graph.operators if (other := self.operator(one)) is not None]
        return sum(one.name == other.name and self._is_alike(one, other) for one, other in pairs)

    def _is_alike(self, of: Operator, other: Operator) -> bool:
        found = self.same_constants(of, other)
        return found is None or found >= self._least(of) or self.is_scaled(of, other)

    def same_constants(self, of: Operator, other: Operator) -> float | None:
        """The cosine of two operators' constants, biases aside; None if they have none to compare."""
        found = [
            _cosine(mine, theirs)
            for slot, (one, two) in enumerate(zip(of.inputs, other.inputs, strict=False))
            if not (slot == 2 and of.name in LAYERS)
            and (mine := self._file.constant(one)) is not None
            and (theirs := self._waist.constant(two)) is not None
            and theirs.dtype == np.float32
        ]
        return min(found, default=None)

    def is_scaled(self, of: Operator, other: Operator) -> bool:
        """Whether a layer's weights are the other's with their channels scaled, as cross-layer equalization does."""
        if of.name not in LAYERS or len(of.inputs) < 2 or len(other.inputs) < 2:
            return False
        mine, theirs = self._file.constant(of.inputs[1]), self._waist.constant(other.inputs[1])
        if mine is None or theirs is None or mine.shape != theirs.shape or theirs.dtype != np.float32 or mine.ndim < 2:
            return False
        least = self._least(of)
        return _cosine(mine, theirs) < least <= _cosine(mine, scaled_like(theirs, mine))

    def _least(self, layer: Operator) -> float:
        """What the weights of a layer have at least in common with those that they were made from: see `OWN`."""
        weights = layer.inputs[1] if layer.name in LAYERS and len(layer.inputs) > 1 else -1
        return OWN.get(self._file.graph.tensors[weights].dtype, OWN_AT_8_BITS) if weights >= 0 else OWN_AT_8_BITS

    def _ends(self, place: str) -> None:
        """Inputs and outputs: by name, else by their order."""
        for side in ("inputs", "outputs"):
            mine, theirs = getattr(self._file.graph, side), getattr(self._waist.graph, side)
            names = {self._waist.graph.tensors[t].name: t for t in theirs}
            pairs = [(t, names.get(self._file.graph.tensors[t].name)) for t in mine]
            if any(other is None for _, other in pairs):
                pairs = list(zip(mine, theirs, strict=False))
            shapes = [
                [g.tensors[t].shape for t in of] for g, of in ((self._file.graph, mine), (self._waist.graph, theirs))
            ]
            fits = len(mine) == len(theirs) and all(
                other is not None and self._file.graph.tensors[t].shape == self._waist.graph.tensors[other].shape
                for t, other in pairs
            )
            if not fits:
                raise InputError(
                    f"The file's {side} are {_told(shapes[0])}, the source's {_told(shapes[1])}.",
                    place=place,
                    fix="name the model that the file was made from: --against MODEL",
                )
            self.tensors |= {t: other for t, other in pairs if other is not None and side == "inputs"}
            if side == "outputs":
                self._outputs = {t: other for t, other in pairs if other is not None}

    def _by_name(self) -> dict[int, int]:
        """Activations of one name and one shape on both sides, and the outputs."""
        count = Counter(t.name for t in self._waist.graph.tensors)
        theirs = {
            t.name: t for t in self._waist.graph.tensors if count[t.name] == 1 and self._waist.is_activation(t.index)
        }
        found = {
            t.index: theirs[t.name].index
            for t in self._file.graph.tensors
            if t.name in theirs and theirs[t.name].shape == t.shape and self._file.is_activation(t.index)
        }
        found |= self._outputs
        for operator in reversed(self._file.graph.operators):  # what a border hands on has its name behind it alone
            if operator.name in graph.BORDER and operator.outputs[0] in found:
                found.setdefault(operator.inputs[0], found[operator.outputs[0]])
        return found

    def _follow(self, operator: Operator, named: dict[int, int]) -> None:
        if operator.name in graph.BORDER:
            source, made = operator.inputs[0], operator.outputs[0]
            if source in self.tensors:
                self.tensors[made] = self.tensors[source]
            elif made in named:  # an output of integers, or what a float operator made
                self.tensors[made] = named[made]
            return
        known = {made: named[made] for made in operator.outputs if made in named}
        self.tensors |= known or self._by_structure(operator)

    def _by_structure(self, operator: Operator) -> dict[int, int]:
        """The outputs of the one operator that reads the same and does the same."""
        found = list(self._candidates(operator))
        if len(found) > 1:
            scored = sorted(((self.same_constants(operator, one) or 0.0, one.index, one, made) for one, made in found))
            if scored[-1][0] < ALIKE or scored[-1][0] - scored[-2][0] < APART:
                return {}
            found = [scored[-1][2:]]
        if not found:
            return {}
        pairs = dict(zip(operator.outputs, found[0][1], strict=False))
        self._taken |= set(pairs.values())
        return pairs

    def _candidates(self, operator: Operator) -> Any:
        """Operators of the float network, each with the tensors that it makes of the same inputs."""
        fused, reader = operator.options.get("fusedActivationFunction", 0), operator
        inner = self._file.wiring.producer.get(operator.inputs[0]) if operator.inputs else None
        if operator.name in ACTIVATIONS and operator.inputs[0] not in self.tensors and inner is not None:
            fused, reader = ACTIVATIONS[operator.name], inner
        activations = [(slot, t) for slot, t in enumerate(reader.inputs) if self._file.is_activation(t)]
        if not activations or any(t not in self.tensors for _, t in activations):
            return
        shapes = [self._file.graph.tensors[t].shape for t in operator.outputs]
        first = self.tensors[activations[0][1]]
        for one in self._waist.wiring.readers.get(first, []):
            if one.name != reader.name or not self._reads_the_same(reader, one, activations):
                continue
            made, its = one.outputs, one.options.get("fusedActivationFunction", 0)
            if its != fused and not its:
                made = self._with_activation(one, fused)
            elif its != fused:
                continue
            fits = [self._waist.graph.tensors[t].shape for t in made] == shapes
            if fits and not self._taken.intersection(made):
                yield one, made

    def _reads_the_same(self, mine: Operator, other: Operator, activations: list[tuple[int, int]]) -> bool:
        wanted = [self.tensors[t] for _, t in activations]
        read = [t for t in other.inputs if self._waist.is_activation(t)]
        if mine.name in COMMUTATIVE:
            return sorted(wanted) == sorted(read)
        return wanted == read

    def _with_activation(self, layer: Operator, activation: int) -> tuple[int, ...]:
        """What the activation makes that alone reads a layer."""
        readers = self._waist.wiring.readers.get(layer.outputs[0], [])
        if len(readers) == 1 and ACTIVATIONS.get(readers[0].name) == activation:
            return readers[0].outputs
        return ()

    def _of_the_inputs(self) -> Iterator[Operator]:
        """The file's operators whose results depend on its inputs: those that begin a state at zero do not."""
        reached = {*self._file.graph.inputs, *self._reads}
        for operator in self._file.graph.operators:
            if not reached.isdisjoint(operator.inputs) and operator.name not in carried.KINDS:
                reached.update(operator.outputs)
                yield operator

    def _require(self, place: str) -> None:
        """Refuse a file whose operators, or whose weights, are others."""
        computing = [o for o in self._of_the_inputs() if o.name not in graph.BORDER]
        paired = [o for o in computing if any(t in self.tensors for t in o.outputs)]
        if computing and len(paired) < LEAST * len(computing):
            raise InputError(
                f"Only {len(paired)} of the file's {len(computing)} operators can be matched to the source's.",
                place=place,
                fix="name the model that the file was made from: --against MODEL",
            )
        alike = [
            1.0 if self.is_scaled(one, other) else found - self._least(one)
            for one in paired
            if one.name in LAYERS and (other := self.operator(one)) is not None and other.name == one.name
            if (found := self.same_constants(one, other)) is not None
        ]
        if alike and np.median(alike) < 0:
            raise InputError(
                "The file's weights are not the source's: it was made from another training of the same network.",
                place=place,
                fix="name the model that the file was made from: --against MODEL",
            )


def scaled_like(weights: Array, wanted: Array, rounds: int = 8) -> Array:
    """Weights ``[outputs or 1, …, inputs]`` times factors for the channels at both ends, fitted by least squares."""
    made, target = weights.astype(np.float64), wanted.astype(np.float64)
    ends = [axis for axis in (0, made.ndim - 1) if made.shape[axis] > 1]
    for _ in range(rounds):
        for axis in ends:
            others = tuple(k for k in range(made.ndim) if k != axis)
            power = (made**2).sum(others, keepdims=True)
            made = made * ((made * target).sum(others, keepdims=True) / np.maximum(power, 1e-30))
    return made


def _cosine(a: Array, b: Array) -> float:
    """Of two constants of one size; 0 for others, 1 for two of zeros."""
    if a.size != b.size:
        return 0.0
    one, two = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    norms = float(np.linalg.norm(one) * np.linalg.norm(two))
    if not np.isfinite(norms):
        return 0.0
    return float(one @ two) / norms if norms else float(not one.any() and not two.any())


def _told(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join("×".join(map(str, shape)) or "scalar" for shape in shapes)
