"""How many channels of each family go: where a unit of the budget costs the least importance."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from edgekit.channels import cutting
from edgekit.channels.cells import Axes
from edgekit.channels.cutting import Rest
from edgekit.channels.dependencies import Dependencies, Family
from edgekit.errors import InputError
from edgekit.waist import copies, cost, graph

LEVELS = 4
"""How many counts a layer can have at least: of narrow ones the multiple is halved until it has."""

TILE = 8
"""Channels in the smallest tile of kernels: at its multiples latencies fall, in stairs (XNNPACK's nr is 8 to 32)."""

AHEAD = 4
"""So many ends of tiles are looked at as the next step of a family, where the budget falls in stairs."""

Spend = Callable[[Rest], float]
"""What a network costs with what is left of it."""


@dataclass(frozen=True)
class Goal:
    """A budget.

    Attributes:
        of: macs, parameters, bytes or latency.
        whole: what the network had of that before anything was removed.
        most: what may be left.
        floor: the least share of a family's channels that stays.
        multiple: counts are rounded to multiples of it.
        begun: how many channels families had before an earlier round, by `Family.key`; the floor is a share of them.
    """

    of: str
    whole: float
    most: float
    floor: float
    multiple: int
    begun: Mapping[Hashable, int] = MappingProxyType({})


@dataclass(frozen=True)
class Ranking:
    """A family's channels in the order in which they go, and what is lost with the first 0, 1, … of them."""

    family: Family
    order: tuple[int, ...]
    losses: NDArray[np.float64]


def spend(dependencies: Dependencies, of: str) -> Spend:
    """How a network's MACs, parameters or the bytes of its file follow from what is left of it.

    Bodies of loops, and bytes of a file that are no constants, count as well: they stay.
    """
    varying = _varying(dependencies, of)
    beside = _in_all(dependencies, of) - varying(Rest(dependencies, ()))
    return lambda rest: beside + varying(rest)


def _in_all(dependencies: Dependencies, of: str) -> float:
    """What all of a network has."""
    if of == "macs":
        return cost.beside_main(dependencies.tree)[1]
    if of == "parameters":
        return cost.parameters(dependencies.tree)
    return len(cutting.packed(cutting.cut(dependencies, ())))


def _varying(dependencies: Dependencies, of: str) -> Spend:
    """What layers and constants of the main graph have."""
    if of == "macs":
        products = [operator for operator in dependencies.graph.operators if operator.name in cost.PRODUCTS]
        return lambda rest: float(sum(macs(dependencies, rest, operator) for operator in products))
    constants, keys = defaultdict[Hashable, list[Axes]](list), copies.keys(dependencies.tree, 0, dependencies.graph)
    kinds: dict[Hashable, graph.Tensor] = {}
    for use, axes in dependencies.constants.items():
        tensor = dependencies.graph.tensors[dependencies.operand(use)]
        key = keys[tensor.index]
        kinds.setdefault(key, tensor)
        constants[key].append(axes)
    if of == "parameters":
        counted = [axes for key, axes in constants.items() if cost.is_parameter(kinds[key])]
        return lambda rest: float(sum(prod(shape) for axes in counted for shape in _shapes(rest, axes)))
    sizes = [(axes, np.dtype(kinds[key].dtype).itemsize) for key, axes in constants.items()]
    return lambda rest: float(
        sum(_aligned(size * prod(shape)) for axes, size in sizes for shape in _shapes(rest, axes))
    )


def _shapes(rest: Rest, uses: Sequence[Axes]) -> set[tuple[int, ...]]:
    """The shapes of what is left of a constant, which those who read it no longer share if they want different ones."""
    return {rest.shape(axes) for axes in uses}


def _aligned(size: int) -> int:
    """The bytes of a constant in a file, where each begins at a multiple of 16."""
    return -(-size // 16) * 16


def macs(dependencies: Dependencies, rest: Rest, operator: graph.Operator) -> int:
    """The multiply-accumulates of one operator with what is left of its shapes."""
    shapes = [_shape(dependencies, rest, operator, slot) for slot in range(len(operator.inputs))]
    return cost.macs_of_shapes(operator, shapes, rest.shape(dependencies.tensors[operator.outputs[0]]))


def _shape(dependencies: Dependencies, rest: Rest, operator: graph.Operator, slot: int) -> tuple[int, ...]:
    use, tensor = (operator.index, slot), operator.inputs[slot]
    axes = dependencies.constants.get(use) or dependencies.tensors.get(tensor)
    return () if axes is None else rest.shape(axes)


def counts(family: Family, floor: float, multiple: int, begun: int = 0) -> list[int]:
    """How many of its channels a family may keep, all of them first.

    Args:
        family: the channels.
        floor: the least share that stays.
        multiple: what their indices, not the channels, are to be a multiple of.
        begun: how many channels the share is of, if more than there are.
    """
    whole = len(family.channels)
    while multiple > 1 and whole * family.width < LEVELS * multiple:
        multiple //= 2
    least = max(1, ceil(floor * max(whole, begun)))
    allowed = [count for count in range(whole - 1, least - 1, -1) if count * family.width % max(1, multiple) == 0]
    return [whole, *allowed]


def chosen(dependencies: Dependencies, rankings: Sequence[Ranking], count: Spend, wanted: Goal) -> set[int]:
    """The channels that go.

    Step by step, the family goes on that loses the least for each unit saved.

    Args:
        dependencies: of the network.
        rankings: one for each of its families.
        count: what the network costs.
        wanted: the budget.

    Raises:
        InputError: it cannot be had; what can is named.
    """
    return _Choice(dependencies, rankings, count, wanted).made()


@dataclass(frozen=True)
class _Offer:
    """A step of a family."""

    lost: float
    saved: float
    step: int

    def price(self, needed: float) -> float:
        """What is lost for each unit; what is saved beyond what is needed is worth nothing."""
        return self.lost / min(self.saved, needed) if self.saved > 0 else float("inf")


class _Choice:
    def __init__(self, dependencies: Dependencies, rankings: Sequence[Ranking], count: Spend, wanted: Goal) -> None:
        self._dependencies, self._rankings, self._wanted = dependencies, rankings, wanted
        self._spend = count
        families = [ranking.family for ranking in rankings]
        self._counts = [counts(f, wanted.floor, wanted.multiple, wanted.begun.get(f.key, 0)) for f in families]
        self._steps = [0] * len(rankings)
        self._gone: set[int] = set()
        self._now = self._spend(Rest(dependencies, ()))

    def made(self) -> set[int]:
        """The channels to take, so that the budget is met; steps that became needless are undone.

        Raises:
            InputError: it cannot be had; what can is named.
        """
        most = self._wanted.most
        offers: dict[int, _Offer] = {}
        number = taken = 0
        while self._now > most:
            offers = {
                family: self._offer(family) if family == number or taken % REVIEW == 0 else offers[family]
                for family in self._open()
            }
            if not offers:
                raise unreachable(self._wanted, self._now)
            number = min(offers, key=lambda family: offers[family].price(self._now - most))
            self._gone |= self._next(number, offers[number].step)
            self._steps[number] = offers[number].step
            self._now = self._spend(Rest(self._dependencies, self._gone))
            taken += 1
        self._give_back(most)
        return self._gone

    def _give_back(self, most: float) -> None:
        """Undo steps that later ones have made needless, the dearest first."""
        undone = True
        while undone:
            taken = [number for number, step in enumerate(self._steps) if step]
            undone = any(self._undone(number, most) for number in sorted(taken, key=self._lost, reverse=True))

    def _undone(self, number: int, most: float) -> bool:
        """Whether the last step of a family was needless, and is undone."""
        self._steps[number] -= 1
        fewer = self._gone - self._next(number, self._steps[number] + 1)
        if self._spend(Rest(self._dependencies, fewer)) <= most:
            self._gone = fewer
            return True
        self._steps[number] += 1
        return False

    def _lost(self, number: int) -> float:
        """What the last step of a family has lost."""
        return self._loses(number, self._steps[number] - 1, self._steps[number])

    def _loses(self, number: int, start: int, step: int) -> float:
        """What a family loses from a step up to another."""
        ranking, allowed = self._rankings[number], self._counts[number]
        whole = len(ranking.family.channels)
        return float(ranking.losses[whole - allowed[step]] - ranking.losses[whole - allowed[start]])

    def _open(self) -> list[int]:
        """Families that may lose more."""
        return [n for n, allowed in enumerate(self._counts) if self._steps[n] + 1 < len(allowed)]

    def _next(self, number: int, step: int) -> set[int]:
        """What a family gives from where it is up to a step."""
        ranking, allowed, now = self._rankings[number], self._counts[number], self._steps[number]
        whole = len(ranking.family.channels)
        return set(ranking.order[whole - allowed[now] : whole - allowed[step]])

    def _ends(self, number: int) -> list[int]:
        """The steps that a family may go on to: the next one, and further ones that end a tile if latency counts."""
        allowed, now = self._counts[number], self._steps[number]
        if self._wanted.of != "latency":
            return [now + 1]
        width = self._rankings[number].family.width
        tiles = [step for step in range(now + 2, len(allowed)) if allowed[step] * width % TILE == 0]
        return [now + 1, *tiles[:AHEAD]]

    def _offer(self, number: int) -> _Offer:
        """What the step of a family that is best for its price loses and saves."""
        needed, found = self._now - self._wanted.most, []
        for step in self._ends(number):
            left = self._spend(Rest(self._dependencies, self._gone | self._next(number, step)))
            found.append(_Offer(self._loses(number, self._steps[number], step), self._now - left, step))
        return min(found, key=lambda offer: offer.price(needed))


def unreachable(goal: Goal, left: float) -> InputError:
    """That a budget cannot be had; ``left`` is the least that can be left."""
    wanted, possible = (max(0.0, 1 - part / goal.whole) for part in (goal.most, left))
    less = int(possible * 100) / 100
    sooner = f"ask for {less} or less: --set prune-channels.remove={less}; or for a smaller floor or multiple"
    return InputError(
        f"{100 * wanted:.4g}% of the {goal.of} cannot go by removing channels: at most {possible:.1%} can.",
        place="prune-channels: remove",
        fix=sooner if less else "set floor or multiple to less, or leave the pass out",
    )


REVIEW = 16
"""After so many steps all offers are looked at again: what one layer loses makes others cheaper."""


def uniform(orders: Iterable[Sequence[int]], width: float) -> set[int]:
    """The channels that go if each family, given in the order in which they go, keeps the same share."""
    return {channel for order in orders for channel in order[: len(order) - max(1, round(width * len(order)))]}
