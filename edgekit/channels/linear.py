"""Layers that are products of matrices: what they read as rows, and their weights as columns.

rows [places, features] · matrix [features, outputs] + bias = what they make, before a fused activation
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgekit.waist import graph, padding
from edgekit.waist.tensors import Array

Matrix = NDArray[np.float64]
Rows = NDArray[np.float32]

PLACES = 48
"""Places of a map that are looked at for each sample: neighbours tell little more."""


@dataclass(frozen=True)
class Linear:
    """A convolution or a dense layer whose weights lie in the file.

    Attributes:
        operator: as the file has it.
        order: the axes of the weights as rows of features, then outputs.
        features: how many of these axes are features.
    """

    operator: graph.Operator
    order: tuple[int, ...]
    features: int

    @property
    def depthwise(self) -> bool:
        """Whether each output has its own features."""
        return self.operator.name == "DEPTHWISE_CONV_2D"

    def matrix(self, weights: Array) -> Matrix:
        """Weights as ``[features, outputs]``."""
        turned = weights.transpose(self.order).astype(np.float64)
        return turned.reshape(prod(turned.shape[: self.features]), -1)

    def weights(self, matrix: Matrix, shape: tuple[int, ...]) -> Array:
        """A matrix as weights of a shape."""
        turned = matrix.reshape([shape[axis] for axis in self.order])
        return np.ascontiguousarray(turned.transpose(np.argsort(self.order)).astype(np.float32))

    def rows(self, values: Array, shape: tuple[int, ...], made: tuple[int, ...], seed: int) -> Rows:
        """What it reads, at some places of each sample: ``[N · places, features]``.

        Of a depthwise layer ``[N · places, taps, channels]``.

        Args:
            values: ``[N, *shape]`` of its operand.
            shape: of its weights.
            made: of its result.
            seed: the same seed picks the same places.
        """
        if self.operator.name in {"CONV_2D", "DEPTHWISE_CONV_2D"}:
            return self._patches(values, shape, made, seed)
        taps = shape[self.order[0]]
        rows = values.reshape(len(values), -1, taps)
        return rows[:, _picked(rows.shape[1], seed)].reshape(-1, taps).astype(np.float32)

    def made(self, values: Array, seed: int) -> Rows:
        """Of its result ``[N, *shape]`` the same places: ``[N · places, outputs]``."""
        flat = values.reshape(len(values), -1, values.shape[-1])
        return flat[:, _picked(flat.shape[1], seed)].reshape(-1, values.shape[-1]).astype(np.float32)

    def _patches(self, values: Array, shape: tuple[int, ...], made: tuple[int, ...], seed: int) -> Rows:
        options, size = self.operator.options, shape[1:3]
        steps = options["strideH"], options["strideW"]
        spread = options["dilationHFactor"], options["dilationWFactor"]
        same = options["padding"] == schema.Padding.SAME
        around = padding.same(options, size, values.shape[2:4], made[1:3]) if same else np.zeros((4, 2), int)
        picked = _picked(made[1] * made[2], seed)
        high, wide = np.divmod(picked, made[2])
        rows = high[:, None, None] * steps[0] + np.arange(size[0])[None, :, None] * spread[0]
        columns = wide[:, None, None] * steps[1] + np.arange(size[1])[None, None, :] * spread[1]
        found = []
        for sample in values:  # one at a time: all patches of all samples would take many times their room
            padded = np.pad(sample, around)
            found.append(padded[:, rows, columns].reshape(-1, *size, values.shape[-1]))
        patches = np.concatenate(found).astype(np.float32)
        made_rows: Rows = patches.reshape(len(patches), *((prod(size), -1) if self.depthwise else (-1,)))
        return made_rows


def _picked(count: int, seed: int) -> Any:
    if count <= PLACES:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, PLACES, replace=False))


def described(operator: graph.Operator, tensors: tuple[graph.Tensor, ...]) -> Linear | None:
    """An operator as such a layer; None if it is none, or one with groups, or its weights or bias are computed."""
    if operator.name not in ORDERS or tensors[operator.inputs[1]].dtype != "float32":
        return None
    read, weights = (tensors[index] for index in operator.inputs[:2])
    order, features = ORDERS[operator.name]
    if read.constant_bytes or not all(tensors[index].constant_bytes for index in operator.inputs[1:] if index >= 0):
        return None
    if operator.name in {"CONV_2D", "DEPTHWISE_CONV_2D"} and read.shape[-1] != weights.shape[-1]:
        return None
    if operator.name == "BATCH_MATMUL":
        if operator.options.get("adjX") or len(weights.shape) != 2:
            return None
        order = (1, 0) if operator.options.get("adjY") else (0, 1)
    return Linear(operator, order, features)


ORDERS: dict[str, tuple[tuple[int, ...], int]] = {
    "CONV_2D": ((1, 2, 3, 0), 3),
    "DEPTHWISE_CONV_2D": ((1, 2, 0, 3), 3),
    "FULLY_CONNECTED": ((1, 0), 1),
    "BATCH_MATMUL": ((0, 1), 1),
}
"""The axes of the weights, features first, and how many these are."""
