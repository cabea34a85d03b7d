"""Constants that are one and the same weight: those of the steps of an unrolled loop, in one buffer or in several."""

import hashlib
from collections.abc import Hashable
from typing import Any

import numpy as np

from edgekit.waist import graph

FLOAT = 4
"""Bytes of a float32: what repeats itself after so many is one value throughout."""


def key(tree: Any, subgraph: int, tensor: int) -> Hashable:
    """What tells weights apart: their content; of constants of one value throughout, and of activations, the tensor.

    Biases of zeros are equal by chance.
    """
    held = tree.subgraphs[subgraph].tensors[tensor]
    data = tree.buffers[held.buffer].data
    if data is None or np.array_equal(data[FLOAT:], data[:-FLOAT]):
        return subgraph, tensor
    return held.type, hashlib.blake2b(np.asarray(data, np.uint8).tobytes()).digest()


def share(tree: Any) -> None:
    """Let floats of equal content lie in one buffer, in place."""
    found: dict[Hashable, int] = {}
    for place, described in enumerate(graph.describe(tree)):
        for tensor in described.tensors:
            if tensor.dtype == "float32" and (content := key(tree, place, tensor.index)) != (place, tensor.index):
                held = tree.subgraphs[place].tensors[tensor.index]
                held.buffer = found.setdefault(content, held.buffer)
