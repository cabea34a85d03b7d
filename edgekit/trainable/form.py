"""A file in its trainable form: a model of tf-keras, the weights of the file in it, and what stops training."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.trainable.stock import Layout, short
from edgekit.trainable.weights import WeightTensor
from edgekit.waist import graph
from edgekit.waist.tensors import Array


@dataclass
class Weight:
    """A weight of the file by its ``name`` there, the ``variable`` that stands for it, and how it lies in that."""

    name: str
    tensor: WeightTensor
    layout: Layout
    variable: Any

    def values(self) -> Array:
        """What it holds now, in the file's shape."""
        return self.layout.to_file(self.variable.numpy(), self.tensor.values.shape)


@dataclass
class Lifted:
    """A file in its trainable form.

    Attributes:
        path: of the file.
        content: its bytes.
        inputs: the file's inputs, in their order.
        model: takes the file's inputs in their order and gives its outputs in theirs, ``[N, …]`` each: samples take
            the place of the file's leading 1, or stand in front of shapes that have none.
        weights: what can be trained.
        layers: by the place of the operator in the main graph the layer that it became, without a fused activation.
        normalizations: by the same places the BatchNormalization that was put behind.
        notes: which operators stop training, which weights no gradient reaches, and what else differs from the file.
    """

    path: Path
    content: bytes
    inputs: tuple[graph.Tensor, ...]
    model: Any
    weights: tuple[Weight, ...]
    layers: dict[int, Any]
    normalizations: dict[int, Any]
    notes: tuple[str, ...]

    def given(self, samples: Mapping[str, Array]) -> list[Array]:
        """Samples, for each input's name in the file ``[N, *shape]``, as the model takes them."""
        found = (samples[tensor.name] for tensor in self.inputs)
        return [
            values.reshape(len(values), *short(tensor.shape)) for values, tensor in zip(found, self.inputs, strict=True)
        ]
