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

    def assign(self, values: Array) -> None:
        """Let it hold others, in the file's shape."""
        self.variable.assign(self.layout.to_layer(values))


@dataclass
class Lifted:
    """A file in its trainable form.

    Attributes:
        path: of the file.
        content: its bytes.
        main: the file's main graph, with the shapes that its tensors have while it runs.
        model: takes the file's inputs in their order and gives its outputs in theirs, ``[N, …]`` each: samples take
            the place of the file's leading 1, or stand in front of shapes that have none.
        weights: what can be trained.
        tensors: by their places in the main graph the tensors that samples decide, as the model has them, after a fused
            activation and a normalization.
        layers: by the place of the operator in the main graph the layer that it became, without a fused activation.
        normalizations: by the same places the BatchNormalization that was put behind.
        notes: which operators stop training, which weights no gradient reaches, and what else differs from the file.
    """

    path: Path
    content: bytes
    main: graph.Graph
    model: Any
    weights: tuple[Weight, ...]
    tensors: dict[int, Any]
    layers: dict[int, Any]
    normalizations: dict[int, Any]
    notes: tuple[str, ...]

    @property
    def inputs(self) -> tuple[graph.Tensor, ...]:
        """The file's inputs, in their order."""
        return tuple(self.main.tensors[index] for index in self.main.inputs)

    def given(self, samples: Mapping[str, Array]) -> list[Array]:
        """Samples, for each input's name in the file ``[N, *shape]``, as the model takes them."""
        found = (samples[tensor.name] for tensor in self.inputs)
        return [
            values.reshape(len(values), *short(tensor.shape)) for values, tensor in zip(found, self.inputs, strict=True)
        ]
