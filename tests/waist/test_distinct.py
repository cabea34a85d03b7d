"""Indices without repetition."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgekit.waist.tensors import distinct


@given(st.lists(st.integers(1, 6), max_size=3), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_no_value_repeats_or_else_no_row(shape: list[int], below: int, seed: int) -> None:
    drawn = distinct(np.random.default_rng(seed), tuple(shape), below)
    size, last = int(np.prod(shape)), shape[-1] if shape else 1
    if drawn is None:
        assert size > below
        assert last == 1 or last > 4 or size // last > below**last
        return
    assert drawn.shape == tuple(shape)
    assert 0 <= drawn.min() <= drawn.max() < below
    if size <= below:
        assert len(np.unique(drawn)) == size
    else:
        assert len(np.unique(drawn.reshape(-1, last), axis=0)) == size // last
