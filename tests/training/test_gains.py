"""Gains of training, sample by sample."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lazy import Lazy

gains = Lazy("edgekit.training.gains")


@settings(max_examples=25)
@given(st.integers(2, 300), st.floats(-1, 1), st.floats(0, 1), st.integers(0, 100))
def test_the_error_is_that_of_the_mean_of_differences(count: int, shift: float, spread: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    before = random.exponential(10, count)  # hard samples and easy ones: their own spread does not count
    apart = shift + spread * random.standard_normal(count)
    mean, error = gains.gain(before, before - apart)
    assert mean == pytest.approx(apart.mean(), abs=1e-9)
    assert error == pytest.approx(np.sqrt(np.var(apart, ddof=1) / count), abs=1e-9)


def test_one_sample_shows_nothing() -> None:
    mean, error = gains.gain(np.array([3.0]), np.array([1.0]))
    assert not mean > error


def test_losses_that_are_not_finite_give_no_gain() -> None:
    assert gains.gain(np.array([np.inf, 1.0]), np.array([np.inf, 0.5])) is None
    assert gains.gain(np.array([2.0, 1.0]), np.array([np.nan, 0.5])) is None
