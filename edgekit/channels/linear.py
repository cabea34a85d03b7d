"""Layers that are products of matrices: what they read as rows, and their weights as columns.

rows [places, features] · matrix [features, outputs] + bias = what they make, before a fused activation
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.waist import graph
from edgekit.waist.tensors import Array
from edgekit.waist.windows import windows_of

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
        high, wide = np.divmod(_picked(made[1] * made[2], seed), made[2])
        found = []
        for images in values.astype(np.float32, copy=False):  # one at a time: padding takes room
            windows = windows_of(self.operator, images, shape[1:3], made[1:3])
            found.append(windows[:, high, wide].transpose(0, 1, 3, 4, 2))  # the channels last
        taps = (prod(shape[1:3]), values.shape[-1])
        return np.concatenate(found).reshape(-1, *(taps if self.depthwise else (prod(taps),)))


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
