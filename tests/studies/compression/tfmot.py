"""Quantization-aware training by TensorFlow's Model Optimization Toolkit, as its guide does it: the baseline beside edgekit's.

Source: https://www.tensorflow.org/model_optimization/guide/quantization/training_example
"""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as toolkit
import tf_keras

from tests.studies.compression.data import Sets

EPOCHS, BATCH, HELD_OUT = 5, 32, 0.1
"""Those of edgekit's recipe; the epoch with the least loss of the held-out part is kept, as there."""

RATES = (1e-3, 1e-4, 1e-5)
"""The learning rates that are tried for an epoch each; the guide's own is Adam's usual, the first."""


def trained(model: Path, sets: Sets, seed: int, *, labels: bool, epochs: int = EPOCHS) -> bytes:
    """An int8 file of a network.

    Args:
        model: a tf-keras network that the toolkit takes: image → scores of classes behind a softmax.
        sets: what it is trained on.
        seed: of every random choice.
        labels: train on the classes; without, on the scores of the network itself before.
        epochs: how long.
    """
    source = tf_keras.models.load_model(model, compile=False)
    order = np.random.default_rng([seed, len(sets.x)]).permutation(len(sets.x))
    x, held = sets.x[order], round(HELD_OUT * len(order))
    y = tf_keras.utils.to_categorical(sets.y[order]) if labels else source.predict(x, batch_size=256, verbose=0)
    parts = (x[held:], y[held:]), (x[:held], y[:held])
    tries = {rate: _fitted(source, parts, seed, rate, epochs=1) for rate in RATES}
    rate = min(tries, key=lambda rate: tries[rate][1])
    return _integers(_fitted(source, parts, seed, rate, epochs)[0], sets.x)


def _fitted(source: Any, parts: Any, seed: int, rate: float, epochs: int) -> tuple[Any, float]:
    """The network trained with one learning rate, and its least held-out loss."""
    tf_keras.utils.set_random_seed(seed)
    trained, held = parts
    net = toolkit.quantization.keras.quantize_model(source)
    schedule = tf_keras.optimizers.schedules.CosineDecay(rate, epochs * -(-len(trained[0]) // BATCH))
    net.compile(tf_keras.optimizers.Adam(schedule), "categorical_crossentropy")
    best, kept = float("inf"), net.get_weights()
    for _ in range(epochs):
        net.fit(*trained, batch_size=BATCH, epochs=1, verbose=0)
        loss = net.evaluate(*held, batch_size=256, verbose=0)
        if loss < best:
            best, kept = loss, net.get_weights()
    net.set_weights(kept)
    return net, best


def _integers(net: Any, x: Any) -> bytes:
    """The file that TensorFlow's converter makes, float at its border."""
    fixed = tf_keras.Input(x.shape[1:], batch_size=1)
    converter = tf.lite.TFLiteConverter.from_keras_model(tf_keras.Model(fixed, net(fixed)))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return bytes(converter.convert())
