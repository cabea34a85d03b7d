"""Constants that are one and the same weight: the steps of an unrolled loop read theirs from one buffer."""

from collections.abc import Hashable
from typing import Any

import numpy as np

from edgekit.waist import graph

FLOAT = 4
"""Bytes of a float32: what repeats itself after so many is one value throughout."""


def key(tree: Any, subgraph: int, tensor: int) -> Hashable:
    """What tells weights apart: the buffer; of constants of one value throughout, and of activations, the tensor.

    Converters let zeros of the same length share a buffer, whatever they are for.
    """
    buffer = int(tree.subgraphs[subgraph].tensors[tensor].buffer)
    data = tree.buffers[buffer].data
    if data is None or np.array_equal(data[FLOAT:], data[:-FLOAT]):
        return subgraph, tensor
    return buffer


def share(tree: Any) -> None:
    """Let floats of equal content lie in one buffer, in place, as they did before they were changed alike."""
    found: dict[bytes, int] = {}
    for place, described in enumerate(graph.describe(tree)):
        for tensor in described.tensors:
            buffer = key(tree, place, tensor.index)
            if isinstance(buffer, int) and tensor.dtype == "float32":
                content = np.asarray(tree.buffers[buffer].data, np.uint8).tobytes()
                tree.subgraphs[place].tensors[tensor.index].buffer = found.setdefault(content, buffer)
