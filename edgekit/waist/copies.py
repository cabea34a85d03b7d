"""Constants that are one and the same weight: those of the steps of an unrolled loop, in one buffer or in several."""

import hashlib
from collections.abc import Hashable
from typing import Any

import numpy as np

from edgekit.waist import graph

FLOAT = 4
"""Bytes of a float32: what repeats itself after so many is one value throughout."""


def keys(tree: Any, subgraph: int, described: graph.Graph) -> dict[int, Hashable]:
    """What tells weights apart, by tensor: their content; of activations the tensor.

    Constants of one value throughout, such as biases of zeros, are equal by chance, but not beside the same weights.
    """
    contents = {tensor.index: _content(tree, subgraph, tensor) for tensor in described.tensors}
    found: dict[int, Hashable] = {index: content or (subgraph, index) for index, content in contents.items()}
    for operator in described.operators:
        beside = tuple(found[tensor] for tensor in operator.inputs if contents.get(tensor))
        for slot, index in enumerate(operator.inputs):
            if beside and index >= 0 and described.tensors[index].constant_bytes and not contents[index]:
                held = tree.buffers[tree.subgraphs[subgraph].tensors[index].buffer].data
                found[index] = slot, beside, np.asarray(held, np.uint8).tobytes()
    return found


def _content(tree: Any, subgraph: int, tensor: graph.Tensor) -> Hashable:
    """A constant's dtype and a digest of its bytes; None for one of one value throughout, and for activations."""
    data = tree.buffers[tree.subgraphs[subgraph].tensors[tensor.index].buffer].data if tensor.constant_bytes else None
    if data is None or np.array_equal(data[FLOAT:], data[:-FLOAT]):
        return None
    return tensor.dtype, hashlib.blake2b(np.asarray(data, np.uint8).tobytes()).digest()


def share(tree: Any) -> None:
    """Let floats of equal content lie in one buffer, in place."""
    found: dict[Hashable, int] = {}
    for place, described in enumerate(graph.describe(tree)):
        for tensor in described.tensors:
            content = _content(tree, place, tensor) if tensor.dtype == "float32" else None
            if content is not None:
                held = tree.subgraphs[place].tensors[tensor.index]
                held.buffer = found.setdefault(content, held.buffer)
