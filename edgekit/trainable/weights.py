"""Which constants of a file are weights, and which are one and the same."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.trainable.operators.table import ROWS
from edgekit.waist import edit, graph
from edgekit.waist.tensors import Array

Place = tuple[int, int]
"""A tensor of the file: its subgraph, and its index there."""

Content = bytes | Place
"""What tells weights apart: a digest of their bytes; of constants of one value throughout, the place."""

FILLS = 1e4
"""From this magnitude on a number of an element-wise operator stands for infinity, as in attention masks."""


MATRICES = frozenset({"CONV_2D", "CONV_3D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL"})
"""Operators whose first weights are a kernel even if they have one row or one column, as those of a single output."""

TABLES = frozenset({"GATHER", "GATHER_ND", "EMBEDDING_LOOKUP"})
"""Operators that look up rows of their weights."""


@dataclass(frozen=True, eq=False)
class WeightTensor:
    """A constant of the file that is to be trained; all ``places`` are given its new values.

    ``kernel``: whether an operator sums products of it, or looks rows of it up; slopes, scales and biases are none.
    """

    places: tuple[Place, ...]
    values: Array
    kernel: bool = False


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
    marked = {p: k for part, described in enumerate(graphs) for p, k in _marked(part, described, contents).items()}
    for part, described in enumerate(graphs):
        keys |= _beside_shared(part, described, keys, contents)
    chosen = {keys[place] for place in marked}
    kernels = {keys[place] for place, kernel in marked.items() if kernel}
    places: dict[Content, list[Place]] = {}
    for place, key in keys.items():
        if key in chosen:
            places.setdefault(key, []).append(place)
    return tuple(WeightTensor(tuple(stand), contents[stand[0]], key in kernels) for key, stand in places.items())


def apart(path: Path) -> bytes:
    """The content of a file in which operators share no bias of one value throughout; b"" if none do.

    Converters write one constant for all biases of zeros of one length, and trained so they would stay one. Those that
    stand beside another shared weight are one all the same (`find`). Kernels and slopes are shared by intent.
    """
    tree = graph.load(path)
    changed = False
    for part, described in enumerate(graph.describe(tree)):
        seen: set[int] = set()
        for operator in described.operators:
            for slot in ROWS[operator.name].weights if operator.name in ROWS else ():
                tensor = _at(operator, slot)
                values = graph.constant(tree, part, tensor) if tensor >= 0 else None
                if values is None or values.dtype != np.float32 or not values.size or values.min() != values.max():
                    continue
                if _is_kernel(operator.name, slot, values) or operator.name == "PRELU":
                    continue
                if tensor in seen:
                    name = f"{described.tensors[tensor].name}_of_{operator.index}"
                    given = tree.subgraphs[part].operators[operator.index]
                    given.inputs = [*given.inputs]
                    given.inputs[slot] = edit.add_constant(tree, name, values, part)
                    changed = True
                seen.add(tensor)
    return graph.pack(tree) if changed else b""


def _marked(part: int, described: graph.Graph, contents: Mapping[Place, Array]) -> dict[Place, bool]:
    """Constants in slots of weights, each with whether it is a kernel."""
    found: dict[Place, bool] = {}
    for operator in described.operators:
        row = ROWS.get(operator.name)
        for slot, tensor in enumerate(operator.inputs):
            place = part, tensor
            if row is None or place not in contents:
                continue
            if slot in row.weights or (slot in row.learnable and looks_learned(contents[place])):
                found[place] = found.get(place, False) or _is_kernel(operator.name, slot, contents[place])
    return found


def _is_kernel(operator: str, slot: int, values: Array) -> bool:
    """Whether a constant in a slot of weights is a kernel; what is taken number by number is none."""
    if operator in MATRICES:
        return values.size > 1 and (slot == 1 or operator == "BATCH_MATMUL")
    if operator not in TABLES and (operator == "PRELU" or slot not in ROWS[operator].weights):
        return False
    recurrent = ROWS[operator].recurrent  # a cell that reads single numbers has a matrix of one column
    return (values if recurrent else np.squeeze(values)).ndim > 1


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
