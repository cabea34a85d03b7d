"""Attention masks, clamped to what a softmax can tell apart.

-1e9, the lowest float and -inf all say "not this one". Added to scores, or chosen instead of them,
they stretch a range until nothing is left for the scores, make LiteRT's quantizer abort, or overflow
its int8 ADD. A softmax gives 0 for whatever lies `MARGIN` below the least score that is not masked:

    least = min(Σ low, 0) - (Σ high - Σ low) - MARGIN      over the terms' values that are not masked

so that everything lower becomes ``least``: in a constant, in the factor of ``(1 - m)·c``, or, if
the mask is computed in another way, by a MAXIMUM that stays float. Masks are clamped before they are
added up, and all that are added in one softmax to the same depth, as are those of softmaxes that share a
mask: in a row that is masked whole, what two masks hide must stay below what one of them does.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgekit.backends.tflite.ready.mask_terms import LARGE, THROUGH, Term, Terms
from edgekit.equalization.observing import Observed
from edgekit.waist import edit, graph
from edgekit.waist.exact import ELEMENTWISE, MOVES, Wiring
from edgekit.waist.graph import Operator
from edgekit.waist.tensors import Array

MARGIN = 20.0
"""exp(-20) = 2e-9: less than the last bit of a float32 that the other shares of a softmax leave."""

ALIKE = 4.0
"""What is 0 or not is a mask, if the values that are not 0 differ by no more than this factor."""

SPREAD = 32.0
"""A constant is parted into a bias and a mask, if the bias spans more than 1/32 of the mask: 8 of 256 levels."""


@dataclass
class _Masked:
    """A softmax with its masks; ``high``: the greatest score; ``least``: what masks become."""

    softmax: Operator
    masks: list[Term]
    high: float
    least: float


def clamp(model: Any, observed: dict[int, Observed], *, levels: int = 0) -> tuple[int, frozenset[int]]:
    """Clamp the masks of every softmax, in place. Tensors keep their indices, operators do not.

    Args:
        model: object tree of a float file.
        observed: its activations over the calibration samples.
        levels: give all that is masked one value (1), or two if two masks are added (2). A mask like -1e9 swallows
            the scores that it is added to, so that a row that is masked whole is uniform; a clamped one (0)
            leaves them.

    Returns:
        How many terms were changed, and the operators (by index) that must stay float for it.
    """
    clamps = _Clamps(model, Wiring(graph.describe(model)[0]), observed, levels=levels)
    gathered = clamps.gather()
    if gathered:
        clamps = _Clamps(model, Wiring(graph.describe(model)[0]), observed, levels=levels)
    changed = gathered + clamps.apply()
    positions = {int(made): k for k, operator in enumerate(model.subgraphs[0].operators) for made in operator.outputs}
    return changed, frozenset(positions[tensor] for tensor in clamps.floats)


def _clamped(values: Array, least: float) -> NDArray[np.float32]:
    kept: NDArray[np.float32] = (np.maximum if least < 0 else np.minimum)(values, np.float32(least)).astype(np.float32)
    return kept


class _Clamps(Terms):
    """Masks of one file. ``wiring`` is that of the file as it was."""

    def __init__(self, model: Any, wiring: Wiring, observed: dict[int, Observed], *, levels: int) -> None:
        super().__init__(model, wiring, observed)
        self.levels = levels
        self.floats: set[int] = set()

    def apply(self) -> int:
        """Clamp the masks of every softmax; how many there were."""
        found = [one for o in self.wiring.graph.operators if o.name == "SOFTMAX" and (one := self._masked(o))]
        self._settle(found)
        bounds: dict[tuple[int, int], tuple[Term, float]] = {}
        for one in found:
            for term in one.masks:
                wanted = term, one.least / term.factor
                bounds[term.place] = max(bounds.get(term.place, wanted), wanted, key=lambda pair: abs(pair[1]))
        changed = sum(self._clamp(term, bound) for term, bound in bounds.values())
        for one in found if changed and self.levels else []:
            total = self._cap(one)
            self._level(one.softmax, one.high + one.least)
            if self.levels > 1 and total is not None:
                self._deepen(one.softmax, total, one.least)
        return changed

    def _settle(self, found: list[_Masked]) -> None:
        """Let softmaxes that share a mask clamp to the same depth."""
        constant = {tensor.index for tensor in self.wiring.graph.tensors if tensor.constant_bytes}
        shared: list[set[int | tuple[int, int]]] = [
            {*(term.place for term in one.masks), *({term.tensor for term in one.masks} - constant)} for one in found
        ]
        settled = False
        while not settled:
            depths: dict[int | tuple[int, int], float] = {}
            for one, keys in zip(found, shared, strict=True):
                depths |= {key: min(one.least, depths.get(key, 0.0)) for key in keys}
            settled = True
            for one, keys in zip(found, shared, strict=True):
                least = min(depths[key] for key in keys)
                settled &= least == one.least
                one.least = least

    def gather(self) -> int:
        """Make ``(scores + mask) + mask`` ``scores + (mask + mask)``, so that scores keep a range of their own."""
        return sum(self._gather(softmax) for softmax in self.wiring.graph.operators if softmax.name == "SOFTMAX")

    def _gather(self, softmax: Operator) -> int:
        last = self.wiring.producer.get(softmax.inputs[0])
        summands, within = self.summands(softmax.inputs[0])
        if last is None or not within:
            return 0
        hiding = [tensor for tensor in summands if self.hides(tensor, last)]
        rest = [tensor for tensor in summands if tensor not in hiding]
        parts = [self.summands(tensor)[0] for tensor in last.inputs]
        if len(hiding) < 2 or not rest or hiding in parts:
            return 0
        made, main = last.outputs[0], self.model.subgraphs[0]
        edit.reread(self.model, made, 0, self._sum(rest, made))
        edit.reread(self.model, made, 1, self._sum(hiding, made))
        main.operators = [o for o in main.operators if within.isdisjoint(graph.ints(o.outputs)) or made in o.outputs]
        return 1

    def _sum(self, tensors: list[int], before: int) -> int:
        total, *others = tensors
        for other in others:
            total = self._new("ADD", [total, other], before, kind="AddOptions")
        return total

    def _masked(self, operator: Operator) -> _Masked | None:
        """The masks of one softmax; None if there are none, or if nobody saw all that is added."""
        terms = self.terms(Term(operator.inputs[0], operator, 0, 1.0))
        spreads = [spread for term in terms if (spread := self.spread(term)) is not None]
        if len(spreads) < len(terms) or not any(spread.masked for spread in spreads):
            return None
        low, high = sum(spread.low for spread in spreads), sum(spread.high for spread in spreads)
        masks = [term for term, spread in zip(terms, spreads, strict=True) if spread.masked]
        return _Masked(operator, masks, high, min(low, 0.0) - (high - low) - MARGIN)

    def _cap(self, one: _Masked) -> int | None:
        """A MAXIMUM behind the sum of masks: more than one take no more of the scores' range than one does.

        Returns:
            The sum; None if there is none.
        """
        last = self.wiring.producer.get(one.softmax.inputs[0])
        slots = [slot for slot, tensor in enumerate(last.inputs) if self.hides(tensor, last)] if last else []
        if last is None or last.name != "ADD" or len(slots) != 1 or len(one.masks) < 2:
            return None
        bound = edit.add_constant(self.model, f"{one.softmax.index}_deepest", np.array([one.least], np.float32))
        made = last.outputs[0]
        total = int(self.model.subgraphs[0].operators[edit.producer(self.model, made)].inputs[slots[0]])
        capped = self._new("MAXIMUM", [total, bound], made, kind="MaximumMinimumOptions")
        edit.reread(self.model, made, slots[0], capped)
        return total

    def _level(self, softmax: Operator, least: float) -> None:
        """A MAXIMUM in front of a softmax: no score is lower, and none that is masked is higher."""
        bound = edit.add_constant(self.model, f"{softmax.index}_masked", np.array([least], np.float32))
        self._in_front(softmax, "MAXIMUM", bound, "MaximumMinimumOptions")

    def _deepen(self, softmax: Operator, total: int, least: float) -> None:
        """Take from the scores what the masks' sum is below ``least``, where more than one of them masks."""
        bound = edit.add_constant(self.model, f"{softmax.index}_least", np.array([least], np.float32))
        relu = schema.ActivationFunctionType.RELU
        deeper = self._new("SUB", [bound, total], softmax.outputs[0], kind="SubOptions", fusedActivationFunction=relu)
        self._in_front(softmax, "SUB", deeper, "SubOptions")

    def _in_front(self, softmax: Operator, builtin: str, other: int, kind: str) -> None:
        """Let an operator change what a softmax reads."""
        place = edit.producer(self.model, softmax.outputs[0])
        now = int(self.model.subgraphs[0].operators[place].inputs[0])
        edit.reread(self.model, softmax.outputs[0], 0, self._new(builtin, [now, other], softmax.outputs[0], kind=kind))

    def _new(self, builtin: str, operands: list[int], before: int, *, kind: str, **options: Any) -> int:
        """What an elementwise operator in front of the one that makes ``before`` makes."""
        main = self.model.subgraphs[0]
        shape = np.broadcast_shapes(*(tuple(main.tensors[tensor].shape) for tensor in operands))
        made = edit.add_tensor(main, f"{before}_{builtin.lower()}_{len(main.tensors)}", shape)
        at = edit.producer(self.model, before)
        edit.add_operator(self.model, builtin, operands, [made], at=at, kind=kind, **options)
        return made

    def _clamp(self, term: Term, least: float) -> int:
        """Clamp one term to ``least`` (if it is subtracted, from above)."""
        constant = graph.constant(self.model, 0, term.tensor)
        if constant is None:
            return self._weaken(term.tensor, least) or self._bound(term, least)
        values = _clamped(constant, least)
        if np.array_equal(values, constant):
            return 0
        hidden, name = constant * term.factor <= -LARGE, self.wiring.graph.tensors[term.tensor].name
        spread = constant[~hidden].max(initial=0) - constant[~hidden].min(initial=0)
        if term.reader.name in {"ADD", "SUB"} and spread * SPREAD > abs(least):
            self._split(term, name, values, hidden)
        else:
            edit.reread(
                self.model, term.reader.outputs[0], term.slot, edit.add_constant(self.model, f"{name}_clamped", values)
            )
        return 1

    def _split(self, term: Term, name: str, values: Array, hidden: NDArray[np.bool_]) -> None:
        """Add what a constant holds beside its mask first, so that both have ranges of their own."""
        main, made = self.model.subgraphs[0], term.reader.outputs[0]
        bias = edit.add_constant(self.model, f"{name}_visible", np.where(hidden, np.float32(0), values))
        mask = edit.add_constant(self.model, f"{name}_mask", np.where(hidden, values, np.float32(0)))
        edit.reread(self.model, made, term.slot, bias)
        masked = edit.add_tensor(main, f"{name}_masked", self.wiring.graph.tensors[made].shape)
        for operator in main.operators:
            edit.redirect(operator, made, masked)
        sign = "SUB" if term.reader.name == "SUB" and term.slot == 1 else "ADD"
        at = edit.producer(self.model, made) + 1
        edit.add_operator(self.model, sign, [made, mask], [masked], at=at, kind=f"{sign.title()}Options")

    def _weaken(self, tensor: int, least: float) -> int:
        """Make the factor c of ``x·c`` smaller, where x is 0 or clearly not; 0 if the term is nothing such."""
        made = self.wiring.producer.get(tensor)
        while made is not None and made.name in THROUGH:
            made = self.wiring.producer.get(made.inputs[0])
        if made is None or made.name != "MUL" or not self.masks_alone(made.outputs[0]):
            return 0
        for slot in (0, 1):
            values, seen = graph.constant(self.model, 0, made.inputs[slot]), self.observed.get(made.inputs[1 - slot])
            if values is None or values.size != 1 or seen is None:
                continue
            factors = np.abs(np.concatenate(seen.values).astype(np.float64))
            some = factors[factors > 0]
            if not some.size or some.max() > ALIKE * some.min():
                return 0
            needed = abs(least) / float(some.min())
            weaker = np.copysign(np.minimum(np.abs(values), np.float32(needed)), values)
            edit.reread(
                self.model, made.outputs[0], slot, edit.add_constant(self.model, f"mask_factor_{made.index}", weaker)
            )
            return 1
        return 0

    def _bound(self, term: Term, least: float) -> int:
        """A MAXIMUM (MINIMUM, if subtracted) in front of the reader; it and what leads to it stay float."""
        main, tensor = self.model.subgraphs[0], self.wiring.graph.tensors[term.tensor]
        bound = edit.add_constant(self.model, f"{tensor.name}_least", np.array([least], np.float32))
        new = edit.add_tensor(main, f"{tensor.name}_clamped", tensor.shape)
        at = edit.producer(self.model, term.reader.outputs[0])
        builtin = "MAXIMUM" if least < 0 else "MINIMUM"
        edit.add_operator(self.model, builtin, [term.tensor, bound], [new], at=at, kind="MaximumMinimumOptions")
        edit.reread(self.model, term.reader.outputs[0], term.slot, new)
        chain = self.wiring.chain([term.tensor], MOVES | ELEMENTWISE)
        self.floats |= {new, *(operator.outputs[0] for operator in chain)}
        return 1
