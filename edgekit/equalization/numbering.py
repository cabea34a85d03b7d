"""Channels by number, whatever graph they are followed through: which are one, and what layers' weights become."""

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int_]
Floats = NDArray[np.float64]


class Weighted(Protocol):
    """A layer whose weights are matrices."""

    def matrices(self) -> NDArray[np.float32]:
        """The weights as ``[groups, outputs of each, taps]``; channels that are read change fastest among the taps."""


class Numbered:
    """The channels of a float network, numbered from 1; those that must not be divided have the number 0.

    ``layers`` by what names them, in the order of execution; ``made`` and ``read`` have the numbers of the channels
    that each makes or reads ``[channels]``, ``within`` those of the channels of tensors, by what names these.
    ``capped`` are tensors that a ReLU6 makes. ``count`` is how many numbers there are, with 0.
    """

    def __init__(self) -> None:
        self._same = [0]
        self.capped: set[Any] = set()
        self.layers: dict[Any, Any] = {}
        self.made: dict[Any, Numbers] = {}
        self.read: dict[Any, Numbers] = {}
        self.within: dict[Any, Numbers] = {}

    @property
    def count(self) -> int:
        """How many numbers there are, with 0."""
        return len(self._same)

    def weights(self, index: Any, by: Floats) -> Floats:
        """A layer's weights (`Weighted.matrices`, float64) with the channels that it makes and reads divided.

        Args:
            index: what names it.
            by: numbers > 0 for each channel's number ``[count]``; 1 for the number 0.
        """
        held: Floats = self.layers[index].matrices().astype(np.float64)
        if index in self.read:
            each = by[self.read[index]].reshape(len(held), 1, 1, -1)
            held = (held.reshape(*held.shape[:2], -1, each.shape[-1]) * each).reshape(held.shape)
        if index in self.made:
            held = held / by[self.made[index]].reshape(*held.shape[:2], 1)
        return held

    def _new(self, count: int) -> Numbers:
        """Numbers for the channels of a layer."""
        first = len(self._same)
        self._same += range(first, first + count)
        return np.arange(first, first + count)

    def _root(self, number: int) -> int:
        while self._same[number] != number:
            self._same[number] = number = self._same[self._same[number]]
        return number

    def _tie(self, one: int, other: int) -> None:
        """Divide two channels alike."""
        low, high = sorted((self._root(one), self._root(other)))
        self._same[high] = low

    def _leave(self, numbers: Iterable[int]) -> None:
        """Leave channels as they are."""
        for number in numbers:
            self._tie(0, int(number))

    def _settle(self) -> Numbers:
        """Give each channel the least number of those that are one with it; by the numbers before ``[count]``."""
        roots = np.array([self._root(number) for number in range(self.count)])
        self.made = {index: roots[numbers] for index, numbers in self.made.items()}
        self.read = {index: roots[numbers] for index, numbers in self.read.items()}
        self.within = {t: roots[numbers] for t, numbers in self.within.items() if roots[numbers].any()}
        self.capped &= self.within.keys()
        return roots
