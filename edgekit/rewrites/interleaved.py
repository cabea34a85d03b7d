"""Channels that are picked by turns (every second one, and the others), as one TRANSPOSE and a SPLIT.

Shuffled channels are read so. STRIDED_SLICE is one operator less, but runs on no fast kernel and copies number by
number: two of them took 0.052 ms of 44×44×48 floats on x86, 0.023 of 22×22×96; in this form both took less than 0.004.
"""

import numpy as np

from edgekit.rewrites.main_graph import MainGraph, Node, Replacement

ROOTS = frozenset({"STRIDED_SLICE"})

AXES = (3, 4)
"""Of the tensor: what is split has one more and none for the batch, and so as many as accelerated kernels take."""

MOST_TURNS = 4
"""As many results as XNNPACK's SPLIT has."""


def replacement(main: MainGraph, node: Node) -> Replacement | None:
    """One split for all that pick from a tensor by turns, if each channel is picked once."""
    source = node.inputs[0]
    picks = {_first(main, other): other for other in main.readers(source) if other.name == "STRIDED_SLICE"}
    turns, shape = len(picks), main.shape(source)
    if turns < 2 or turns > MOST_TURNS or picks.get(0) is not node or sorted(picks) != list(range(turns)):
        return None
    if len(shape) not in AXES or shape[0] != 1 or any(_turns(main, pick) != turns for pick in picks.values()):
        return None
    parts = (*shape[1:-1], shape[-1] // turns, turns)
    order = (len(parts) - 1, *range(len(parts) - 1))
    apart = main.activation(source, "apart", parts)
    turned = main.activation(source, "turned", tuple(parts[axis] for axis in order))
    told, axes = (
        main.add_constant(source, name, np.array(v, np.int32)) for name, v in (("parts", parts), ("order", order))
    )
    first = main.add_constant(source, "axis", np.array(0, np.int32))
    made = [picks[turn].outputs[0] for turn in range(turns)]
    new = (
        main.node("RESHAPE", (source, told), (apart,), "ReshapeOptions", newShape=list(parts)),
        main.node("TRANSPOSE", (apart, axes), (turned,), "TransposeOptions"),
        main.node("SPLIT", (first, turned), made, "SplitOptions", numSplits=turns),
    )
    return Replacement(tuple(picks.values()), new)


def _first(main: MainGraph, node: Node) -> int:
    """The first channel that is picked; -1 if it is not known."""
    begin = main.constant(node.inputs[1])
    return -1 if begin is None else int(begin.ravel()[-1])


def _turns(main: MainGraph, node: Node) -> int:
    """Of how many channels one is picked; 0 if they are not picked so, or something else is picked as well."""
    before, after = main.shape(node.inputs[0]), main.shape(node.outputs[0])
    stride = main.constant(node.inputs[3])
    if stride is None or len(before) != len(after) or before[:-1] != after[:-1]:
        return 0
    turns = int(stride.ravel()[-1])
    return turns if turns > 1 and after[-1] * turns == before[-1] else 0
