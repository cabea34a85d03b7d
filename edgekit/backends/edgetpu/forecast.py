"""Which operators of a quantized TFLite file will run on the Edge TPU, and what stops the rest.

The compiler takes one subgraph. Its cut is TFLite's own partitioning of a graph between a delegate
and the CPU (``PartitionGraphIntoIndependentNodeSubsets`` in ``tensorflow/lite/graph_info.cc``): in
execution order, operators that can be mapped are gathered until every one that remains needs a
result of one that cannot. The first gathering that is not empty becomes the custom operator;
everything else runs on the CPU, supported or not.

Evidence for the first rather than the largest: a YOLOv5s of which 1 of 294 operators is mapped
(compiler 15; all of its convolutions come after). For dependence rather than position: SSD FPN
640x640 (google-coral/edgetpu#537), where the heads of the coarse levels, which stand behind the
first unsupported RESHAPE but do not need it, are mapped.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.backends.edgetpu.rules import VERSION, CpuReason, View, refusal, unreadable
from edgekit.nouns.building import Placement
from edgekit.waist import graph as waist
from edgekit.waist.graph import Graph, Operator, Tensor

EDGE_TPU, CPU = "Edge TPU", "CPU"
"""Values of `edgekit.nouns.building.Placement.runs_on`."""

MAPPED = "Mapped to Edge TPU"
ONE_SUBGRAPH = "More than one subgraph is not supported"
"""The compiler's own words."""

PARAMETER_CACHE_BYTES = 8 * 2**20
"""On-chip memory that caches weights, roughly (https://github.com/google-coral/libcoral/issues/20)."""


@dataclass(frozen=True)
class Forecast:
    """A verdict for every operator of the main graph, and what to tell the user."""

    placements: tuple[Placement, ...]
    notes: tuple[str, ...]

    @property
    def mapped(self) -> int:
        """How many operators are expected on the Edge TPU."""
        return sum(placement.runs_on == EDGE_TPU for placement in self.placements)


def forecast(file: Path) -> Forecast:
    """Forecast the placement of every operator of a TFLite file's main graph.

    Raises:
        InputError: it is no TFLite file, or it is damaged.
    """
    model = waist.load(file)
    graph = waist.read(file)[0]

    def value(tensor: Tensor) -> NDArray[np.generic] | None:
        """A constant's values; None for what is computed."""
        return waist.constant(model, 0, tensor.index) if tensor.constant_bytes else None

    refused = _unreadable(graph)
    for operator in () if refused else graph.operators:
        found = refusal(_view(graph, operator, value))
        if found is not None:
            refused[operator.index] = found
    mapped = first_subgraph(graph, refused.keys())
    culprits = _culprits(graph, refused, mapped)
    placements = tuple(_placement(graph, operator, mapped, refused, culprits) for operator in graph.operators)
    return Forecast(placements, tuple(_notes(graph, placements, refused, mapped)))


def _unreadable(graph: Graph) -> dict[int, CpuReason]:
    """Refusals of all operators, if a single one is too new for the compiler; else none."""
    found = {operator.index: refusal for operator in graph.operators if (refusal := unreadable(operator)) is not None}
    if not found:
        return {}
    first = min(found)
    whole = CpuReason(VERSION, f"the compiler refuses the whole file because of operator {first}")
    return {operator.index: found.get(operator.index, whole) for operator in graph.operators}


def _view(graph: Graph, operator: Operator, value: Callable[[Tensor], NDArray[np.generic] | None]) -> View:
    return View(
        operator=operator,
        inputs=tuple(None if i < 0 else graph.tensors[i] for i in operator.inputs),
        outputs=tuple(graph.tensors[i] for i in operator.outputs),
        value=value,
    )


def first_subgraph(graph: Graph, refused: Set[int]) -> frozenset[int]:
    """The operators that the compiler gathers, by index; empty if it can map none."""
    pending = list(graph.operators)
    missing = {tensor for operator in pending for tensor in operator.outputs}
    while pending:
        accepts = None
        gathered: set[int] = set()
        again = True
        while again:
            again = False
            for operator in pending:
                ready = operator.index not in gathered and missing.isdisjoint(operator.inputs)
                if ready and accepts in {None, operator.index not in refused}:
                    accepts = operator.index not in refused
                    gathered.add(operator.index)
                    missing.difference_update(operator.outputs)
                    again = True
        if accepts or not gathered:  # nothing can be gathered from a graph with a cycle
            return frozenset(gathered)
        pending = [operator for operator in pending if operator.index not in gathered]
    return frozenset()


def _culprits(graph: Graph, refused: Mapping[int, CpuReason], mapped: Set[int]) -> dict[int, int]:
    """For each operator that is left over without a refusal of its own: the refused one that it waits for."""
    producer = {tensor: operator.index for operator in graph.operators for tensor in operator.outputs}
    found: dict[int, int] = {}
    for operator in graph.operators:
        if operator.index in refused or operator.index in mapped:
            continue
        before = [producer[tensor] for tensor in operator.inputs if tensor in producer]
        causes = [index if index in refused else found.get(index, -1) for index in before if index not in mapped]
        found[operator.index] = min((index for index in causes if index >= 0), default=-1)
    return found


def _placement(
    graph: Graph, operator: Operator, mapped: Set[int], refused: Mapping[int, CpuReason], culprits: Mapping[int, int]
) -> Placement:
    if operator.index in mapped:
        status = MAPPED
    elif operator.index in refused:
        status = f"{refused[operator.index].status}: {refused[operator.index].reason}"
    else:
        status = f"{ONE_SUBGRAPH}: {_cause(graph, culprits[operator.index])}"
    return Placement(
        index=operator.index,
        operator=operator.name,
        name=graph.tensors[operator.outputs[0]].name if operator.outputs else "",
        runs_on=EDGE_TPU if operator.index in mapped else CPU,
        status=status,
    )


def _cause(graph: Graph, culprit: int) -> str:
    if culprit < 0:
        return "it belongs to a later subgraph"
    return f"it needs the result of operator {culprit} ({graph.operators[culprit].name}), which runs on the CPU"


def _notes(
    graph: Graph, placements: tuple[Placement, ...], refused: Mapping[int, CpuReason], mapped: Set[int]
) -> list[str]:
    total = len(placements)
    notes = [f"Forecast: {len(mapped)} of {total} operators run on the Edge TPU."]
    stranded = [p for p in placements if p.runs_on == CPU and p.index not in refused]
    if refused:
        first = min(refused)
        notes.append(
            f"The first that does not is operator {first}, {graph.operators[first].name} ({placements[first].name}): "
            f"{refused[first].reason} ({refused[first].status})."
        )
    if stranded:
        counts = ", ".join(f"{n} {name}" for name, n in Counter(p.operator for p in stranded).most_common())
        notes.append(
            f"{len(stranded)} supported operators follow it to the CPU, because there is one subgraph: {counts}."
        )
    used = {i for index in mapped for i in graph.operators[index].inputs if i >= 0}
    weights = sum(graph.tensors[i].constant_bytes for i in used)
    if weights > PARAMETER_CACHE_BYTES:
        notes.append(
            f"{weights / 2**20:.1f} MiB of weights exceed the roughly 8 MB on-chip cache: "
            "the rest is streamed from the host for every inference."
        )
    return notes
