"""Tolerances are numbers that code can hold, whatever the network gives, and wide enough for what was measured."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.bundles import tolerances
from edgekit.bundles.facts import TensorFacts
from edgekit.bundles.literals import Text
from edgekit.bundles.naming import name
from edgekit.waist.tensors import Array

NUMBERS = st.one_of(
    st.sampled_from([np.inf, -np.inf, np.nan, 3.4e38, -3.4e38, 0.0, 1e-45]), st.floats(width=32, allow_nan=True)
)

PAIRS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=6)


def tensor(dtype: str) -> TensorFacts:
    real = dtype == "float32"
    return TensorFacts(
        name=name("found", "output"), title=Text("found"), own_name=Text("found"), index=0, shape=(1, 1), dtype=dtype,
        scale=None if real else 0.1, zero_point=None if real else 0, source_shape=(1, 1), permutation=None, real=True,
    )  # fmt: skip


@given(PAIRS, st.integers(0, 500))
@pytest.mark.filterwarnings("error")
def test_any_floats(pairs: list[tuple[float, float]], operators: int) -> None:
    stored, found = (np.array(column, np.float32).reshape(-1, 1) for column in zip(*pairs, strict=True))
    limits = tolerances._model(tensor("float32"), stored, {"builtin": found}, operators)
    assert all(np.isfinite(limit) and limit >= 0 for limit in limits.values())
    msgspec.json.encode(limits)
    finite = np.isfinite(stored) & np.isfinite(found)
    seen = np.abs(stored[finite].astype(np.float64) - found[finite])
    assert (seen <= max(limits["builtin"], limits["other"])).all() or seen.max() > tolerances.MOST


@given(st.lists(st.integers(-128, 127), min_size=1, max_size=6), st.integers(-3, 3))
def test_any_integers(values: list[int], apart: int) -> None:
    stored: Array = np.array(values, np.int8).reshape(-1, 1)
    found: Array = (stored.astype(np.int64) + apart).clip(-128, 127).astype(np.int8)
    limits = tolerances._model(tensor("int8"), stored, {"reference": found}, 10)
    assert limits["same"] == 0
    assert limits["reference"] >= np.abs(stored.astype(int) - found.astype(int)).max()
    assert limits["reference"] <= max(1, 2 * abs(apart))
