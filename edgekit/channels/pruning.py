"""A network pruned to a budget: found, ranked, cut and repaired; and one narrowed throughout."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.channels import budget, cutting, dependencies, importance, latency, repair
from edgekit.channels.budget import Goal, Ranking, Spend
from edgekit.channels.cutting import Rest
from edgekit.channels.dependencies import Dependencies
from edgekit.errors import InputError, Unsupported
from edgekit.waist import cost, run
from edgekit.waist.ordering import evenly
from edgekit.waist.tensors import Array

MOST_SAMPLES = 4096
"""So many samples solve layers anew: a thousand and less cost points, many more cost minutes."""

RANKING_SAMPLES = 2048
"""So many of them settle the second moments of layers with a thousand features, and what outputs lose."""

ROOM_BYTES = 12 << 30
"""What the activations of all samples may take at once, in the whole network and in the cut one, on the disk."""


WRITTEN: Mapping[str, Callable[[bytes], float]] = {"bytes": len, "latency": latency.whole_ms}
"""What a file has of the budgets that can only be predicted from channels."""

LEAST = {"latency": 0.01}
"""So large a share of a budget is taken away at least if it is missed: two measurements differ by as much."""


@dataclass(frozen=True)
class Pruned:
    """A network without some channels: the file's content, and what became of each family and layer."""

    content: bytes
    notes: tuple[str, ...]
    repaired: int


def found(path: Path) -> Dependencies:
    """The channels of a file.

    Raises:
        Unsupported: none of them can go.
    """
    made = dependencies.find(path)
    if not made.families:
        why = "; ".join(made.notes) or "it has no layer of weights behind another one"
        raise Unsupported(
            f"No layer of this network can lose channels: {why}.",
            place="prune-channels",
            fix="leave the pass out, or use the pass prune or qat",
        )
    return made


def enough(channels: Dependencies, count: int) -> NDArray[np.int_]:
    """The numbers of the samples, spread evenly over ``count``, that are looked at."""
    room = max(1, ROOM_BYTES // (2 * cost.peak(channels.graph)))
    return evenly(count, min(MOST_SAMPLES, room))


def pruned(
    channels: Dependencies,
    samples: Mapping[int, Array],
    goal: Goal,
    *,
    rankings: Sequence[Ranking],
    spend: Spend,
    repaired: bool,
) -> Pruned:
    """Remove channels until a budget is met.

    Args:
        channels: of the network.
        samples: inputs by tensor index, ``[N, *shape]``.
        goal: the budget.
        rankings: the families' channels in the order in which they go (`ranked`'s).
        spend: what the budget counts.
        repaired: solve the layers behind anew.

    Raises:
        InputError: the budget cannot be met.
        Unsupported: LiteRT cannot run the network operator by operator.
    """
    gone = chosen(channels, rankings, spend, goal)
    tree, rest = cutting.cut(channels, gone), Rest(channels, gone)
    count = repair.repair(rest, tree, samples) if repaired and gone else 0
    return Pruned(finished(tree), tuple(_told(channels, gone, goal.begun)), count)


def chosen(channels: Dependencies, rankings: Sequence[Ranking], spend: Spend, goal: Goal) -> set[int]:
    """The channels that go. What a file has of some budgets is known once it is written: too much of it goes as well.

    Raises:
        InputError: the budget cannot be met.
        Unsupported: LiteRT cannot run what is left.
    """
    gone, wanted = budget.chosen(channels, rankings, spend, goal), goal
    seen = WRITTEN.get(goal.of)
    while seen is not None and (over := seen(cutting.packed(cutting.cut(channels, gone))) - goal.most) > 0:
        wanted = replace(wanted, most=wanted.most - max(over, LEAST.get(goal.of, 0.0) * goal.whole))
        try:
            gone = budget.chosen(channels, rankings, spend, wanted)
        except InputError as error:
            raise budget.unreachable(goal, goal.most + over) from error
    return gone


def ranked(channels: Dependencies, samples: Mapping[int, Array], kind: str, seed: int) -> list[Ranking]:
    """The families' channels in the order in which they go, by a kind of importance."""
    some = evenly(len(next(iter(samples.values()), ())), RANKING_SAMPLES)
    samples = {index: values[some] for index, values in samples.items()}
    if kind == "taylor":
        from edgekit.channels import taylor  # noqa: PLC0415  TensorFlow takes seconds, and nothing else here needs it

        return taylor.by_gradients(channels, samples, seed)
    if kind == "activations":
        return importance.by_activations(channels, samples)
    if kind == "error":
        return importance.by_error(channels, samples)
    return importance.by_weights(channels, int(kind[-1]))


def finished(tree: Any) -> bytes:
    """A cut tree as a file; LiteRT must agree on every shape.

    Raises:
        Unsupported: LiteRT cannot load it.
    """
    content = cutting.packed(tree)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "pruned.tflite"
        path.write_bytes(content)
        run.interpreter(path)
    return content


def _told(channels: Dependencies, gone: set[int], begun: Mapping[Hashable, int]) -> list[str]:
    """What is left of each family, of those that there were before the first round, and what stayed whole."""
    left = []
    for family in channels.families:
        before, after = len(family.channels), len(set(family.channels) - gone)
        before = max(before, begun.get(family.key, 0))
        if after < before:
            left.append(f"{family.name}: {after * family.width} of {before * family.width}")
    return [f"channels left: {'; '.join(left) or 'all'}", *channels.notes]


def narrowed(channels: Dependencies, width: float) -> bytes:
    """The file of a network in which each family keeps a share of its channels: those with the largest weights.

    Args:
        channels: of the network; some must be able to go.
        width: the share, between 0 and 1; at least one channel of each stays.
    """
    gone = budget.uniform([ranking.order for ranking in importance.by_weights(channels, 2)], width)
    return finished(cutting.cut(channels, gone))
