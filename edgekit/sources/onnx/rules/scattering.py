"""ScatterND and ScatterElements that reduce what they scatter, at constant places."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekit.sources.onnx.network import Builder, attributes

REDUCTIONS = {"add": "Add", "mul": "Mul", "max": "Max", "min": "Min"}

MOST_ROUNDS = 32
"""How often a place may be met at most: each time becomes operators of its own."""


def reduced(builder: Builder, node: onnx.NodeProto) -> bool:
    """Gather what lies at the places, combine it, and put it in by a Gather: the converter has no reductions.

    A place that is met several times takes as many rounds, so that none meets it twice.
    """
    kind = REDUCTIONS.get(attributes(node).get("reduction", "none"))
    shape, indices = builder.network.shape(node.input[0]), builder.network.constants.get(node.input[1])
    if kind is None or shape is None or indices is None:
        return False
    places = _places(node, shape, indices)
    turns = _turns(places)
    if not places.size or turns.max() >= MOST_ROUNDS:
        return False
    size = int(np.prod(shape))
    value, updates = builder.reshape(node.input[0], [size]), builder.reshape(node.input[2], [places.size])
    for turn in range(turns.max() + 1):
        chosen = np.flatnonzero(turns == turn)
        own = builder.op("Gather", value, builder.const(places[chosen], np.int64), axis=0)
        mine = updates
        if len(chosen) < places.size:
            mine = builder.op("Gather", updates, builder.const(chosen, np.int64), axis=0)
        combined = builder.op(kind, own, mine)
        taken = np.arange(size)
        taken[places[chosen]] = size + np.arange(len(chosen))
        both = builder.op("Concat", value, combined, axis=0)
        value = builder.op("Gather", both, builder.const(taken, np.int64), axis=0)
    builder.reshape(value, shape, out=node.output[0])
    return True


def _places(node: onnx.NodeProto, shape: tuple[int, ...], indices: NDArray[Any]) -> NDArray[np.int64]:
    """For every update the place in the flat data that it goes to, ``[updates]``."""
    every = np.arange(np.prod(shape, dtype=np.int64)).reshape(shape)
    where: list[Any] = list(np.moveaxis(indices, -1, 0))
    if node.op_type == "ScatterElements":
        where = list(np.indices(indices.shape))
        where[attributes(node).get("axis", 0)] = indices
    places: NDArray[np.int64] = every[tuple(where)].reshape(-1)
    return places


def _turns(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many times the same place stands before each, ``[updates]``."""
    order = np.argsort(places, kind="stable")
    ordered = places[order]
    turns = np.empty(len(places), np.int64)
    turns[order] = np.arange(len(places)) - np.searchsorted(ordered, ordered)
    return turns
