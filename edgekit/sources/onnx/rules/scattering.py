"""ScatterND and ScatterElements that reduce what they scatter."""

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


MOST_PAIRS = 1 << 22
"""The most pairs of a row and an update: their matrix is 16 MiB."""

MOST_CHOSEN = 1 << 20
"""The most values that are chosen pair by pair, which are 4 MiB."""


def added(builder: Builder, node: onnx.NodeProto) -> bool:
    """ScatterND that adds rows at computed places, as graph networks do: a sum over the matrix of who goes where.

    ``y[row] = data[row] + Σ updates[i] over all i with place[i] = row``. Places are counted in floats, which hold them
    exactly. What goes elsewhere is left out; in a large network, a product with the matrix takes it times 0, so that an
    infinite update makes NaN of all rows.
    """
    network = builder.network
    shape, places = network.shape(node.input[0]), network.shape(node.input[1])
    if (
        attributes(node).get("reduction", "none") != "add"
        or not shape
        or not places
        or node.input[1] in network.constants
    ):
        return False
    depth, updates = places[-1], int(np.prod(places[:-1]))
    rows, width = int(np.prod(shape[:depth])), int(np.prod(shape[depth:]))
    if network.dtype(node.input[0]) != np.float32 or not 0 < rows * updates <= MOST_PAIRS:
        return False
    strides = np.array([np.prod(shape[axis + 1 : depth]) for axis in range(depth)], np.float32)
    given = builder.op("Cast", builder.reshape(node.input[1], [updates, depth]), to=onnx.TensorProto.FLOAT)
    below = builder.op("Less", given, builder.const(np.float32(0)))
    counted = builder.op("Where", below, builder.op("Add", given, builder.const(shape[:depth], np.float32)), given)
    place = builder.sum(builder.op("Mul", counted, builder.const(strides)), [1])
    every = builder.const(np.arange(rows, dtype=np.float32)[:, np.newaxis])
    hits = builder.op("Equal", builder.reshape(place, [1, updates]), every)
    if rows * updates * width <= MOST_CHOSEN:
        hit, given = builder.reshape(hits, [rows, updates, 1]), builder.reshape(node.input[2], [1, updates, width])
        chosen = builder.op("Where", hit, given, builder.const(np.float32(0)))
        sums = builder.reshape(builder.sum(chosen, [1]), [rows, width])
    else:
        matrix = builder.op("Cast", hits, to=onnx.TensorProto.FLOAT)
        sums = builder.op("MatMul", matrix, builder.reshape(node.input[2], [updates, width]))
    whole = builder.op("Add", builder.reshape(node.input[0], [rows, width]), sums)
    builder.reshape(whole, shape, out=node.output[0])
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
