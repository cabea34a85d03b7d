"""The optimizers of tf-keras, by their names in recipes."""

from collections.abc import Sequence
from typing import Any

from edgekit.nouns.training import Training
from edgekit.trainable.libraries import tf_keras


def optimizer(settings: Training, rate: Any, spared: Sequence[Any]) -> Any:
    """An optimizer, not built yet.

    Args:
        settings: of the training.
        rate: the schedule of the learning rate.
        spared: variables that AdamW does not decay: biases, and what normalizes.
    """
    known, plain = tf_keras.optimizers, {"learning_rate": rate, "jit_compile": False}
    if settings.optimizer == "sgd":
        return known.SGD(momentum=settings.momentum, **plain)
    if settings.optimizer == "rmsprop":
        return known.RMSprop(momentum=settings.momentum, **plain)
    if settings.optimizer == "adam":
        return known.Adam(**plain)
    made = known.AdamW(weight_decay=settings.weight_decay, **plain)
    made.exclude_from_weight_decay(var_list=list(spared))
    return made
