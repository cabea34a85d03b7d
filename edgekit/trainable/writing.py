"""A trained form written back into its file."""

from collections.abc import Sequence
from typing import Any

from edgekit.trainable import normalization
from edgekit.trainable.form import Lifted, Weight
from edgekit.trainable.weights import Place
from edgekit.waist import edit, graph
from edgekit.waist.tensors import Array


def written(lifted: Lifted) -> bytes:
    """The file's content with the values that the weights hold now; the same bytes if none has changed.

    Normalizations are folded before (`edgekit.trainable.normalization.fold`).
    """
    normalization.fold(lifted)
    changed = [(weight, values) for weight in lifted.weights if (values := _changed(weight)) is not None]
    if not changed:
        return lifted.content
    tree = graph.parse(lifted.content, lifted.path)
    for weight, values in changed:
        _write(tree, weight.tensor.places, values)
    edit.sweep(tree)
    return graph.pack(tree)


def _changed(weight: Weight) -> Array | None:
    """The values in the file's shape, if they are others than in the file."""
    values = weight.values()
    return None if values.tobytes() == weight.tensor.values.tobytes() else values


def _write(tree: Any, places: Sequence[Place], values: Array) -> None:
    """Give all places of a weight the same values; they share a buffer then."""
    (part, tensor), *rest = places
    edit.set_constant(tree, tensor, values, part)
    for other, index in rest:
        tree.subgraphs[other].tensors[index].buffer = tree.subgraphs[part].tensors[tensor].buffer
