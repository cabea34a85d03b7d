"""How long a network without some channels takes on this host: predicted from a table of its operators.

Each operator is measured alone at two widths of the network; between them its time is a straight line in what it
computes. Kernels compute channels in tiles, so that their times fall in stairs: for each family's channels operators
are measured at a few counts as well, and what these take beside the line is put on top of it; between them stairs are
even.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.channels import budget, cutting
from edgekit.channels.budget import TILE, Spend
from edgekit.channels.cutting import Rest
from edgekit.channels.dependencies import Dependencies, Family
from edgekit.host import events
from edgekit.waist import cutting as parts
from edgekit.waist import graph, run

NARROW = 0.5
"""The width of the second measurement."""

COUNTS = 7
"""At so many counts a family is measured at most: all stairs of 64 channels."""

MEASURED = 800
"""About so many operators are measured for stairs, in large networks at fewer counts: about two minutes."""

ALONE_S = 0.1
"""How long an operator is run alone to see how fast it is."""

FAR = 4.0
"""By no more than this is an operator taken to be off its line: what takes microseconds is not measured better."""


@dataclass(frozen=True)
class _Line:
    """An operator's time in ms between two widths, by what it computes."""

    sizes: tuple[float, float]
    times: tuple[float, float]

    def at(self, size: float) -> float:
        """Its time, and nothing below 0."""
        (wide, narrow), slow, fast = self.sizes, self.times[0], min(self.times)
        share = (size - narrow) / (wide - narrow) if wide != narrow else 1.0
        return max(0.0, fast + share * (slow - fast))


def table(dependencies: Dependencies) -> Spend:
    """A prediction in ms, for what is left of a network; of all of it, it is what is measured (`whole_ms`).

    Raises:
        Unsupported: LiteRT cannot run it, or an operator alone.
    """
    lines = _lines(dependencies)
    stairs = [(np.array(family.channels), _stairs(dependencies, family, lines)) for family in _measured(dependencies)]

    def predicted(rest: Rest) -> float:
        """The sum of all operators."""
        times = {operator: lines[operator].at(size) for operator, size in _sizes(dependencies, rest).items()}
        for channels, beside in stairs:
            left = int(rest.kept(channels).sum())
            for operator, factors in beside.items():
                times[operator] *= factors[left]
        return sum(times.values())

    together = predicted(Rest(dependencies, ()))
    scale = whole_ms(graph.pack(dependencies.tree)) / together if together else 1.0
    return lambda rest: scale * predicted(rest)


def whole_ms(content: bytes, for_s: float = run.TIMED_S) -> float:
    """A file's best time on one thread in some seconds, with inputs of zeros.

    Raises:
        Unsupported: LiteRT cannot run it.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.tflite"
        path.write_bytes(content)
        return run.best_ms(path, for_s)


def alone_ms(tree: Any, operator: int) -> float:
    """An operator's best time on one thread, with inputs of zeros."""
    described = graph.describe(tree)[0].operators[operator]
    read = [i for i in dict.fromkeys(described.inputs) if i >= 0 and not graph.is_constant(tree, 0, i)]
    model, _ = parts.apart(
        tree, [tree.subgraphs[0].operators[operator]], read, described.outputs, calls=described.calls
    )
    return whole_ms(graph.pack(model), ALONE_S)


def _lines(dependencies: Dependencies) -> dict[int, _Line]:
    """Each operator measured at two widths."""
    gone = budget.uniform((family.channels for family in dependencies.families), NARROW)
    sizes = [_sizes(dependencies, Rest(dependencies, lost)) for lost in ((), gone)]
    times = []
    for number, tree in enumerate((dependencies.tree, cutting.cut(dependencies, gone))):
        events.progress(number / 2, "latency of each operator")
        times.append({operator: alone_ms(tree, operator) for operator in sizes[0]})
    wide, narrow = sizes
    return {one: _Line((wide[one], narrow[one]), (times[0][one], times[1][one])) for one in wide}


def _measured(dependencies: Dependencies) -> Iterator[Family]:
    """Families one after another, with progress."""
    for number, family in enumerate(dependencies.families):
        events.progress(number / len(dependencies.families), "latency of each family of channels")
        yield family


def _stairs(dependencies: Dependencies, family: Family, lines: Mapping[int, _Line]) -> dict[int, NDArray[np.float64]]:
    """By what the times of operators are off their lines at each count of a family's channels ``[1 + channels]``.

    An operator that makes the channels takes as long as for the next end of a tile, others as long as for the count
    itself: what was measured, or lies between.
    """
    whole, grid = len(family.channels), _grid(family, max(1, MEASURED // (4 * len(dependencies.families))))
    if not grid:
        return {}
    full, makers = {one: line.sizes[0] for one, line in lines.items()}, {place[0] for place in family.origins}
    sizes: list[dict[int, float]] = []
    times: list[dict[int, float]] = []
    for count in grid:
        gone = set(family.channels[: whole - count])
        sizes.append(_sizes(dependencies, Rest(dependencies, gone)))
        tree = cutting.cut(dependencies, gone)
        times.append({one: alone_ms(tree, one) for one, size in sizes[-1].items() if size != full[one]})
    counts, width = np.arange(whole + 1), family.width
    ends = np.minimum(np.ceil(counts * width / TILE) * TILE / width, whole)
    found = {}
    for one in times[0]:
        points = [*grid, whole]
        ms = np.maximum.accumulate([*(each[one] for each in times), lines[one].at(full[one])])
        seen = np.interp(ends if one in makers else counts, points, ms)
        straight = np.array(
            [lines[one].at(size) for size in np.interp(counts, points, [*(s[one] for s in sizes), full[one]])]
        )
        found[one] = np.clip(seen / np.maximum(straight, 1e-9), 1 / FAR, FAR)
    return found


def _grid(family: Family, most: int) -> list[int]:
    """The counts at which a family is measured: ends of tiles, evenly spread."""
    whole = len(family.channels)
    ends = [count for count in range(1, whole) if count * family.width % TILE == 0]
    step = -(-len(ends) // min(COUNTS, most)) or 1
    return ends[::-1][::step][::-1]


def _sizes(dependencies: Dependencies, rest: Rest) -> dict[int, float]:
    """What each operator computes: its MACs, or the values that it makes if it has none."""
    return {
        operator.index: float(
            budget.macs(dependencies, rest, operator) or prod(rest.shape(dependencies.tensors[operator.outputs[0]]))
        )
        for operator in dependencies.graph.operators
        if operator.outputs and any(index in dependencies.tensors for index in operator.inputs)
    }
