"""Agreement, metrics, verdicts: against known answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from edgekit import tensors, verify
from edgekit.errors import InputError

RNG = np.random.default_rng(0)


@given(st.floats(-60, 120), st.integers(0, 2**32 - 1))
def test_sqnr_is_the_noise_that_was_added(db: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=1000)
    noise = rng.normal(size=1000)
    noise *= np.sqrt(np.sum(signal**2) / np.sum(noise**2)) * 10 ** (-db / 20)
    assert verify.sqnr_db(signal, signal + noise) == pytest.approx(db, abs=0.01)


def test_sqnr_of_equals_and_of_nothing() -> None:
    ones, zeros = np.ones(4), np.zeros(4)
    assert verify.sqnr_db(ones, ones) == 999.0
    assert verify.sqnr_db(zeros, zeros) == 999.0
    assert verify.sqnr_db(zeros, ones) == -999.0


def test_what_is_not_finite_on_both_sides_does_not_count() -> None:
    a = np.array([1.0, np.nan, np.inf])
    assert verify.sqnr_db(a, a) == 999.0
    assert verify.sqnr_db(a, np.array([1.0, np.nan, 3.0])) == -999.0
    assert verify.sqnr_db(a, np.array([np.nan, np.nan, np.inf])) == -999.0
    assert verify.sqnr_db(np.array([np.inf]), np.array([-np.inf])) == -999.0


def test_a_wrong_transpose_with_equal_dimensions_is_far_below_the_threshold() -> None:
    values = RNG.normal(size=(4, 1, 8, 8, 8))
    assert verify.sqnr_db(values, values.transpose(0, 1, 4, 2, 3)) < 5 < verify.THRESHOLDS_DB["int8"]


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


def test_top1_and_top5() -> None:
    scores = RNG.normal(size=(200, 1, 10))
    labels = RNG.integers(0, 10, 200)
    ranks = np.argsort(-scores[:, 0], axis=1)
    assert verify.metric("top1", {"y": scores}, labels) == np.mean(ranks[:, 0] == labels)
    assert verify.metric("top5", {"y": scores}, labels) == np.mean(
        [label in r[:5] for label, r in zip(labels, ranks, strict=True)]
    )


@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2).filter(
        lambda rows: len({y for _, y in rows}) == 2
    )
)
def test_auc_is_scikit_learns(rows: list[tuple[int, bool]]) -> None:
    scores, labels = np.array([x for x, _ in rows], float), np.array([y for _, y in rows])
    got = verify.metric("auc", {"y": scores.reshape(-1, 1, 1)}, labels)
    assert got == pytest.approx(roc_auc_score(labels, scores))


def test_auc_needs_both_classes() -> None:
    with pytest.raises(InputError, match="both classes"):
        verify.metric("auc", {"y": np.zeros((3, 1, 1))}, np.ones(3))


def test_errors_of_values() -> None:
    outputs, labels = {"y": np.array([[[1.0]], [[3.0]]])}, np.array([2.0, 5.0])
    assert verify.metric("mae", outputs, labels) == 1.5
    assert verify.metric("mse", outputs, labels) == 2.5


@pytest.mark.parametrize(
    ("name", "outputs", "labels"),
    [
        ("top1", np.zeros((3, 1, 1)), np.zeros(3)),
        ("top1", np.zeros((3, 1, 4)), np.zeros((3, 4))),
        ("top1", np.zeros((3, 1, 4)), np.zeros(2)),
        ("mae", np.zeros((3, 1, 4)), np.zeros(3)),
    ],
)
def test_a_metric_that_does_not_fit_is_refused(name: str, outputs, labels) -> None:
    with pytest.raises(InputError):
        verify.metric(name, {"y": outputs}, labels)


def test_a_drop_is_a_loss_whichever_way_the_metric_points() -> None:
    worse = verify.task_metric("mae", {"y": np.zeros((2, 1, 1))}, {"y": np.ones((2, 1, 1))}, np.zeros(2))
    assert worse.drop == 1.0
    good, bad = np.array([[[1.0, 0.0]]] * 2), np.array([[[0.0, 1.0]], [[1.0, 0.0]]])
    assert verify.task_metric("top1", {"y": good}, {"y": bad}, np.zeros(2)).drop == 0.5


def test_verdicts() -> None:
    reference = {"y": RNG.normal(size=(20, 1, 4))}
    noisy = {"y": reference["y"] + 0.5 * RNG.normal(size=(20, 1, 4))}
    assert verify.judge("int8", "data", reference, reference).verdict == "pass"
    warned = verify.judge("int8", "data", reference, noisy)
    assert warned.verdict == "warn"
    assert "below 15 dB" in warned.reason
    labels = reference["y"][:, 0].argmax(axis=1)
    measured = verify.task_metric("top1", reference, noisy, labels)
    missed = verify.judge("int8", "data", reference, noisy, measured=measured, max_drop=0.0)
    assert missed.verdict == "miss"
    assert verify.judge("int4", "data", reference, reference, measured=measured, max_drop=1.0).verdict == "pass"


def test_the_worst_output_decides() -> None:
    a = {"x": np.ones((1, 1, 4)), "y": np.ones((1, 1, 4))}
    b = {"x": np.ones((1, 1, 4)), "y": np.full((1, 1, 4), 1.1)}
    assert verify.judge("int8", "data", a, b).sqnr_db == pytest.approx(20.0)


def test_outputs_larger_than_a_block_are_compared_as_one() -> None:
    random = np.random.default_rng(0)
    expected = random.standard_normal((3, 1, tensors.BLOCK // 2 + 5)).astype(np.float32)
    got = expected + np.float32(0.01) * random.standard_normal(expected.shape).astype(np.float32)
    (agreement,) = verify.compare({"y": expected}, {"y": got})
    a, b = expected.astype(np.float64), got.astype(np.float64)
    assert agreement.sqnr_db == pytest.approx(10 * np.log10((a**2).sum() / ((a - b) ** 2).sum()))
    assert agreement.max_abs_error == np.abs(a - b).max()
    assert agreement.cosine == pytest.approx((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))
