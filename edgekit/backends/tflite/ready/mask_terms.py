"""What is added to a softmax's scores, or chosen instead of them: its terms, and which of them are masks."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from edgekit.equalization.observing import Observed
from edgekit.waist import graph
from edgekit.waist.exact import LAYERS, Wiring
from edgekit.waist.graph import Operator

LARGE = 64.0
"""Values that are lower, apart from all others, are masks rather than scores."""

MOST_TERMS = 256
"""Terms of one softmax: masks are a few, and sums of sums may be without number."""

THROUGH = {"RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "BROADCAST_TO", "TILE"}


@dataclass(frozen=True)
class Term:
    """A tensor that is added to a softmax's input, or chosen as it: operand ``slot`` of ``reader``.

    ``factor`` is what it is multiplied by on its way.
    """

    tensor: int
    reader: Operator
    slot: int
    factor: float

    @property
    def place(self) -> tuple[int, int]:
        """Where it is read: the reader by what it makes, and the operand."""
        return self.reader.outputs[0], self.slot


@dataclass(frozen=True)
class Spread:
    """Values of a term that are not masked, and whether there are others."""

    low: float
    high: float
    masked: bool


def _operands(model: Any, made: Operator, factor: float) -> list[tuple[int, float]]:
    """Operands that an operator adds or chooses from, each with its factor; none if it does anything else."""
    if made.name in THROUGH:
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
    hides = seen.masked if term.factor > 0 else seen.unbounded
    if not visible.size or (not hidden.size and not hides):
        return Spread(low, high, masked=hides)
    gap = float(visible.min()) - float(hidden.max()) if hidden.size else np.inf
    if gap < max(LARGE, 2 * float(np.ptp(visible))):
        return Spread(low, high, masked=False)
    return Spread(float(visible.min()), high, masked=True)


class Terms:
    """The terms of one file's softmaxes.

    Args:
        model: object tree of a float file.
        wiring: that of the file as it was when the terms were first asked for.
        observed: its activations over the calibration samples.
    """

    def __init__(self, model: Any, wiring: Wiring, observed: dict[int, Observed]) -> None:
        self.model, self.wiring, self.observed = model, wiring, observed

    def terms(self, term: Term) -> list[Term]:
        """What a term is the sum or the choice of, as far as nothing but softmaxes reads what lies between.

        A sum of large opposites (``m·c - c``) is a term of its own, and so is what is left beyond `MOST_TERMS`.
        """
        found, waiting = list[Term](), [term]
        while waiting and len(found) + len(waiting) < MOST_TERMS:
            term = waiting.pop()
            parts = self._parts(term)
            waiting += reversed(parts)
            found += [] if parts else [term]
        return found + waiting[::-1]

    def _parts(self, term: Term) -> list[Term]:
        """The operands of what makes a term; none if it is none of a sum or choice."""
        made = self.wiring.producer.get(term.tensor)
        if made is None or made.options.get("fusedActivationFunction"):
            return []
        if not self._is_alone(term.tensor) and not self.masks_alone(term.tensor):
            return []
        operands = _operands(self.model, made, term.factor)
        if any(self._lifts(made.inputs[slot], factor) for slot, factor in operands):
            return []
        return [Term(made.inputs[slot], made, slot, factor) for slot, factor in operands]

    def _is_alone(self, tensor: int) -> bool:
        """Whether one operator reads a tensor, once, and nobody else."""
        places = [operand for reader in self.wiring.readers.get(tensor, []) for operand in reader.inputs]
        return places.count(tensor) == 1 and tensor not in self.wiring.graph.outputs

    def _lifts(self, tensor: int, factor: float) -> bool:
        """Whether what is added is far above any score."""
        seen = self.observed.get(tensor)
        if seen is None:
            return False
        if factor > 0:
            return seen.unbounded or seen.high > LARGE * LARGE
        return seen.masked or seen.low < -LARGE * LARGE

    def spread(self, term: Term) -> Spread | None:
        """What a term contributes; None if nobody saw its values."""
        found, made = _spread(self.model, term, self.observed), self.wiring.producer.get(term.tensor)
        while made is not None and made.name in THROUGH:
            made = self.wiring.producer.get(made.inputs[0])
        if found is None or made is None or made.name not in LAYERS:
            return found
        # Scores: those of a sure classifier lie as far below the others as a mask does, and are none.
        seen = self.observed[term.tensor]
        low, high = sorted((seen.low * term.factor, seen.high * term.factor))
        return Spread(low, high, masked=False)

    @cached_property
    def _masks(self) -> frozenset[int]:
        """Tensors that end in nothing but softmaxes, through sums, choices and moves."""
        passing = THROUGH | {"ADD", "SUB", "SELECT", "SELECT_V2", "MAXIMUM"}
        found: set[int] = set()
        for operator in reversed(self.wiring.graph.operators):
            for tensor in operator.outputs:
                readers = self.wiring.readers.get(tensor, [])
                ends = (o.name == "SOFTMAX" or (o.name in passing and found.issuperset(o.outputs)) for o in readers)
                if readers and tensor not in self.wiring.graph.outputs and all(ends):
                    found.add(tensor)
        return frozenset(found)

    def masks_alone(self, tensor: int) -> bool:
        """Whether a tensor ends in nothing but softmaxes, through sums, choices and moves."""
        return tensor in self._masks

    def summands(self, tensor: int) -> tuple[list[int], set[int]]:
        """What ADDs that nobody else reads add up to a tensor, and all such sums: none if it is no sum itself."""
        found, within, waiting = list[int](), set[int](), [tensor]
        while waiting:
            one = waiting.pop()
            made = self.wiring.producer.get(one)
            fused = made is not None and made.options.get("fusedActivationFunction")
            if made is not None and made.name == "ADD" and self._is_alone(one) and not fused:
                within.add(one)
                waiting += reversed(made.inputs)
            else:
                found.append(one)
        return found, within

    def hides(self, tensor: int, reader: Operator) -> bool:
        """Whether a summand is made of masks and of constants alone."""
        terms = self.terms(Term(tensor, reader, 0, 1.0))
        spreads = [(term, self.spread(term)) for term in terms]
        return any(spread and spread.masked for _, spread in spreads) and all(
            spread and (spread.masked or graph.is_constant(self.model, 0, term.tensor)) for term, spread in spreads
        )
