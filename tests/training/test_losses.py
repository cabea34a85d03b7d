"""Losses and schedules: properties that hold for all numbers."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgekit.nouns.training import Training
from tests.lazy import Lazy

losses = Lazy("edgekit.training.losses")
schedules = Lazy("edgekit.training.schedules")
tf = Lazy("tensorflow")

LOGITS = arrays(np.float32, (3, 4), elements=st.floats(-8, 8, width=32))


@settings(max_examples=25)
@given(LOGITS, LOGITS, st.floats(0.5, 8))
def test_divergences_are_0_at_equality_and_above_elsewhere(student: Any, teacher: Any, temperature: float) -> None:
    for function in (losses.divergence, losses.binary_divergence):
        assert np.abs(function(teacher, teacher, temperature)).max() < 1e-5
        assert np.min(function(student, teacher, temperature)) > -1e-5
    shifted = losses.divergence(student + 3.0, teacher - 1.0, temperature)
    np.testing.assert_allclose(shifted, losses.divergence(student, teacher, temperature), rtol=1e-2, atol=1e-4)


def test_the_divergence_is_that_of_its_definition() -> None:
    student, teacher = np.array([[0.0, 1.0, 2.0]], np.float32), np.array([[1.0, -1.0, 0.5]], np.float32)
    p, q = (np.exp(x / 2) / np.exp(x / 2).sum() for x in (teacher, student))
    np.testing.assert_allclose(losses.divergence(student, teacher, 2.0), 4 * np.sum(p * np.log(p / q)), rtol=1e-5)
    p, q = (1 / (1 + np.exp(-x / 2)) for x in (teacher, student))
    right = 4 * np.mean(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))
    np.testing.assert_allclose(losses.binary_divergence(student, teacher, 2.0), right, rtol=1e-4)


def test_smoothing_spreads_its_share() -> None:
    logits, labels = tf.constant([[2.0, 0.0, -1.0]]), tf.constant([0])
    logs = tf.nn.log_softmax(logits)[0].numpy()
    right = -(0.7 * logs[0] + 0.1 * logs.sum())
    np.testing.assert_allclose(losses.class_entropy(logits, labels, 0.3), right, rtol=1e-6)
    hot = tf.one_hot(labels, 3)
    np.testing.assert_allclose(losses.class_entropy(logits, hot, 0.3), right, rtol=1e-6)


@pytest.mark.parametrize("name", ["constant", "step", "exponential", "cosine", "cyclical", "one-cycle", "plateau"])
def test_schedules_stay_within_the_largest_and_reach_it(name: Any) -> None:
    chosen = Training(schedule=name, epochs=10, learning_rate=0.1, warmup=0.1)
    made = schedules.schedule(chosen, 20, tf.Variable(1.0))
    rates = np.array([made(tf.constant(step, tf.int64)) for step in range(200)])
    assert rates.min() >= 0
    assert 0.09 < rates.max() <= 0.1 + 1e-6
    if name in {"cosine", "exponential", "step", "one-cycle"}:
        assert rates[-1] < 0.02
    if name not in {"cyclical", "one-cycle"}:
        assert np.all(np.diff(rates[:20]) > 0)  # the warm-up


def test_a_plateau_lowers_after_its_patience() -> None:
    plateau = schedules.Plateau([1.0, 0.9])
    assert [plateau.lowers(loss) for loss in (0.95, 0.91, 0.91, 0.8, 0.8, 0.8)] == [
        False,
        True,
        False,
        False,
        False,
        True,
    ]
