"""How the outputs change, to first order, if a channel goes: gradients through the lifted network.

Molchanov et al., "Importance estimation for neural network pruning", CVPR 2019: the square of weights times gradients.
At a network that is its own teacher the gradient of that loss is 0, so that random projections of the outputs stand
for it, whose squared changes are the mean squared change of the outputs (as in Hutchinson's estimator of a trace).
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from edgekit.channels.budget import Ranking
from edgekit.channels.dependencies import Dependencies
from edgekit.channels.importance import ranked, summed
from edgekit.host import events
from edgekit.trainable.lifting import lift
from edgekit.waist import graph
from edgekit.waist.tensors import Array

BATCH = 8
MOST_BATCHES = 32


def by_gradients(dependencies: Dependencies, samples: Mapping[int, Array], seed: int) -> list[Ranking]:
    """The families' channels, least worth first.

    Raises:
        Unsupported: the network cannot be lifted.
    """
    from edgekit.trainable.libraries import tf  # noqa: PLC0415  with the rest of TensorFlow

    with TemporaryDirectory() as folder:
        path = Path(folder) / "prepared.tflite"
        path.write_bytes(graph.pack(dependencies.tree))
        lifted = lift(path)
    held = {place: weight for weight in lifted.weights for place in weight.tensor.places}
    origins = {place for family in dependencies.families for place in family.origins}
    weights = {place: held[at] for place in origins if (at := (0, dependencies.operand(place[:2]))) in held}
    variables = list({id(weight.variable): weight.variable for weight in weights.values()}.values())
    random, names = np.random.default_rng(seed), {t.index: t.name for t in dependencies.graph.tensors}
    worth = [np.zeros(len(family.channels)) for family in dependencies.families]
    count = min(MOST_BATCHES, -(-len(next(iter(samples.values()))) // BATCH))
    for batch in range(count):
        events.progress(batch / count, "gradients")
        given = {names[index]: values[batch * BATCH : (batch + 1) * BATCH] for index, values in samples.items()}
        gradients = dict(zip(map(id, variables), _projected(tf, lifted, given, variables, random), strict=True))
        for number, family in enumerate(dependencies.families):
            changes = np.zeros(len(family.channels))
            for place in family.origins:
                gradient = gradients[id(weights[place].variable)] if place in weights else None
                if gradient is not None:
                    weight = weights[place]
                    values = weight.values()
                    along = np.multiply(values, weight.layout.to_file(np.asarray(gradient), values.shape))
                    axes = tuple(axis for axis in range(values.ndim) if axis != place[2])
                    ids = dependencies.constants[place[:2]][place[2]]
                    changes += summed(family, ids, along.sum(axis=axes, dtype=np.float64))
            worth[number] += np.square(changes)
    return [ranked(family, worth[number]) for number, family in enumerate(dependencies.families)]


def _projected(tf: Any, lifted: Any, given: Mapping[str, Array], variables: list[Any], random: Any) -> list[Any]:
    """The gradients of a random projection of the outputs, each as large as the others."""
    with tf.GradientTape() as tape:
        made = lifted.model(lifted.given(given), training=False)
        outputs = [y for y in (made if isinstance(made, list | tuple) else [made]) if y.dtype == tf.float32]
        drawn = [random.standard_normal(y.shape).astype(np.float32) for y in outputs]
        loss = tf.add_n(
            [tf.reduce_sum(y * r) / (tf.math.reduce_std(y) + 1e-12) for y, r in zip(outputs, drawn, strict=True)]
        )
    return [None if g is None else tf.convert_to_tensor(g).numpy() for g in tape.gradient(loss, variables)]
