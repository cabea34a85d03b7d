"""Probabilities and the classes that score highest."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgekit.processing import scores

logits = arrays.arrays(np.float32, st.integers(1, 30), elements=st.floats(-80, 80, width=32))


@given(logits)
def test_softmax_is_shares_of_one_as_float64_has_them(values: np.ndarray) -> None:
    got = scores.softmax(values)
    raised = [math.exp(float(v) - float(values.max())) for v in values]
    np.testing.assert_allclose(got, [r / sum(raised) for r in raised], rtol=1e-5, atol=1e-30)
    assert got.dtype == np.float32


@given(logits)
def test_sigmoid_never_overflows(values: np.ndarray) -> None:
    with np.errstate(over="raise"):
        got = scores.sigmoid(values)
    np.testing.assert_allclose(got, [1 / (1 + math.exp(-float(v))) for v in values], rtol=1e-6, atol=1e-37)


@given(
    arrays.arrays(np.float32, st.integers(1, 30), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0])), st.integers(1, 40)
)
def test_the_highest_come_first_and_of_equal_ones_the_first(values: np.ndarray, count: int) -> None:
    expected = sorted(range(len(values)), key=lambda i: (-values[i], i))[:count]
    assert scores.highest(values, count) == expected
    assert scores.highest(values, count, 0.5) == [i for i in expected if values[i] >= 0.5]


def test_what_is_no_number_is_no_class() -> None:
    assert scores.highest(np.array([np.nan, -1.0, 2.0], np.float32), 3) == [2, 1]


@pytest.mark.parametrize("activation", ["none", "softmax", "sigmoid"])
def test_an_activation_is_what_it_is_called(activation: str) -> None:
    values = np.array([[0.0, 1.0, -3.0]])
    expected = {"none": values, "softmax": np.exp(values) / np.exp(values).sum(), "sigmoid": 1 / (1 + np.exp(-values))}
    np.testing.assert_allclose(scores.activated(values, activation), expected[activation], rtol=1e-6)  # type: ignore[arg-type]
