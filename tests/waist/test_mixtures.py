"""Inputs between two samples."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgekit.waist.mixtures import mixtures


@given(count=st.integers(1, 40), held=st.integers(1, 9))
def test_mixtures_lie_between_two_samples(count: int, held: int) -> None:
    random = np.random.default_rng(held)
    samples = {
        "x": random.standard_normal((held, 2, 3)).astype(np.float32),
        "ids": random.integers(0, 9, (held, 4)).astype(np.int32),
    }
    made = mixtures(samples, count)
    assert not mixtures({"ids": samples["ids"]}, count)
    if held == 1:
        assert not made
        return
    assert made["x"].shape == (count, 2, 3)
    assert made["x"].dtype == np.float32
    for number, (mixed, ids) in enumerate(zip(made["x"], made["ids"], strict=True)):
        one = samples["x"][number % held]
        assert np.array_equal(ids, samples["ids"][number % held])
        apart = samples["x"] - one
        parts = ((mixed - one) * apart).sum((1, 2)) / np.maximum((apart**2).sum((1, 2)), 1e-12)
        fits = [k for k in range(held) if np.allclose(one + parts[k] * apart[k], mixed, atol=1e-5)]
        assert any(0.29 < parts[k] < 0.71 for k in fits)
