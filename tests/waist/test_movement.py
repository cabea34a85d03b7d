"""SQNR of what changes from sample to sample."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.waist import movement
from edgekit.waist.movement import varying_sqnr_db
from edgekit.waist.tensors import IDENTICAL_DB, Array, sqnr_db

RNG = np.random.default_rng(0)
MOVING = RNG.normal(size=(20, 3, 4)).astype(np.float32)


@given(offset=st.floats(-8, 8), error=st.floats(0.01, 2.0), shift=st.floats(-5, 5))
def test_neither_what_is_shared_nor_an_error_of_it_counts(offset: float, error: float, shift: float) -> None:
    noise = error * np.random.default_rng(1).normal(size=MOVING.shape)
    own, off = MOVING - MOVING.mean(0), noise - noise.mean(0)
    got = varying_sqnr_db(MOVING.astype(np.float64) + offset, MOVING + offset + noise + shift)
    assert got == pytest.approx(sqnr_db(own, own + off), abs=0.01)


def test_an_answer_that_never_changes_has_nothing() -> None:
    assert varying_sqnr_db(MOVING, np.full_like(MOVING, 3.0)) == pytest.approx(0)
    assert varying_sqnr_db(MOVING, MOVING) == IDENTICAL_DB


def test_nothing_is_told_of_few_samples_still_ones_and_integers() -> None:
    assert varying_sqnr_db(MOVING[:7], MOVING[:7] + 1) is None
    assert varying_sqnr_db(MOVING + 1000, MOVING) is None
    assert varying_sqnr_db(np.zeros((20, 3), np.float32), MOVING[:, 0, :3]) is None
    assert varying_sqnr_db(np.ones((20, 3), np.int64), np.ones((20, 3), np.int64)) is None


@pytest.mark.parametrize("block", [1, 30, 1 << 20])
def test_samples_that_are_not_finite_are_left_out(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = MOVING + 0.1 * RNG.normal(size=MOVING.shape)
    wanted = varying_sqnr_db(MOVING[2:], noisy[2:])
    broken = MOVING.copy()
    broken[0, 1, 1], broken[1] = np.nan, np.inf
    monkeypatch.setattr(movement, "BLOCK", block)
    assert varying_sqnr_db(broken, noisy) == pytest.approx(wanted)


SENSORS = np.float32([101_325, 293, 0.5]) + np.float32([200, 5, 0.2]) * RNG.normal(size=(16, 1, 3)).astype(np.float32)
PICTURE = RNG.uniform(0, 255, (1, 1, 8, 8, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (SENSORS, True),
        (SENSORS[..., 0], True),
        (np.repeat(PICTURE, 16, 0) + RNG.normal(size=(16, 1, 8, 8, 3)).astype(np.float32), False),
        (RNG.uniform(0, 255, (16, 1, 8, 8, 3)), True),
        (np.ones((16, 1, 4)), False),
        (SENSORS[:7], False),
    ],
    ids=["sensors", "one sensor", "a film", "pictures", "ones", "few"],
)
def test_inputs_move_unless_they_are_a_film_that_stands_still(values: Array, wanted: bool) -> None:
    assert movement.moves(values) == wanted
