"""An integer file computed in TensorFlow with the arithmetic of the kernels that will run it, to be trained."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from edgekit.passes.qat.call import IntegerCall
from edgekit.passes.qat.grids import LIMITS, TensorGrid
from edgekit.passes.qat.held import Bias, Floats, Kernel, Scale
from edgekit.passes.qat.litert import AsItIs
from edgekit.passes.qat.operators import hybrid
from edgekit.passes.qat.operators.layers import LAYERS, parts
from edgekit.passes.qat.operators.table import ways
from edgekit.passes.qat.specification import WIDE, Specification
from edgekit.trainable.computing import compute
from edgekit.trainable.libraries import tf
from edgekit.trainable.operands import Call, NotLiftedError, Operand
from edgekit.waist import graph
from edgekit.waist.stepwise import Stepwise
from edgekit.waist.tensors import Array

NOTHING = 1e-15
"""Below it is the scale of what is 0 throughout, as the forgotten state of an LSTM's first step: it has no range to be
learned, and the square of the scale, by which its gradient is divided, is no float32."""


@dataclass(frozen=True)
class RoundedState:
    """Grids and constants as they are now, by tensor."""

    grids: Mapping[int, TensorGrid]
    constants: Mapping[int, Operand]


class Simulation:
    """The main graph of an integer file.

    Args:
        spec: the file.
        as_it_is: operators that LiteRT computes, by their places. Those that cannot be simulated are added.
        chosen: by which of their ways operators are computed, by their places; the others by the usual one.
        learn_ranges: learn scales, of activations and of weights.
        real: what constants were rounded from, by tensor.
        tied: by constant another one whose copy it is, and stays; integers and scales of kernels are equal.
    """

    def __init__(
        self,
        spec: Specification,
        *,
        as_it_is: Collection[int] = (),
        chosen: Mapping[int, int] = MappingProxyType({}),
        learn_ranges: bool = True,
        real: Mapping[int, Array] | None = None,
        tied: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        self.spec, self._chosen = spec, chosen
        self._stepwise = Stepwise(spec.file.tree)
        self.refused = {o.index for o in spec.main.operators if self.of_integers(o) and not ways(o, spec.main.tensors)}
        self._as_it_is = {*as_it_is, *self.refused}
        operators = [o for o in spec.main.operators if o.index not in self._as_it_is]
        given = [o for o in spec.main.operators if o.index in self._as_it_is]
        untouched = {t for o in given for t in (*o.inputs, *o.outputs) if t >= 0}
        kept = {tied.get(t, t) for t in untouched}  # if one copy stays, all do
        kinds = {t: kind for t, kind in spec.weights(operators).items() if tied.get(t, t) not in kept}
        self._tied = _by_the_first(kinds, tied)
        self.scales: dict[int, Scale] = {}
        self.kernels: dict[int, Kernel] = {}
        self.biases: dict[int, Bias] = {}
        self.floats: dict[int, Floats] = {}
        self._factors = self._bias_factors(kinds)
        self._hold(kinds, real or {})
        if learn_ranges:
            self._learn(spec.learnable(untouched))
        self._parts = {o.index: self._count_parts(o) for o in operators}

    @property
    def variables(self) -> list[Any]:
        """All that is trained."""
        held = [kernel.variable for kernel in self.kernels.values()] + [bias.variable for bias in self.biases.values()]
        floats = [weights.variable for weights in self.floats.values()]
        return [*held, *floats, *(scale.variable for scale in self.scales.values())]

    def state(self) -> RoundedState:
        """Grids and constants by the values that the variables have now."""
        grids = {
            tensor: TensorGrid.of(described, self._scale(tensor))
            for tensor, described in enumerate(self.spec.main.tensors)
            if described.scales and described.dtype in LIMITS
        }
        constants = {tensor: Operand(kernel.integers(grids[tensor])) for tensor, kernel in self.kernels.items()}
        for tensor, bias in self.biases.items():
            source, weights, _ = self._factors[tensor]
            scale = grids[source].scale * grids[weights].scale
            grids[tensor] = TensorGrid.of(self.spec.main.tensors[tensor], tf.broadcast_to(scale, bias.start.shape))
            constants[tensor] = Operand(bias.integers(scale))
        return RoundedState(
            grids, constants | {tensor: Operand(weights.now()) for tensor, weights in self.floats.items()}
        )

    def _scale(self, tensor: int) -> Any:
        """The scale of a tensor that is learned; None if it stays."""
        learned = self.scales.get(self.spec.shared.get(tensor, tensor))
        return None if learned is None else learned.now()

    @property
    def by_litert(self) -> set[str]:
        """The operators that LiteRT computes, by their names."""
        return {self.spec.main.operators[place].name for place in self._as_it_is}

    @property
    def read_by_litert(self) -> set[str]:
        """The names of what these operators read."""
        operators, tensors = self.spec.main.operators, self.spec.main.tensors
        return {tensors[tensor].name for place in self._as_it_is for tensor in operators[place].inputs if tensor >= 0}

    def integers(self, state: RoundedState) -> dict[int, Array]:
        """What the trained constants are in the file, by tensor."""
        return {
            tensor: np.asarray(state.constants[tensor].values).astype(self.spec.integers(tensor).dtype)
            for tensor in (*self.kernels, *self.biases, *self.floats)
        }

    def run(self, values: Mapping[int, Operand], state: RoundedState | None = None) -> dict[int, Operand]:
        """Compute all activations from the inputs, by tensor."""
        state, found = state or self.state(), dict(values)
        for operator in self.spec.main.operators:
            found |= dict(zip(operator.outputs, self.operate(operator, found, state), strict=True))
        return found

    def operate(self, operator: graph.Operator, values: Mapping[int, Operand], state: RoundedState) -> list[Operand]:
        """Compute one operator from activations by tensor."""
        operands = tuple(None if t < 0 else self._operand(t, values, state) for t in operator.inputs)
        call = Call(operator, operands, tuple(self.spec.main.tensors[t] for t in operator.outputs), self.spec.file)
        if not self.of_integers(operator):
            return self._of_floats(call)
        read, made = (tuple(state.grids.get(t) for t in side) for side in (operator.inputs, operator.outputs))
        step = IntegerCall(call, read, made, self._parts.get(operator.index, 1))
        if operator.index in self._as_it_is:
            return _operands(call, AsItIs(self._stepwise)(step))
        known = ways(operator, self.spec.main.tensors)
        return _operands(call, known[self._chosen.get(operator.index, 0)](step))

    def _of_floats(self, call: Call) -> list[Operand]:
        """An operator of floats; LiteRT computes what has no form in TensorFlow, such as loops over integer weights."""
        try:
            return compute(call)
        except NotLiftedError:
            self._as_it_is.add(call.operator.index)
            nothing = (None,) * len(call.operands), (None,) * len(call.results)
            return _operands(call, AsItIs(self._stepwise)(IntegerCall(call, *nothing, 1)))

    def of_integers(self, operator: graph.Operator) -> bool:
        """Whether an operator reads or makes integers that have a scale."""
        return any(self.spec.on_grid(tensor) for tensor in (*operator.inputs, *operator.outputs))

    def _operand(self, tensor: int, values: Mapping[int, Operand], state: RoundedState) -> Operand:
        if tensor in values:
            return values[tensor]
        if tensor in state.constants:
            return state.constants[tensor]
        found = self.spec.file.constant((0, tensor))
        if not self.spec.on_grid(tensor):
            return found
        wide = self.spec.main.tensors[tensor].dtype in WIDE
        return Operand(np.asarray(found.values).astype(np.float64 if wide else np.float32))

    def _bias_factors(self, kinds: Mapping[int, str]) -> dict[int, tuple[int, int, int]]:
        """By bias the tensors of whose scales its own is the product, and what its operator makes."""
        found: dict[int, tuple[int, int, int]] = {}
        for operator in self.spec.main.operators:
            layer = LAYERS.get(operator.name)
            bias = operator.inputs[layer.bias] if layer is not None and len(operator.inputs) > layer.bias else -1
            if layer is not None and kinds.get(bias) == "bias":
                found[bias] = operator.inputs[layer.source], operator.inputs[layer.weights], operator.outputs[0]
        return found

    def _hold(self, kinds: Mapping[int, str], real: Mapping[int, Array]) -> None:
        tensors = self.spec.main.tensors
        for tensor, kind in kinds.items():
            integers, described = self.spec.integers(tensor), tensors[tensor]
            name, first = f"weight_{tensor}", self._tied[tensor]
            if kind == "kernel":
                made = self.kernels.get(first) or Kernel.of(integers, TensorGrid.of(described), real.get(tensor), name)
                self.kernels[tensor] = made
            elif kind == "float":
                rows = tensor in real or np.squeeze(integers).ndim > 1
                self.floats[tensor] = self.floats.get(first) or Floats.of(integers, name, kernel=rows)
            elif tensor in self._factors:
                self.biases[tensor] = self._bias(tensor, integers, name, self.biases.get(first))

    def _bias(self, tensor: int, integers: Array, name: str, first: Bias | None) -> Bias:
        """A bias; what training adds to it is what it adds to the ``first`` of its copies."""
        one, other, made = (TensorGrid.of(self.spec.main.tensors[t]) for t in self._factors[tensor])
        scale = np.asarray(one.scale) * np.asarray(other.scale)
        found = Bias.of(integers, scale, float(made.scale) * made.high, name)
        return found if first is None else replace(found, variable=first.variable, unit=first.unit)

    def _learn(self, groups: Collection[int]) -> None:
        for tensor in groups:
            described = self.spec.main.tensors[tensor]
            if described.scales[0] < NOTHING:
                continue
            count, (_, high) = int(np.prod(described.shape)), LIMITS[described.dtype]
            self.scales[tensor] = Scale(
                np.asarray(described.scales[0]), count, high - described.zero_points[0], f"tensor_{tensor}"
            )
        for tensor in self.kernels:
            if (first := self._tied[tensor]) in self.scales:
                self.scales[tensor] = self.scales[first]
                continue
            described = self.spec.main.tensors[tensor]
            start = np.asarray(TensorGrid.of(described).scale)
            count = int(np.prod(described.shape)) // max(1, start.size)
            self.scales[tensor] = Scale(
                start,
                count,
                LIMITS[described.dtype][1],
                f"weight_{tensor}",
                one=self.kernels[tensor].assignment is not None,
            )

    def _count_parts(self, operator: graph.Operator) -> int:
        """Into how many parts an operator's sums are split."""
        layer = LAYERS.get(operator.name)
        if layer is None or not self.spec.is_constant(operator.inputs[layer.weights]) or not self.of_integers(operator):
            return 1
        source = operator.inputs[layer.source]
        most = TensorGrid.of(self.spec.main.tensors[source]).reach if self.spec.on_grid(source) else hybrid.REACH
        return parts(layer.reach(self.spec.integers(operator.inputs[layer.weights]), most))


def _by_the_first(trained: Iterable[int], tied: Mapping[int, int]) -> dict[int, int]:
    """By each trained constant the first trained one of its copies; what ``tied`` names may stand behind, or stay."""
    firsts: dict[int, int] = {}
    return {tensor: firsts.setdefault(tied.get(tensor, tensor), tensor) for tensor in trained}


def _operands(call: Call, results: Any) -> list[Operand]:
    """What an operator makes, one result or several, as operands of others."""
    return [Operand(one, call.sampled) for one in (results if isinstance(results, list) else [results])]
