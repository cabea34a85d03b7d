"""Which parts the network itself joins into an output at its end: branches of a final concatenation.

A detector that concatenates boxes in pixels and scores in 0..1 has one output tensor with two meanings
and two ranges; whoever judges the tensor as one sees the boxes alone.
"""

from itertools import accumulate
from math import prod
from pathlib import Path
from typing import Any

from edgekit.nouns.model import Signature
from edgekit.nouns.verification import Made
from edgekit.waist import exact, graph
from edgekit.waist.graph import Graph, Operator

Cuts = dict[int, frozenset[int]]
"""By axis the indices at which one branch ends and the next begins; 0 and the axis' end are none."""

SAME_SHAPE = {
    "ABS", "ADD", "CAST", "CEIL", "COS", "DEQUANTIZE", "DIV", "ELU", "EXP", "FLOOR", "GELU", "HARD_SWISH",
    "LEAKY_RELU", "LOG", "LOGISTIC", "MAXIMUM", "MINIMUM", "MUL", "NEG", "POW", "PRELU", "QUANTIZE", "RELU", "RELU6",
    "RELU_0_TO_1", "RELU_N1_TO_1", "ROUND", "RSQRT", "SELECT", "SELECT_V2", "SIN", "SQRT", "SQUARE", "SUB", "TANH",
}  # fmt: skip
"""Operators that work element by element: branches of an input of the output's shape stay where they are."""


def outputs(path: Path, signature: Signature) -> dict[str, Made]:
    """How each output of a waist came to be, by its source name.

    Args:
        path: a float TFLite file.
        signature: its signature; axes are turned into those of the source.

    Raises:
        InputError: it is no TFLite file, or it is damaged.
    """
    model = graph.load(path)
    main = graph.describe(model)[0]
    search, wiring = _Search(model, main), exact.Wiring(main)
    indices = {main.tensors[index].name: index for index in main.outputs}
    made = {}
    for spec in signature.outputs:
        if spec.name not in indices:
            continue
        index = indices[spec.name]
        order = spec.permutation or tuple(range(len(spec.shape)))
        cuts = {order[axis]: tuple(sorted(found)) for axis, found in search.cuts(index).items()}
        whole, shares = len(spec.source_shape) == len(spec.shape), search.shares(index)
        made[spec.source_name] = Made(
            cuts=cuts if whole else {},
            depends=search.depends(index),
            shares=order[shares] if whole and shares is not None else None,
            bounded=exact.bounded(wiring, index),
        )
    return made


class _Search:
    """From a tensor back to the operators that made it."""

    def __init__(self, model: Any, main: Graph) -> None:
        self._model, self._main = model, main
        self._maker = {index: operator for operator in main.operators for index in operator.outputs}
        self._known: dict[int, Cuts] = {}
        self._shares: dict[int, int] = {}
        for operator in main.operators:  # in the order of execution: what loops end at is not known yet
            for tensor in operator.outputs:
                found = self._behind(operator, tensor)
                inside = {axis: self._inside(tensor, axis, cuts) for axis, cuts in found.items()}
                self._known[tensor] = {axis: cuts for axis, cuts in inside.items() if cuts}
                if (shares := self._shared(operator, tensor)) is not None:
                    self._shares[tensor] = shares

    def shape(self, tensor: int) -> tuple[int, ...]:
        """The shape of a tensor of the main graph; empty for a single number."""
        return self._main.tensors[tensor].shape

    def depends(self, tensor: int) -> bool:
        """Whether a tensor depends on an input of the network."""
        waiting, seen = [tensor], set[int]()
        while waiting:
            index = waiting.pop()
            if index in self._main.inputs or (index >= 0 and self._main.tensors[index].variable):
                return True
            if index not in seen and (maker := self._maker.get(index)) is not None:
                waiting.extend(maker.inputs)
            seen.add(index)
        return False

    def cuts(self, tensor: int) -> Cuts:
        """Where branches meet in a tensor, as far as it can be followed back."""
        return self._known.get(tensor, {})

    def shares(self, tensor: int) -> int | None:
        """The axis along which a softmax made a tensor, whatever has moved its values since."""
        return self._shares.get(tensor)

    def _shared(self, operator: Operator, tensor: int) -> int | None:
        """See `shares`; of the inputs of an operator it is known."""
        shape, inputs = self.shape(tensor), [index for index in operator.inputs if index >= 0]
        if operator.name in {"SOFTMAX", "LOG_SOFTMAX"}:
            return len(shape) - 1
        found = self.shares(inputs[0]) if inputs else None
        if found is None or operator.name in {"CAST", "DEQUANTIZE", "QUANTIZE"}:
            return found
        axes: list[int] = []
        if operator.name in {"RESHAPE", "SQUEEZE", "EXPAND_DIMS"}:
            axes = list(_reshaped({found: frozenset()}, self.shape(inputs[0]), shape))
        elif operator.name == "TRANSPOSE" and (order := graph.constant(self._model, 0, inputs[1])) is not None:
            axes = [axis for axis, before in enumerate(order) if before == found]
        elif operator.name == "CONCATENATION" and {self.shares(index) for index in inputs} == {found}:
            axes = [axis for axis in [found] if axis != int(operator.options["axis"]) % len(shape)]
        return axes[0] if axes else None

    def _inside(self, tensor: int, axis: int, cuts: frozenset[int]) -> frozenset[int]:
        """Cuts between two parts that hold something: one of those that are joined may be empty."""
        return frozenset(cut for cut in cuts if 0 < cut < self.shape(tensor)[axis])

    def _behind(self, operator: Operator, tensor: int) -> Cuts:
        inputs = [index for index in operator.inputs if index >= 0]
        shape = self.shape(tensor)
        match operator.name:
            case "CONCATENATION":
                found = self._joined(inputs, int(operator.options["axis"]) % max(len(shape), 1))
            case "PACK":
                found = {int(operator.options["axis"]) % len(shape): frozenset(range(1, len(inputs)))}
            case "RESHAPE" | "SQUEEZE" | "EXPAND_DIMS":
                found = _reshaped(self.cuts(inputs[0]), self.shape(inputs[0]), shape)
            case "TRANSPOSE":
                order, before = graph.constant(self._model, 0, inputs[1]), self.cuts(inputs[0])
                axes = () if order is None else enumerate(order)
                found = {key: before.get(int(axis), frozenset()) for key, axis in axes}
            case "SOFTMAX":
                found = {axis: cuts for axis, cuts in self.cuts(inputs[0]).items() if axis != len(shape) - 1}
            case name if name in SAME_SHAPE:
                found = _united([self.cuts(index) for index in inputs if self.shape(index) == shape])
            case _:
                found = {}
        return found

    def _joined(self, inputs: list[int], axis: int) -> Cuts:
        """A concatenation's own cuts, those inside of its inputs, and on other axes those that all inputs share."""
        ends = list(accumulate(self.shape(index)[axis] for index in inputs))
        inner = [self.cuts(index) for index in inputs]
        along = {start + cut for start, cuts in zip([0, *ends], inner, strict=False) for cut in cuts.get(axis, ())}
        others = {key for cuts in inner for key in cuts if key != axis}
        shared = {key: frozenset.intersection(*(cuts.get(key, frozenset()) for cuts in inner)) for key in others}
        return {axis: frozenset({*ends[:-1], *along})} | shared


def _united(found: list[Cuts]) -> Cuts:
    axes = {axis for cuts in found for axis in cuts}
    return {axis: frozenset().union(*(cuts.get(axis, frozenset()) for cuts in found)) for axis in axes}


def _reshaped(before: Cuts, old: tuple[int, ...], new: tuple[int, ...]) -> Cuts:
    """Cuts along axes that a reshape keeps whole: as many elements before them, and as long as they were."""
    return {
        axis: cuts
        for key, cuts in before.items()
        for axis in range(len(new))
        if new[axis] == old[key] and prod(new[:axis]) == prod(old[:key])
    }
