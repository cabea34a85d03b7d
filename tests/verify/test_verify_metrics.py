"""Task metrics against known answers, and what chance gives."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit import verify
from edgekit.errors import InputError
from edgekit.verify import metrics
from tests.lazy import Lazy

scikit: Any = Lazy("sklearn.metrics")

RNG = np.random.default_rng(0)


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
    assert got == pytest.approx(scikit.roc_auc_score(labels, scores))


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


@pytest.mark.parametrize("name", ["top1", "top5", "auc"])
def test_one_hot_labels_are_the_classes_that_they_mark(name: str) -> None:
    classes = 2 if name == "auc" else 8
    scores, labels = RNG.normal(size=(50, 1, classes)), np.arange(50) % classes
    rows = np.eye(classes, dtype=np.float32)[labels]
    assert verify.metric(name, {"y": scores}, rows) == verify.metric(name, {"y": scores}, labels)


def test_rows_that_mark_no_class_or_several_are_no_labels_of_classes() -> None:
    for rows in (np.zeros((3, 4)), np.ones((3, 4)), np.full((3, 4), 0.25)):
        with pytest.raises(InputError, match="one label for each sample"):
            verify.metric("top1", {"y": np.zeros((3, 1, 4))}, rows)


@given(st.integers(2, 20), st.integers(0, 2**32 - 1))
def test_labels_off_by_one_are_no_better_than_chance_and_are_named(classes: int, seed: int) -> None:
    right = np.random.default_rng(seed).permutation(np.arange(100) % classes)
    scores = {"y": np.eye(classes)[right][:, None]}
    measured = verify.task_metric("top1", scores, scores, right + 1)
    assert metrics.is_chance(measured, measured.source)
    assert metrics.odd_labels("top1", scores, right + 1) == (
        f"labels run from 1 to {classes}, but the output has classes 0 to {classes - 1}"
    )
    measured = verify.task_metric("top1", scores, scores, right)
    assert metrics.is_skilled(measured)
    assert not metrics.is_chance(measured, measured.source)
    assert not metrics.odd_labels("top1", scores, right)


@pytest.mark.parametrize("name", ["mae", "mse"])
def test_values_are_measured_against_the_labels_own_middle(name: str) -> None:
    labels = RNG.normal(size=(40, 1))
    middle = np.median(labels) if name == "mae" else labels.mean()
    constant = {"y": np.full((40, 1, 1), middle)}
    measured = verify.task_metric(name, constant, {"y": labels[:, None]}, labels)
    assert measured.chance == pytest.approx(measured.source)
    assert metrics.is_chance(measured, measured.source + 1e-9)
    assert not metrics.is_chance(measured, measured.artifact)
    assert verify.task_metric(name, constant, constant, np.full((40, 1), 3.0)).chance is None


MASKS = np.array([[[0, 0, 1], [2, 255, 1]], [[1, 1, 1], [0, 0, 2]]])


def shaped(values: np.ndarray, layout: str) -> np.ndarray:
    """Scores ``[N, 1, ...]`` of three classes that are highest for the given ones."""
    scores = np.eye(3)[values % 3][:, None]
    return scores if layout == "NHWC" else np.moveaxis(scores, -1, 2)


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_miou_of_class_scores(layout: str) -> None:
    given = MASKS.copy()
    given[0, 0, 0] = 1  # one of four pixels of class 0, one more of class 1
    given[0, 1, 1] = 2  # nobody says what is there
    expected = np.mean([3 / 4, 5 / 6, 1.0])
    assert verify.metric("miou", {"y": shaped(given, layout)}, MASKS) == pytest.approx(expected)
    assert verify.metric("miou", {"y": given[:, None, ..., None]}, MASKS) == pytest.approx(expected)


@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_miou_is_scikit_learns(seed: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    labels, given = random.integers(0, classes, (2, 3, 5, 4))
    got = verify.metric("miou", {"y": given[:, None]}, labels)
    assert got == pytest.approx(scikit.jaccard_score(labels.ravel(), given.ravel(), average="macro"))


@pytest.mark.parametrize(("values", "edge"), [((0.0, 0.49, 0.5, 1.0), 0.5), ((-3.0, -0.1, 0.0, 2.0), 0.0)])
def test_miou_of_one_channel(values: tuple[float, ...], edge: float) -> None:
    outputs = np.array(values).reshape(1, 1, 2, 2, 1)
    labels = (outputs >= edge).astype(int).reshape(1, 2, 2)
    assert verify.metric("miou", {"y": outputs}, labels) == 1


def test_miou_refuses_other_shapes() -> None:
    with pytest.raises(InputError, match="miou compares masks"):
        verify.metric("miou", {"y": np.zeros((2, 1, 4, 4, 3))}, MASKS)
    with pytest.raises(InputError, match="No label names a class"):
        verify.metric("miou", {"y": shaped(MASKS, "NHWC")}, np.full_like(MASKS, 255))


def test_miou_by_chance_and_odd_labels() -> None:
    outputs = {"y": shaped(MASKS, "NHWC")}
    assert metrics.chance("miou", outputs, MASKS) == pytest.approx(5 / 11 / 3)
    assert metrics.chance("miou", outputs, np.zeros_like(MASKS)) is None
    assert metrics.odd_labels("miou", outputs, MASKS) == ""
    assert "labels run from 1 to 3" in metrics.odd_labels("miou", outputs, np.where(MASKS == 255, 255, MASKS + 1))
