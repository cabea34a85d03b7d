"""Attention masks, clamped to what a softmax can tell apart.

-1e9, the lowest float and -inf all say "not this one". Added to scores, or chosen instead of them,
they stretch a range until nothing is left for the scores, make LiteRT's quantizer abort, or overflow
its int8 ADD. A softmax gives 0 for whatever lies `MARGIN` below the least score that is not masked:

    least = min(Σ low, 0) - (Σ high - Σ low) - MARGIN      over the terms' values that are not masked

so that everything lower becomes ``least``: in a constant, in the factor of ``(1 - m)·c``, or, if
the mask is computed in another way, by a MAXIMUM that stays float.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgekit.backends.tflite.ranges import Observed
from edgekit.waist import edit, graph
from edgekit.waist.exact import ELEMENTWISE, LAYERS, MOVES, Wiring
from edgekit.waist.graph import Operator
from edgekit.waist.tensors import Array

MARGIN = 20.0
"""exp(-20) = 2e-9: less than the last bit of a float32 that the other shares of a softmax leave."""

LARGE = 64.0
"""Values that are lower, apart from all others, are masks rather than scores."""

ALIKE = 4.0
"""What is 0 or not is a mask, if the values that are not 0 differ by no more than this factor."""

SPREAD = 32.0
"""A constant is parted into a bias and a mask, if the bias spans more than 1/32 of the mask: 8 of 256 levels."""

_THROUGH = {"RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "BROADCAST_TO", "TILE"}


@dataclass(frozen=True)
class Term:
    """A tensor that is added to a softmax's input, or chosen as it: operand ``slot`` of ``reader``.

    ``factor`` is what it is multiplied by on its way.
    """

    tensor: int
    reader: Operator
    slot: int
    factor: float


@dataclass(frozen=True)
class Spread:
    """Values of a term that are not masked, and whether there are others."""

    low: float
    high: float
    masked: bool


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
    changed = sum(clamps.softmax(o) for o in clamps.wiring.graph.operators if o.name == "SOFTMAX")
    positions = {int(made): k for k, operator in enumerate(model.subgraphs[0].operators) for made in operator.outputs}
    return changed, frozenset(positions[tensor] for tensor in clamps.floats)


def _terms(model: Any, wiring: Wiring, term: Term, observed: dict[int, Observed]) -> Iterator[Term]:
    """What a term is the sum or the choice of, as far as nobody else reads what lies between.

    A sum of large opposites (``m·c - c``) is a term of its own.
    """
    made = wiring.producer.get(term.tensor)
    alone = len(wiring.readers.get(term.tensor, [])) == 1 and term.tensor not in wiring.graph.outputs
    operands: list[tuple[int, float]] = []
    if made is not None and alone and not made.options.get("fusedActivationFunction"):
        operands = _operands(model, made, term.factor)
        seen = [observed.get(made.inputs[slot]) for slot, factor in operands if factor > 0]
        if any(one is not None and (one.unbounded or one.high > LARGE * LARGE) for one in seen):
            operands = []
    if made is None or not operands:
        yield term
        return
    for slot, factor in operands:
        yield from _terms(model, wiring, Term(made.inputs[slot], made, slot, factor), observed)


def _operands(model: Any, made: Operator, factor: float) -> list[tuple[int, float]]:
    """Operands that an operator adds or chooses from, each with its factor; none if it does anything else."""
    if made.name in _THROUGH:
        return [(0, factor)]
    if made.name in {"ADD", "MAXIMUM"}:
        return [(0, factor), (1, factor)]
    if made.name == "SUB":
        return [(0, factor), (1, -factor)]
    if made.name in {"SELECT", "SELECT_V2"}:
        return [(1, factor), (2, factor)]
    if made.name in {"MUL", "DIV"}:
        for slot in (0, 1) if made.name == "MUL" else (1,):
            values = graph.constant(model, 0, made.inputs[slot])
            if values is not None and values.size == 1 and 0 < (value := float(values.ravel()[0])) < LARGE:
                return [(1 - slot, factor * value if made.name == "MUL" else factor / value)]
    return []


def _spread(model: Any, term: Term, observed: dict[int, Observed]) -> Spread | None:
    """What a term contributes; None if nobody saw its values."""
    constant = graph.constant(model, 0, term.tensor)
    seen = observed.get(term.tensor)
    if constant is not None and constant.dtype == np.float32:
        values = constant.ravel().astype(np.float64) * term.factor
        visible = values[values > -LARGE]
        return Spread(float(visible.min(initial=0.0)), float(visible.max(initial=0.0)), visible.size < values.size)
    if seen is None:
        return None
    low, high = sorted((seen.low * term.factor, seen.high * term.factor))
    values = np.concatenate(seen.values).astype(np.float64) * term.factor
    visible, hidden = values[values > -LARGE], values[values <= -LARGE]
    if not visible.size or (not hidden.size and not seen.masked):
        return Spread(low, high, masked=seen.masked)
    gap = float(visible.min()) - float(hidden.max()) if hidden.size else np.inf
    if gap < max(LARGE, 2 * float(np.ptp(visible))):
        return Spread(low, high, masked=False)
    return Spread(float(visible.min()), high, masked=True)


def _clamped(values: Array, least: float) -> NDArray[np.float32]:
    kept: NDArray[np.float32] = (np.maximum if least < 0 else np.minimum)(values, np.float32(least)).astype(np.float32)
    return kept


class _Clamps:
    """Masks of one file. ``wiring`` is that of the file as it was."""

    def __init__(self, model: Any, wiring: Wiring, observed: dict[int, Observed], *, levels: int) -> None:
        self.model, self.wiring, self.observed, self.levels = model, wiring, observed, levels
        self.floats: set[int] = set()
        self._factors: dict[int, float] = {}

    def softmax(self, operator: Operator) -> int:
        """Clamp the masks of one; how many there were."""
        terms = list(_terms(self.model, self.wiring, Term(operator.inputs[0], operator, 0, 1.0), self.observed))
        spreads = [spread for term in terms if (spread := self._spread(term)) is not None]
        if len(spreads) < len(terms) or not any(spread.masked for spread in spreads):
            return 0
        low, high = sum(spread.low for spread in spreads), sum(spread.high for spread in spreads)
        least = min(low, 0.0) - (high - low) - MARGIN
        masks = [term for term, spread in zip(terms, spreads, strict=True) if spread.masked]
        changed = sum(self._clamp(term, least / term.factor) for term in masks)
        if changed and self.levels:
            self._level(operator, high + least)
        if changed and self.levels > 1 and len(masks) > 1:
            self._deepen(operator, masks, least)
        return changed

    def _level(self, softmax: Operator, least: float) -> None:
        """A MAXIMUM in front of a softmax: no score is lower, and none that is masked is higher."""
        bound = edit.add_constant(self.model, f"{softmax.index}_masked", np.array([least], np.float32))
        self._in_front(softmax, "MAXIMUM", bound, "MaximumMinimumOptions")

    def _deepen(self, softmax: Operator, masks: list[Term], least: float) -> None:
        """Take from the scores what the masks' sum is below ``least``, where more than one of them masks."""
        total, *others = [self._operand(term) for term in masks]
        for other in others:
            total = self._new("ADD", [total, other], softmax, kind="AddOptions")
        bound = edit.add_constant(self.model, f"{softmax.index}_least", np.array([least], np.float32))
        relu = schema.ActivationFunctionType.RELU
        deeper = self._new("SUB", [bound, total], softmax, kind="SubOptions", fusedActivationFunction=relu)
        self._in_front(softmax, "SUB", deeper, "SubOptions")

    def _operand(self, term: Term) -> int:
        """What a term is by now."""
        operator = self.model.subgraphs[0].operators[edit.producer(self.model, term.reader.outputs[0])]
        return int(operator.inputs[term.slot])

    def _in_front(self, softmax: Operator, builtin: str, other: int, kind: str) -> None:
        """Let an operator change what a softmax reads."""
        place = edit.producer(self.model, softmax.outputs[0])
        now = int(self.model.subgraphs[0].operators[place].inputs[0])
        edit.reread(self.model, softmax.outputs[0], 0, self._new(builtin, [now, other], softmax, kind=kind))

    def _new(self, builtin: str, operands: list[int], softmax: Operator, *, kind: str, **options: Any) -> int:
        """What an elementwise operator in front of a softmax makes."""
        main = self.model.subgraphs[0]
        shape = np.broadcast_shapes(*(tuple(main.tensors[tensor].shape) for tensor in operands))
        made = edit.add_tensor(main, f"{softmax.index}_{builtin.lower()}_{len(main.tensors)}", shape)
        at = edit.producer(self.model, softmax.outputs[0])
        edit.add_operator(self.model, builtin, operands, [made], at=at, kind=kind, **options)
        return made

    def _spread(self, term: Term) -> Spread | None:
        """What a term contributes; None if nobody saw its values."""
        found, made = _spread(self.model, term, self.observed), self.wiring.producer.get(term.tensor)
        while made is not None and made.name in _THROUGH:
            made = self.wiring.producer.get(made.inputs[0])
        if found is None or made is None or made.name not in LAYERS:
            return found
        # Scores: those of a sure classifier lie as far below the others as a mask does, and are none.
        seen = self.observed[term.tensor]
        low, high = sorted((seen.low * term.factor, seen.high * term.factor))
        return Spread(low, high, masked=False)

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
        while made is not None and made.name in _THROUGH:
            made = self.wiring.producer.get(made.inputs[0])
        if made is None or made.name != "MUL" or not self._masks_alone(made.outputs[0]):
            return 0
        for slot in (0, 1):
            values, seen = graph.constant(self.model, 0, made.inputs[slot]), self.observed.get(made.inputs[1 - slot])
            if values is None or values.size != 1 or seen is None:
                continue
            factors = np.abs(np.concatenate(seen.values).astype(np.float64))
            some = factors[factors > 0]
            if not some.size or some.max() > ALIKE * some.min():
                return 0
            needed = max(abs(least) / float(some.min()), self._factors.get(made.outputs[0], 0.0))
            self._factors[made.outputs[0]] = needed
            weaker = np.copysign(np.minimum(np.abs(values), np.float32(needed)), values)
            edit.reread(
                self.model, made.outputs[0], slot, edit.add_constant(self.model, f"mask_factor_{made.index}", weaker)
            )
            return 1
        return 0

    def _masks_alone(self, tensor: int) -> bool:
        """Whether a tensor ends in nothing but softmaxes, through sums, choices and moves."""
        readers = self.wiring.readers.get(tensor, [])
        if not readers or tensor in self.wiring.graph.outputs:
            return False
        passing = _THROUGH | {"ADD", "SUB", "SELECT", "SELECT_V2", "MAXIMUM"}
        return all(
            reader.name == "SOFTMAX"
            or (reader.name in passing and all(self._masks_alone(made) for made in reader.outputs))
            for reader in readers
        )

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
