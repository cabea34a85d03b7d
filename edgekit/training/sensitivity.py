"""How much each layer's weights move what a network makes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgekit.trainable.form import Lifted
from edgekit.trainable.libraries import tf
from edgekit.training import points
from edgekit.training.data import TrainingData
from edgekit.training.teaching import called, model_of

MEASURED, BATCH = 128, 32
"""Samples that are looked at, and at once."""


def of(lifted: Lifted, variables: Sequence[Any], data: TrainingData, seed: int) -> list[float]:
    """The root of the mean squared gradient of the outputs by each variable's numbers.

    Outputs are multiplied by random signs, so that the squares of a batch's gradient are on average those of its
    samples and outputs summed (Hutchinson, 1990): the diagonal of the Gauss-Newton matrix. A weight of magnitude m
    moves the outputs by about m times it.

    Args:
        lifted: the network.
        variables: its weights.
        data: the first samples are looked at.
        seed: of the signs.
    """
    model = model_of(lifted, [point.tensor for found in points.of(lifted) for point in found])
    sums, random = np.zeros(len(variables)), np.random.default_rng(seed)

    @tf.function(autograph=False, reduce_retracing=True)  # type: ignore[untyped-decorator]
    def squares(given: Any, first: Any) -> Any:
        """For each variable the mean of the squared gradient of a batch; ``first`` seeds the signs."""
        with tf.GradientTape() as tape:
            made = called(model, given)
            signs = [
                tf.sign(tf.random.stateless_uniform(tf.shape(x), [first, n], -1.0, 1.0)) for n, x in enumerate(made)
            ]
            whole = tf.add_n([tf.reduce_sum(x * s) for x, s in zip(made, signs, strict=True)])
        found = tape.gradient(whole, list(variables), unconnected_gradients="zero")
        return [tf.reduce_mean(tf.square(tf.convert_to_tensor(gradient))) for gradient in found]

    chosen = data.trained[:MEASURED]
    for start in range(0, len(chosen), BATCH):
        given = data.rows(lifted, chosen[start : start + BATCH])
        sums += [float(value) for value in squares(given, int(random.integers(1 << 30)))]
    return [float(value) for value in np.sqrt(sums)]
