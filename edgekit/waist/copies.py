"""Constants that are one and the same weight: those of the steps of an unrolled loop, in one buffer or in several."""

import hashlib
from collections.abc import Hashable
from typing import Any

import numpy as np

from edgekit.waist import graph
from edgekit.waist.tensors import Array


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
                found[index] = slot, beside, _kind(described.tensors[index]), np.asarray(held, np.uint8).tobytes()
    return found


def _content(tree: Any, subgraph: int, tensor: graph.Tensor) -> Hashable:
    """A constant's dtype, grid and digest of its bytes; None for one of one value throughout, and for activations."""
    data = tree.buffers[tree.subgraphs[subgraph].tensors[tensor.index].buffer].data if tensor.constant_bytes else None
    if data is None or _even(np.asarray(data, np.uint8), tensor.dtype):
        return None
    return _kind(tensor), hashlib.blake2b(np.asarray(data, np.uint8).tobytes()).digest()


def _kind(tensor: graph.Tensor) -> Hashable:
    """What a constant's bytes stand for: equal integers on other scales are other weights."""
    return tensor.dtype, tensor.scales, tensor.zero_points, tensor.axis if len(tensor.scales) > 1 else 0


def _even(data: Array, dtype: str) -> bool:
    """Whether the bytes of a constant are one value throughout."""
    if dtype == "int4":  # two in a byte; the last half may be padding
        halves = np.stack([np.bitwise_and(data, 15), np.right_shift(data, 4)], axis=-1).ravel()
        return bool((halves[:-1] == halves[:1]).all()) and all(last in {0, halves[0]} for last in halves[-1:])
    size = np.dtype(dtype).itemsize if dtype in np.sctypeDict else 1
    return np.array_equal(data[size:], data[:-size])


def share(tree: Any) -> None:
    """Let floats of equal content lie in one buffer, in place."""
    found: dict[Hashable, int] = {}
    for place, described in enumerate(graph.describe(tree)):
        for tensor in described.tensors:
            content = _content(tree, place, tensor) if tensor.dtype == "float32" else None
            if content is not None:
                held = tree.subgraphs[place].tensors[tensor.index]
                held.buffer = found.setdefault(content, held.buffer)
