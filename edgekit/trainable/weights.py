"""Which constants of a file are weights, and which are one and the same."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.trainable.operators.table import ROWS
from edgekit.waist import graph
from edgekit.waist.tensors import Array

Place = tuple[int, int]
"""A tensor of the file: its subgraph, and its index there."""

Content = bytes | Place
"""What tells weights apart: a digest of their bytes; of constants of one value throughout, the place."""

FILLS = 1e4
"""From this magnitude on a number of an element-wise operator stands for infinity, as in attention masks."""


@dataclass(frozen=True, eq=False)
class WeightTensor:
    """A constant of the file that is to be trained; all ``places`` are given its new values."""

    places: tuple[Place, ...]
    values: Array


def looks_learned(values: Array) -> bool:
    """Whether numbers of an element-wise operator were learned: float32, several values, none meaning infinity.

    Single numbers are factors and epsilons; a 0 beside one other value makes a mask.
    """
    if values.dtype != np.float32 or values.size < 2:
        return False
    found = np.unique(values)
    mask = found.size == 2 and 0 in found
    return bool(found.size > 1 and not mask and np.isfinite(found).all() and np.abs(found).max() < FILLS)


def find(tree: Any) -> tuple[WeightTensor, ...]:
    """The weights of a file.

    Constants of equal content are one weight, whether they share a buffer or not: converters write the weights of
    an unrolled loop either way. Those of one value throughout (a bias of zeros) are equal by chance, and are one weight
    only if the operators that read them share another one.
    """
    graphs = graph.describe(tree)
    contents = {
        (part, tensor.index): found
        for part, described in enumerate(graphs)
        for tensor in described.tensors
        if tensor.dtype == "float32" and (found := graph.constant(tree, part, tensor.index)) is not None and found.size
    }
    keys: dict[Place, Content] = {
        place: hashlib.blake2b(values.tobytes()).digest() if values.min() != values.max() else place
        for place, values in contents.items()
    }
    marked = {place for part, described in enumerate(graphs) for place in _marked(part, described, contents)}
    for part, described in enumerate(graphs):
        keys |= _beside_shared(part, described, keys, contents)
    chosen = {keys[place] for place in marked}
    places: dict[Content, list[Place]] = {}
    for place, key in keys.items():
        if key in chosen:
            places.setdefault(key, []).append(place)
    return tuple(WeightTensor(tuple(stand), contents[stand[0]]) for stand in places.values())


def _marked(part: int, described: graph.Graph, contents: Mapping[Place, Array]) -> set[Place]:
    """Constants in slots of weights."""
    found = set()
    for operator in described.operators:
        row = ROWS.get(operator.name)
        for slot, tensor in enumerate(operator.inputs):
            place = part, tensor
            if row is None or place not in contents:
                continue
            if slot in row.weights or (slot in row.learnable and looks_learned(contents[place])):
                found.add(place)
    return found


def _beside_shared(
    part: int, described: graph.Graph, keys: Mapping[Place, Content], contents: Mapping[Place, Array]
) -> dict[Place, Content]:
    """What tells constants of one value apart that stand beside other weights: the slot, these, and the values."""
    found: dict[Place, Content] = {}
    for operator in described.operators:
        if operator.name not in ROWS:
            continue
        slots = [slot for slot in ROWS[operator.name].weights if (part, _at(operator, slot)) in keys]
        beside = [keys[part, operator.inputs[slot]] for slot in slots]
        digests = b"".join(key for key in beside if isinstance(key, bytes))
        for slot, key in zip(slots, beside, strict=True):
            if digests and not isinstance(key, bytes):
                found[key] = digests + bytes([slot]) + contents[key].tobytes()
    return found


def _at(operator: graph.Operator, slot: int) -> int:
    return operator.inputs[slot] if slot < len(operator.inputs) else -1
