"""How close outputs come: against known answers."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit import verify
from edgekit.errors import InputError
from edgekit.nouns.verification import Budget, Made
from edgekit.verify import agreement
from edgekit.waist import tensors
from edgekit.waist.tensors import sqnr_db

RNG = np.random.default_rng(0)


@given(st.floats(-60, 120), st.integers(0, 2**32 - 1))
def test_sqnr_is_the_noise_that_was_added(db: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=1000)
    noise = rng.normal(size=1000)
    noise *= np.sqrt(np.sum(signal**2) / np.sum(noise**2)) * 10 ** (-db / 20)
    assert sqnr_db(signal, signal + noise) == pytest.approx(db, abs=0.01)


def test_sqnr_of_equals_and_of_nothing() -> None:
    ones, zeros = np.ones(4), np.zeros(4)
    assert sqnr_db(ones, ones) == 999.0
    assert sqnr_db(zeros, zeros) == 999.0
    assert sqnr_db(zeros, ones) == -999.0


def test_what_is_not_finite_on_both_sides_does_not_count() -> None:
    a = np.array([1.0, np.nan, np.inf])
    assert sqnr_db(a, a) == 999.0
    assert sqnr_db(a, np.array([1.0, np.nan, 3.0])) == -999.0
    assert sqnr_db(a, np.array([np.nan, np.nan, np.inf])) == -999.0
    assert sqnr_db(np.array([np.inf]), np.array([-np.inf])) == -999.0


def test_a_wrong_transpose_with_equal_dimensions_is_far_below_the_threshold() -> None:
    values = RNG.normal(size=(4, 1, 8, 8, 8))
    assert sqnr_db(values, values.transpose(0, 1, 4, 2, 3)) < 5 < verify.THRESHOLDS_DB["int8"]


def test_compare_tells_identical_from_close() -> None:
    scores = RNG.normal(size=(10, 1, 5)).astype(np.float32)
    same, close = verify.compare({"a": scores, "b": scores}, {"a": scores, "b": scores + np.float32(1e-3)})
    assert same.identical
    assert same.sqnr_db is None
    assert same.top1_agreement == 1.0
    assert not close.identical
    assert close.max_abs_error == pytest.approx(1e-3, rel=1e-2)
    assert close.cosine == pytest.approx(1.0)


def test_compare_refuses_other_shapes() -> None:
    with pytest.raises(InputError, match=r"\(1, 4\).*\(1, 5\)"):
        verify.compare({"a": np.zeros((2, 1, 5))}, {"a": np.zeros((2, 1, 4))})


def test_top1_agreement_counts_equal_winners() -> None:
    expected = np.array([[[1.0, 2.0]], [[3.0, 1.0]]])
    got = np.array([[[2.0, 1.0]], [[3.0, 1.0]]])
    assert verify.compare({"y": expected}, {"y": got})[0].top1_agreement == 0.5


def test_outputs_larger_than_a_block_are_compared_as_one() -> None:
    random = np.random.default_rng(0)
    expected = random.standard_normal((3, 1, tensors.BLOCK // 2 + 5)).astype(np.float32)
    got = expected + np.float32(0.01) * random.standard_normal(expected.shape).astype(np.float32)
    (agreement,) = verify.compare({"y": expected}, {"y": got})
    a, b = expected.astype(np.float64), got.astype(np.float64)
    assert agreement.sqnr_db == pytest.approx(10 * np.log10((a**2).sum() / ((a - b) ** 2).sum()))
    assert agreement.max_abs_error == np.abs(a - b).max()
    assert agreement.cosine == pytest.approx((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))


def test_kappa_of_more_choices_than_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "MOST_CHOICES", 8)
    mask = np.zeros((1, 64), np.int32)
    other = mask.copy()
    other[0, 1] = 1  # between two that are looked at
    assert agreement.kappa(mask, other) == 1.0
    other[0, ::2] = 1
    assert agreement.kappa(mask, other) == 0.0


def steps(background: float, classes: int = 9, axis: int = 1, seed: int = 0) -> Any:
    """Shares of classes at 40 steps of 30 samples, along an axis of the output; so many steps are of class 0."""
    random = np.random.default_rng(seed)
    chosen = np.where(random.random((30, 40)) < background, 0, random.integers(0, classes, (30, 40)))
    shares = (np.eye(classes)[chosen] * 0.8 + 0.2 / classes).astype(np.float32)
    return np.moveaxis(shares[:, np.newaxis], -1, axis + 1)


def agreed(expected: Any, got: Any, shares: int | None) -> float | None:
    return verify.compare({"y": expected}, {"y": got}, {"y": Made(shares=shares)})[0].top1_agreement


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_softmax_at_every_step_chooses_there(axis: int) -> None:
    expected, other = steps(0.0, axis=axis), steps(0.0, axis=axis, seed=1)
    mixed = np.concatenate([expected[:20], other[20:]])
    wanted, chosen = (values.argmax(axis + 1) for values in (expected, mixed))
    assert agreed(expected, mixed, axis) == pytest.approx(np.mean(wanted == chosen))
    assert agreed(expected, mixed, None) is None


@pytest.mark.parametrize("classes", [2, 9, 97])
def test_what_is_found_nowhere_does_not_agree_because_most_of_it_is_background(classes: int) -> None:
    """A detector that finds no face, and a reader that reads nothing, agree at 97 of 100 places."""
    expected = steps(0.97, classes, axis=2)
    nothing = steps(1.0, classes, axis=2)
    assert agreed(expected, expected + np.float32(1e-4), 2) == 1.0
    assert agreed(expected, nothing, 2) == 0.0
    found = expected.argmax(-1) != 0
    half = np.where((found & (np.arange(30) < 15)[:, None, None])[..., None] | ~found[..., None], expected, nothing)
    assert agreed(expected, half, 2) == pytest.approx(found[:15].sum() / found.sum())
    case = verify.Case(precision="int8", origin="data", made={"y": Made(shares=2)}, budget=Budget(min_agreement=0.9))
    assert verify.judge(case, {"y": expected}, {"y": half}).verification.verdict in {"miss", "fail"}


@pytest.mark.parametrize(("share", "count"), [(0.938, 64), (0.5, 30), (0.98, 400), (0.05, 200)])
def test_an_interval_of_agreement_holds_the_true_share_of_others(share: float, count: int) -> None:
    drawn = np.random.default_rng(0).binomial(count, share, 4000) / count
    held = [low <= share <= high for low, high in (agreement.interval(float(one), count) for one in drawn)]
    assert 0.92 < np.mean(held) < 0.985


@pytest.mark.parametrize(
    ("count", "wrong", "use", "told"),
    [
        (
            64,
            4,
            "calibration",
            "93.8% of its choices in 64 samples: about 85% to 98% in new samples (95 % interval); likely less, since",
        ),
        (64, 4, "evaluation", "93.8% of its choices in 64 samples: about 85% to 98% in new samples (95 % interval)"),
        (2000, 125, "evaluation", ""),
        (64, 0, "calibration", ""),
    ],
)
def test_an_agreement_of_few_samples_is_told_with_its_interval(count: int, wrong: int, use: Any, told: str) -> None:
    expected = np.eye(10, dtype=np.float32)[np.arange(count) % 10][:, np.newaxis]
    got = expected * np.float32(0.9)
    got[:wrong] = np.roll(got[:wrong], 1, -1)
    case = verify.Case(precision="int8", origin="data", use=use)
    remarks = verify.judge(case, {"y": expected}, {"y": got}).verification.remarks
    assert told in " ".join(remarks)
    assert bool(told) == any("in new samples" in remark for remark in remarks)


def test_few_choices_beside_much_background_are_few() -> None:
    expected = np.zeros((200, 1, 100, 3), np.float32)
    expected[..., 0] = 1
    expected[:10, 0, 0] = (0, 1, 0)
    got = expected.copy()
    got[:2, 0, 0] = (0, 0, 1)
    case = verify.Case(precision="int8", origin="data", use="evaluation", made={"y": Made(shares=2)})
    remarks = " ".join(verify.judge(case, {"y": expected}, {"y": got}).verification.remarks)
    assert "agrees on 80.0% of its choices in 200 samples: about 49% to 94% in new samples" in remarks


@pytest.mark.parametrize("background", [0.0, 0.9])
def test_a_class_that_is_lost_at_its_steps_is_told_and_background_is_none(background: float) -> None:
    """Where background is found as something else, that is no class that is lost."""
    expected = steps(background, axis=2)
    got, chosen = expected.copy(), expected.argmax(-1)
    lost, extra = chosen == 5, (chosen == 0) & (np.random.default_rng(3).random(chosen.shape) < 0.02)
    for places, shown in ((lost, 3), (extra, 7)):
        got[places] = np.eye(9, dtype=np.float32)[shown]
    found = verify.compare({"y": expected}, {"y": got}, {"y": Made(shares=2)})[0].classes
    assert [(one.index, one.agreement) for one in found] == [(5, 0.0)]
    assert found[0].samples == lost.sum()
