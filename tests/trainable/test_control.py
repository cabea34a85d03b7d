"""Loops and branches: what the subgraphs compute, with their weights, for each sample."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.lazy import Lazy
from tests.networks import weights
from tests.trainable.lifted import agreement_db, samples, slopes

lifting = Lazy("edgekit.trainable.lifting")
tf = Lazy("tensorflow")

KERNEL = weights(8, 8)


def converted(path: Path, function: Any) -> Path:
    traced = tf.function(function, autograph=False).get_concrete_function(tf.TensorSpec((1, 8), tf.float32, name="x"))
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([traced]).convert())
    return path


def test_a_counted_loop_is_unrolled_with_one_set_of_weights(tmp_path: Path) -> None:
    def run(x: Any) -> Any:
        step = lambda i, y: (i + 1, tf.tanh(tf.matmul(y, KERNEL)) + x)  # noqa: E731
        return tf.while_loop(lambda i, y: i < 4, step, (tf.constant(0), x))[1]

    lifted = lifting.lift(converted(tmp_path / "loop.tflite", run))
    values = samples(lifted.path)
    assert not lifted.notes
    assert [weight.values().size for weight in lifted.weights] == [64]
    assert agreement_db(lifted, values) >= 80
    by_gradients, by_litert = slopes(lifted, tmp_path, values)
    assert by_gradients == pytest.approx(by_litert, rel=0.02)


def test_a_loop_that_waits_for_values_stops_training(tmp_path: Path) -> None:
    def run(x: Any) -> Any:
        more = lambda i, y: tf.logical_and(i < 9, tf.reduce_sum(y) < 9.0)  # noqa: E731
        return tf.while_loop(more, lambda i, y: (i + 1, y + 1.0), (tf.constant(0), tf.matmul(x, KERNEL)))[1]

    lifted = lifting.lift(converted(tmp_path / "waits.tflite", run))
    (note,) = lifted.notes
    assert note.startswith("WHILE")
    assert "stops training (how often the loop runs depends on the input); no gradient reaches" in note
    assert agreement_db(lifted, samples(lifted.path)) >= 80


def test_each_sample_takes_its_branch(tmp_path: Path) -> None:
    def run(x: Any) -> Any:
        larger = tf.reduce_sum(x) > 0
        return tf.cond(larger, lambda: tf.matmul(x, KERNEL), lambda: tf.tanh(tf.matmul(x, 2 * KERNEL)))

    lifted = lifting.lift(converted(tmp_path / "branch.tflite", run))
    values = samples(lifted.path, count=6)
    sums = np.sum(values[next(iter(values))], axis=(1, 2))
    assert (sums > 0).any()
    assert (sums < 0).any()
    assert not lifted.notes
    assert agreement_db(lifted, values) >= 80
    by_gradients, by_litert = slopes(lifted, tmp_path, values)
    assert by_gradients == pytest.approx(by_litert, rel=0.02)
