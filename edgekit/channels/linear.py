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
"""Places of a map that are looked at for each sample at least: neighbours tell little more."""

PLACES_OF_FEATURE = 250
"""So many places of all samples are looked at for each number that is read at one, if there are as many."""


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

    def picked(self, samples: int, features: int, made: tuple[int, ...]) -> NDArray[np.int64]:
        """Places of a map that are looked at for each sample: enough for its features, the same of all samples.

        Args:
            samples: how many there are.
            features: how many it reads at a place.
            made: the shape of its result.
        """
        count = prod(made[:-1])
        most = max(PLACES, -(-PLACES_OF_FEATURE * features // samples))
        if count <= most:
            return np.arange(count)
        return np.sort(np.random.default_rng(self.operator.index).choice(count, most, replace=False))

    def rows(self, values: Array, shape: tuple[int, ...], made: tuple[int, ...], places: NDArray[np.int64]) -> Rows:
        """What it reads at some places of each sample: ``[groups, N · places, features]``.

        Args:
            values: ``[N, *shape]`` of its operand.
            shape: of its weights.
            made: of its result.
            places: as `picked` gives them.
        """
        if self.operator.name in {"CONV_2D", "DEPTHWISE_CONV_2D"}:
            return self._patches(values, shape, made, places)
        taps = shape[self.order[0]]
        rows = values.reshape(len(values), -1, taps)
        return np.asarray(rows[:, places].reshape(1, -1, taps), np.float32)

    def made(self, values: Array, places: NDArray[np.int64]) -> Rows:
        """Of its result ``[N, *shape]`` the same places: ``[groups, N · places, outputs]``."""
        flat = values.reshape(len(values), -1, values.shape[-1])[:, places].reshape(-1, values.shape[-1])
        return np.asarray(flat.T[:, :, None] if self.depthwise else flat[None], np.float32)

    def grouped(self, matrix: Matrix) -> Matrix:
        """A matrix as ``[groups, features, outputs]``: of a depthwise layer each channel is a group."""
        return matrix.T[:, :, None] if self.depthwise else matrix[None]

    def together(self, grouped: Matrix) -> Matrix:
        """The same back."""
        return grouped[:, :, 0].T if self.depthwise else grouped[0]

    def _patches(self, values: Array, shape: tuple[int, ...], made: tuple[int, ...], places: NDArray[np.int64]) -> Rows:
        at: Any = (slice(None), *np.unravel_index(places, made[:3]))  # a file may hold several images for each sample
        images = np.asarray(values, np.float32).reshape(-1, *values.shape[-3:])
        windows = windows_of(self.operator, images, shape[1:3], made[1:3])  # N, places, channels, taps
        windows = windows.reshape(-1, made[0], *windows.shape[1:])
        if self.depthwise:
            found = windows[at].transpose(2, 0, 1, 3, 4)
            return np.asarray(found.reshape(values.shape[-1], -1, prod(shape[1:3])))
        found = windows.transpose(0, 1, 2, 3, 5, 6, 4)[at]
        return np.asarray(found.reshape(1, -1, prod(shape[1:3]) * values.shape[-1]))


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
