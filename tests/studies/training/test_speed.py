"""A step of training beside that of the same network written by hand in Keras, in one process, turn by turn."""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.nouns.recipe import FineTune
from tests import networks
from tests.lazy import Lazy
from tests.training import digits

tf, tf_keras = Lazy("tensorflow"), Lazy("tf_keras")
fitting = Lazy("edgekit.training.fitting")
lifting = Lazy("edgekit.trainable.lifting")
data = Lazy("edgekit.training.data")
hooking = Lazy("edgekit.training.hooks")

BATCH, TURNS = 32, 15


def by_hand() -> Any:
    """ResNet-8 of MLPerf Tiny, its normalizations folded as they are in a waist."""
    layers, x = tf_keras.layers, tf_keras.Input((32, 32, 3))
    given = x
    conv = lambda x, width, size=3, stride=1: layers.Conv2D(width, size, stride, "same")(x)  # noqa: E731
    x = layers.ReLU()(conv(x, 16))
    for width, stride in ((16, 1), (32, 2), (64, 2)):
        inner = conv(layers.ReLU()(conv(x, width, 3, stride)), width)
        short = x if stride == 1 else conv(layers.AveragePooling2D(1, stride)(x), width, 1)  # see trainable-form.md
        x = layers.ReLU()(layers.Add()([inner, short]))
    x = layers.Dense(10)(layers.Flatten()(layers.AveragePooling2D(8)(x)))
    return tf_keras.Model(given, layers.Softmax()(x)), tf_keras.Model(given, x)


def test_a_step_takes_no_longer_than_one_written_by_hand(tmp_path: Path) -> None:
    whole, logits = by_hand()
    waist = tmp_path / "resnet8.tflite"
    waist.write_bytes(tf.lite.TFLiteConverter.from_keras_model(whole).convert())
    random = np.random.default_rng(0)
    images = random.standard_normal((2 * BATCH, 1, 32, 32, 3)).astype(np.float32)
    classes = random.integers(0, 10, 2 * BATCH)
    name = networks.signature(waist).inputs[0].source_name
    asked = digits.task(
        tmp_path, waist, FineTune(epochs=1, batch_size=BATCH, holdout=0), samples={name: images}, labels=classes
    )
    loop = fitting.Loop(
        lifting.lift(waist), data.read(asked), asked.settings, hooks=hooking.NONE,
        checkpoints=tmp_path / "checkpoints", seed=0,
    )  # fmt: skip
    (batch, *_) = loop._feed.epoch(0, BATCH)
    optimizer = tf_keras.optimizers.Adam(jit_compile=False)

    @tf.function
    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits(x, training=True)))
        gradients = tape.gradient(loss, logits.trainable_variables)
        optimizer.apply_gradients(zip(gradients, logits.trainable_variables, strict=True))
        return loss

    x, y = tf.constant(images[:BATCH, 0]), tf.constant(classes[:BATCH], tf.int32)
    own, plain = [], []
    for turn in range(TURNS + 3):
        for times, run in ((own, lambda: loop._step(batch)), (plain, lambda: step(x, y))):
            start = time.process_time(), time.monotonic()
            float(run())
            if turn >= 3:
                times.append((time.process_time() - start[0], time.monotonic() - start[1]))
    ratios = np.median(np.array(own), 0) / np.median(np.array(plain), 0)
    least = np.min(np.array(own), 0) / np.min(np.array(plain), 0)
    told = f"CPU time {ratios[0]:.3f}, wall {ratios[1]:.3f} of a step by hand; of the fastest {least}"
    sys.stderr.write(told + "\n")
    assert min(ratios[0], least[0]) <= 1.15, told
