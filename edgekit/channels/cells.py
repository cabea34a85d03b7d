"""Cells: the indices of tensors' axes, and which of them can only go together.

Each index of each axis is a cell. Operators tie cells: of a sum, channel 3 of both operands and of the result. Cells
that are tied, directly or through others, are one channel of the network, and go together or stay together; a
disjoint-set forest (Tarjan, 1975) finds them. Index sets, not counts, are what is passed on, so that a tensor that is
joined with itself, or shuffled, needs no rule of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
"""The cells of one axis, ``[size]``."""

Axes = tuple[Ids, ...]
"""The cells of a tensor, axis by axis."""


@dataclass(frozen=True)
class Folding:
    """Axes ``parts`` that are one axis ``flat`` elsewhere, in row-major order.

    A channel along one of the parts is many indices of the flat axis; only one of the parts can have channels that go,
    or what is left would be no rectangle.
    """

    flat: Ids
    parts: tuple[Ids, ...]
    why: str


class Cells:
    """All cells of a network."""

    def __init__(self) -> None:
        self._parents: list[int] = []
        self._reasons: dict[int, str] = {}
        self._foldings: list[Folding] = []

    def new(self, size: int) -> Ids:
        """The cells of an axis that nothing is known of yet."""
        first = len(self._parents)
        self._parents += range(first, first + size)
        return np.arange(first, first + size)

    @property
    def size(self) -> int:
        """How many cells there are."""
        return len(self._parents)

    def fixed(self, size: int, why: str) -> Ids:
        """The cells of an axis that stays whole."""
        (cell,) = self.new(1)
        self._reasons[int(cell)] = why
        return np.full(size, cell)

    def root(self, cell: int) -> int:
        """The cell that stands for all that are tied to this one."""
        parents, found = self._parents, cell
        while parents[found] != found:
            found = parents[found]
        while parents[cell] != found:
            parents[cell], cell = found, parents[cell]
        return found

    def tie(self, one: Ids, other: Ids) -> None:
        """Tie cell by cell; what is tied to a cell that stays has to stay."""
        for a, b in zip(one.tolist(), other.tolist(), strict=True):
            first, second = self.root(a), self.root(b)
            if first == second:
                continue
            if first in self._reasons:
                self._reasons.setdefault(second, self._reasons[first])
            elif second in self._reasons:
                self._reasons[first] = self._reasons[second]
            else:
                self._parents[second] = first

    def keep(self, ids: Ids, why: str) -> None:
        """Let cells stay."""
        for cell in ids.tolist():
            self._reasons.setdefault(self.root(cell), why)

    def fold(self, flat: Ids, parts: Sequence[Ids], why: str) -> None:
        """Say that axes are one axis elsewhere; which of them has the channels is seen by `settle`."""
        assert prod(part.size for part in parts) == flat.size, why
        self._foldings.append(Folding(flat, tuple(parts), why))

    def why_kept(self, ids: Ids) -> str:
        """Why all of these stay; empty if some can go."""
        reasons = [self._reasons.get(self.root(cell), "") for cell in dict.fromkeys(ids.tolist())]
        return reasons[0] if reasons and all(reasons) else ""

    def _live(self, ids: Ids) -> bool:
        return not self.why_kept(ids)

    def roots(self, ids: Ids) -> Ids:
        """For each cell what stands for its channel; -1 if it stays."""
        found = (self.root(cell) for cell in ids.tolist())
        return np.array([-1 if root in self._reasons else root for root in found], np.int64)

    def settle(self) -> None:
        """Find which axis of each folding has the channels, now that all that stays is known.

        It is the only one that may lose some. If there are several, the longest is taken, which has the finest
        channels, and the others stay.
        """
        waiting = self._foldings
        while waiting:
            left = [folding for folding in waiting if not self._decided(folding)]
            if len(left) == len(waiting):
                folding = left.pop(0)
                longest = max((part for part in folding.parts if self._live(part)), key=len)
                for part in folding.parts:
                    if part is not longest:
                        self.keep(part, folding.why)
                self._decided(folding)
            waiting = left

    def _decided(self, folding: Folding) -> bool:
        """Tie a folding if at most one of its parts can lose anything."""
        live = [number for number, part in enumerate(folding.parts) if self._live(part)]
        if not self._live(folding.flat):
            why = self.why_kept(folding.flat)
            for part in folding.parts:
                self.keep(part, why)
        elif not live:
            self.keep(folding.flat, self.why_kept(folding.parts[-1]) if folding.parts else folding.why)
        elif len(live) == 1:
            sizes = [part.size for part in folding.parts]
            places = np.unravel_index(np.arange(folding.flat.size), sizes)[live[0]]
            self.tie(folding.flat, folding.parts[live[0]][places])
        else:
            return False
        return True
