"""An operator as the rules of channels see it: the cells of its operands, and ways to tie them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from edgekit.channels.cells import Axes, Cells, Ids
from edgekit.waist import graph
from edgekit.waist.tensors import Array


class NotFollowedError(Exception):
    """Channels cannot be followed through an operator; it says why."""


Place = tuple[int, int, int]
"""An axis of a constant: the operator that reads it, its slot there, and the axis."""


@dataclass(frozen=True)
class Contraction:
    """A sum over an axis of weights: ``[operator, slot, axis]``, and the slot whose channels are summed."""

    place: Place
    source: int


@dataclass
class Site:
    """An operator with the cells of what it reads.

    Attributes:
        operator: as the file has it.
        cells: of the whole network.
        operands: by slot the cells of each axis; None if the operand is absent.
        constants: by slot the values of operands that lie in the file.
        results: the shapes of what it makes.
        contractions: where channels end: sums over them, with weights.
        origins: where channels begin: axes of weights whose indices make a channel each.
    """

    operator: graph.Operator
    cells: Cells
    operands: tuple[Axes | None, ...]
    constants: dict[int, Array]
    results: tuple[tuple[int, ...], ...]
    contractions: list[Contraction] = field(default_factory=list)
    origins: list[Place] = field(default_factory=list)

    @property
    def options(self) -> dict[str, Any]:
        """Builtin options by the schema's names."""
        return self.operator.options

    def has(self, slot: int) -> bool:
        """Whether there is an operand in a slot."""
        return slot < len(self.operands) and self.operands[slot] is not None

    def axes(self, slot: int) -> Axes:
        """The cells of an operand.

        Raises:
            NotFollowedError: it is absent.
        """
        found = self.operands[slot] if slot < len(self.operands) else None
        if found is None:
            raise NotFollowedError("it lacks an operand")
        return found

    def ints(self, slot: int) -> list[int]:
        """An operand that says how.

        Raises:
            NotFollowedError: it is computed while the network runs.
        """
        if slot not in self.constants:
            raise NotFollowedError("what it does is known only while it runs")
        return [int(value) for value in self.constants[slot].reshape(-1)]

    def weights(self, slot: int) -> Axes:
        """The cells of an operand that must lie in the file.

        Raises:
            NotFollowedError: it is computed.
        """
        if slot not in self.constants:
            raise NotFollowedError("its weights are computed")
        return self.axes(slot)

    def axis(self, number: int, slot: int = 0) -> int:
        """An axis of an operand that may be counted from the end."""
        return int(number) % max(1, len(self.axes(slot)))

    def fixed(self, size: int, why: str = "") -> Ids:
        """The cells of an axis of the result that stays whole."""
        return self.cells.fixed(size, why or self.operator.name)

    def keep(self, *axes: Ids, why: str = "") -> None:
        """Let axes stay whole."""
        for ids in axes:
            self.cells.keep(ids, why or self.operator.name)

    def sums(self, slot: int, axis: int, over: Ids, source: int = 0) -> None:
        """It sums over channels, with weights along an axis of a slot."""
        self.cells.tie(over, self.axes(slot)[axis])
        self.contractions.append(Contraction((self.operator.index, slot, axis), source))

    def makes(self, slot: int, axis: int) -> Ids:
        """Each index of an axis of weights makes a channel; the cells of that axis."""
        self.origins.append((self.operator.index, slot, axis))
        return self.axes(slot)[axis]

    def biased(self, slot: int, channels: Ids) -> None:
        """A bias, if there is one, has a number for each channel."""
        if self.has(slot):
            self.cells.tie(channels, self.axes(slot)[-1])

    def broadcast(self, *slots: int) -> Axes:
        """Operands that are broadcast against one another: their axes, counted from the last, are tied."""
        return self.joined([self.axes(slot) for slot in slots or range(len(self.operands))])

    def joined(self, operands: Sequence[Axes]) -> Axes:
        """The same of any axes."""
        made = []
        for back in range(max((len(axes) for axes in operands), default=0), 0, -1):
            along = [axes[-back] for axes in operands if len(axes) >= back]
            size = max(ids.size for ids in along)
            wide = [ids for ids in along if ids.size == size]
            for other in wide[1:]:
                self.cells.tie(wide[0], other)
            made.append(wide[0])
        return tuple(made)

    def reshaped(self, axes: Axes, shape: Sequence[int]) -> Axes:
        """Axes in another shape of as many values: runs that hold the same values are folded into one another."""
        why = f"{self.operator.name} folds several axes that have channels into one"
        made: list[Ids] = []
        given = [ids for ids in axes if ids.size != 1]
        wanted = [size for size in shape if size != 1]
        if prod(ids.size for ids in given) != prod(wanted):
            raise NotFollowedError("its shapes hold different numbers of values")
        for parts, sizes in _runs(given, wanted):
            if len(parts) == len(sizes) == 1:
                made.append(parts[0])
                continue
            fresh = [self.cells.new(size) for size in sizes]
            flat = parts[0] if len(parts) == 1 else fresh[0] if len(sizes) == 1 else self.cells.new(prod(sizes))
            if len(parts) > 1:
                self.cells.fold(flat, parts, why)
            if len(sizes) > 1:
                self.cells.fold(flat, fresh, why)
            made += fresh
        rest = iter(made)
        return tuple(self.fixed(1) if size == 1 else next(rest) for size in shape)


def _runs(given: list[Ids], wanted: list[int]) -> list[tuple[list[Ids], list[int]]]:
    """The shortest runs of axes on both sides that hold equally many values."""
    found, left, right = [], list(given), list(wanted)
    while left:
        parts, sizes = [left.pop(0)], [right.pop(0)]
        while (one := prod(ids.size for ids in parts)) != (other := prod(sizes)):
            if one < other:
                parts.append(left.pop(0))
            else:
                sizes.append(right.pop(0))
        found.append((parts, sizes))
    return found


Rule = Callable[[Site], "Sequence[Axes]"]
"""Ties the cells of an operator; the cells of each of its results."""
