"""How long a network without some channels takes on this host: predicted from a table of its operators.

Each operator is measured alone at two widths of the network; between them its time is a straight line in what it
computes.
"""

from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgekit.channels import budget, cutting
from edgekit.channels.budget import Spend
from edgekit.channels.cutting import Rest
from edgekit.channels.dependencies import Dependencies
from edgekit.host import events
from edgekit.waist import cutting as parts
from edgekit.waist import graph, run

NARROW = 0.5
"""The width of the second measurement."""


def table(dependencies: Dependencies) -> Spend:
    """A prediction in ms, for what is left of a network.

    Raises:
        Unsupported: LiteRT cannot run an operator alone.
    """
    gone = budget.uniform((family.channels for family in dependencies.families), NARROW)
    sizes = [_sizes(dependencies, Rest(dependencies, lost)) for lost in ((), gone)]
    times = []
    for number, tree in enumerate((dependencies.tree, cutting.cut(dependencies, gone))):
        events.progress(number / 2, "latency of each operator")
        times.append({operator: alone_ms(tree, operator) for operator in sizes[0]})

    def predicted(rest: Rest) -> float:
        """Of each operator the line through its two measurements, in ms, and nothing below 0."""
        total = 0.0
        for operator, size in _sizes(dependencies, rest).items():
            wide, narrow = sizes[0][operator], sizes[1][operator]
            slow, fast = times[0][operator], min(times[0][operator], times[1][operator])
            share = (size - narrow) / (wide - narrow) if wide != narrow else 1.0
            total += max(0.0, fast + share * (slow - fast))
        return total

    return predicted


def _sizes(dependencies: Dependencies, rest: Rest) -> dict[int, float]:
    """What each operator computes: its MACs, or the values that it makes if it has none."""
    return {
        operator.index: float(
            budget.macs(dependencies, rest, operator) or prod(rest.shape(dependencies.tensors[operator.outputs[0]]))
        )
        for operator in dependencies.graph.operators
        if operator.outputs and any(index in dependencies.tensors for index in operator.inputs)
    }


def alone_ms(tree: Any, operator: int) -> float:
    """An operator's best time on one thread, with inputs of zeros."""
    described = graph.describe(tree)[0].operators[operator]
    read = [i for i in dict.fromkeys(described.inputs) if i >= 0 and not graph.is_constant(tree, 0, i)]
    model, _ = parts.apart(
        tree, [tree.subgraphs[0].operators[operator]], read, described.outputs, calls=described.calls
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "operator.tflite"
        path.write_bytes(graph.pack(model))
        return run.best_ms(path)
