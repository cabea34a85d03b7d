"""Samples, what the teacher makes of them, and labels, batch by batch: datasets of TensorFlow."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from edgekit.trainable.form import Lifted
from edgekit.trainable.libraries import tf
from edgekit.training.data import Indices, TrainingData
from edgekit.waist.tensors import Array


class Batch(NamedTuple):
    """Samples of one step: tensors of TensorFlow.

    Attributes:
        given: the inputs ``[n, …]`` in the file's order.
        targets: what the teacher makes of them, for each pair; none if it is asked in the step, or does not count.
        labels: ``[n, …]``; none without.
    """

    given: tuple[Any, ...]
    targets: tuple[Any, ...]
    labels: tuple[Any, ...]


Augment = Callable[[Batch, Any], Batch]
"""Changes a batch at random; the second argument is a seed ``[2]`` of integers."""


class Feed:
    """Where batches come from.

    Args:
        lifted: the network that takes them.
        data: the samples.
        targets: what the teacher makes of all samples, ``[N, …]`` for each pair; none if it is asked in the step.
        augment: changes the batches that are trained on; None: nothing does.
        seed: of every random choice.
    """

    def __init__(
        self, lifted: Lifted, data: TrainingData, targets: Sequence[Array], augment: Augment | None, seed: int
    ) -> None:
        self._lifted, self._data, self._targets, self._seed = lifted, data, targets, seed
        # Traced once: each epoch, and each trial of a learning rate, has a dataset of its own.
        self._augment = None if augment is None else tf.function(augment, autograph=False)
        self._inputs = [(value.dtype, value.shape[1:]) for value in lifted.model.inputs]

    def epoch(self, number: int, size: int) -> Any:
        """All samples that are trained on, in the order of an epoch: batches of ``size``, the last may be smaller."""
        order = np.random.default_rng([self._seed, 1, number]).permutation(self._data.trained)
        made = self.of(order, size)
        if self._augment is None:
            return made.prefetch(2)
        counted = made.enumerate()
        augment = self._augment
        first = tf.constant(self._seed * 1_000_003 + number, tf.int64)
        return counted.map(lambda step, batch: augment(batch, tf.stack([first, step]))).prefetch(2)

    def of(self, numbers: Indices, size: int) -> Any:
        """Samples by their numbers, as they are."""
        return tf.data.Dataset.from_tensor_slices(numbers).batch(size).map(self._read)

    def _read(self, numbers: Any) -> Batch:
        labels = self._data.labels
        kinds = [dtype for dtype, _ in self._inputs] + [tf.float32] * len(self._targets)
        shapes = [shape for _, shape in self._inputs] + [values.shape[1:] for values in self._targets]
        if labels is not None:
            kinds, shapes = [*kinds, tf.float32], [*shapes, labels.shape[1:]]
        made = tf.numpy_function(self._gather, [numbers], kinds, stateful=False)
        shaped = [tf.ensure_shape(values, [None, *shape]) for values, shape in zip(made, shapes, strict=True)]
        ends = len(self._inputs), len(self._inputs) + len(self._targets)
        return Batch(tuple(shaped[: ends[0]]), tuple(shaped[ends[0] : ends[1]]), tuple(shaped[ends[1] :]))

    def _gather(self, numbers: Indices) -> list[Array]:
        given = self._data.rows(self._lifted, numbers)
        cast = [values.astype(dtype.as_numpy_dtype) for values, (dtype, _) in zip(given, self._inputs, strict=True)]
        targets = [np.ascontiguousarray(values[numbers]) for values in self._targets]
        labels = [] if self._data.labels is None else [self._data.labels[numbers].astype(np.float32)]
        return [*cast, *targets, *labels]


def traced(compute: Callable[[Batch], Any], batches: Any) -> Any:
    """What computes any batch of a dataset, as one graph: smaller ones at the end of an epoch need no other.

    Of an unrolled network in integers a graph has tens of thousands of nodes, and takes longer than an epoch.
    """
    return tf.function(compute, input_signature=[batches.element_spec], autograph=False)
