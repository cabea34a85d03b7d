"""A step of training beside that of the same network by hand in Keras, and one in integers beside one in floats.

Both run in one process, turn by turn.
"""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.nouns.recipe import FineTune, Qat
from tests import networks
from tests.lazy import Lazy
from tests.passes.qat.integers import quantized
from tests.training import digits

tf, tf_keras = Lazy("tensorflow"), Lazy("tf_keras")
fitting = Lazy("edgekit.training.fitting")
lifting = Lazy("edgekit.trainable.lifting")
data = Lazy("edgekit.training.data")
hooking = Lazy("edgekit.training.hooks")
qat = Lazy("edgekit.passes.qat")
forwarding = Lazy("edgekit.passes.qat.forwarding")

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


def mobilenet() -> Any:
    """A small MobileNet (Howard et al., 2017): depthwise convolutions, which integers cost most beside, since floats are cheap."""
    layers, x = tf_keras.layers, tf_keras.Input((32, 32, 3))
    given, relu6 = x, layers.ReLU(6.0)
    x = relu6(layers.Conv2D(16, 3, 2, "same")(x))
    for width, stride in ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1)):
        x = relu6(layers.DepthwiseConv2D(3, stride, "same")(x))
        x = relu6(layers.Conv2D(width, 1)(x))
    x = layers.Dense(10)(layers.GlobalAveragePooling2D()(x))
    return tf_keras.Model(given, layers.Softmax()(x))


def taking_turns(one: Any, other: Any) -> Any:
    """Seconds ``[2, turns, 2]`` of two functions that give a number, in CPU time and on the wall."""
    times: tuple[list[Any], list[Any]] = ([], [])
    for turn in range(TURNS + 3):
        for found, run in zip(times, (one, other), strict=True):
            start = time.process_time(), time.monotonic()
            float(run())
            if turn >= 3:
                found.append((time.process_time() - start[0], time.monotonic() - start[1]))
    return np.array(times)


@pytest.mark.parametrize("build", [lambda: by_hand()[0], mobilenet], ids=["resnet8", "mobilenet"])
def test_a_step_in_integers_takes_at_most_three_in_floats(build: Any, tmp_path: Path) -> None:
    waist = tmp_path / "net.tflite"
    waist.write_bytes(tf.lite.TFLiteConverter.from_keras_model(build()).convert())
    images = np.random.default_rng(0).standard_normal((2 * BATCH, 1, 32, 32, 3)).astype(np.float32)
    samples = {networks.signature(waist).inputs[0].source_name: images}
    steps = []
    for settings in (Qat(epochs=1, batch_size=BATCH, holdout=0), FineTune(epochs=1, batch_size=BATCH, holdout=0)):
        folder = tmp_path / type(settings).__name__
        folder.mkdir()
        asked = digits.task(folder, waist, settings, samples=samples)
        lifted, found, hooks = lifting.lift(waist), data.read(asked), hooking.NONE
        if isinstance(settings, Qat):
            simulation = qat.proven(quantized(waist)[0], lifted, found.some(8), settings)
            assert not simulation.by_litert
            hooks = hooking.Hooks(forward=forwarding.IntegerForward(simulation, lifted), variables=simulation.variables)
        loop = fitting.Loop(lifted, found, settings, hooks=hooks, checkpoints=folder / "checkpoints", seed=0)
        (batch, *_) = loop._feed.epoch(0, BATCH)
        steps.append(lambda loop=loop, batch=batch: loop._step(batch))
    own, plain = taking_turns(*steps)
    ratio, least = np.median(own, 0) / np.median(plain, 0), np.min(own, 0) / np.min(plain, 0)
    told = f"CPU time {ratio[0]:.3f}, wall {ratio[1]:.3f} of a step in floats; of the fastest {least}"
    sys.stderr.write(told + "\n")
    assert min(ratio[0], least[0]) <= 3, told


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
    own, plain = taking_turns(lambda: loop._step(batch), lambda: step(x, y))
    ratios = np.median(own, 0) / np.median(plain, 0)
    least = np.min(own, 0) / np.min(plain, 0)
    told = f"CPU time {ratios[0]:.3f}, wall {ratios[1]:.3f} of a step by hand; of the fastest {least}"
    sys.stderr.write(told + "\n")
    assert min(ratios[0], least[0]) <= 1.15, told
