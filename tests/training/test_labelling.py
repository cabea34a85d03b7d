"""Where labels belong, and what they cost: of as many places as classes, one-hot, mixed, and what has no use for them."""

from typing import Any

import numpy as np
import pytest

from edgekit.errors import InputError
from edgekit.nouns.recipe import Qat
from edgekit.nouns.training import Training
from tests.lazy import Lazy

augmentation = Lazy("edgekit.training.augmentation")
feeding = Lazy("edgekit.training.feeding")
labelling = Lazy("edgekit.training.labelling")
told = Lazy("edgekit.training.unheeded")
tf, tf_keras = Lazy("tensorflow"), Lazy("tf_keras")

COUNT = 5
SHAPES = [(10,), (4, 10), (10, 10), (6, 6, 6), (3, 6, 6), (1, 4), (4, 1, 4), (2, 2)]
"""Of a sample's scores, classes last; some have as many places in a row as classes."""


def logits(shape: tuple[int, ...]) -> Any:
    return np.random.default_rng(len(shape)).standard_normal((COUNT, *shape)).astype(np.float32)


def entropy(scores: Any, shares: Any) -> Any:
    """The mean over places of the cross-entropy of shares, by its definition."""
    logs = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    return -(shares * logs).sum(-1).reshape(COUNT, -1).mean(1)


@pytest.mark.parametrize("kind", ["classes", "values"])
@pytest.mark.parametrize("column", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_numbers_of_classes_are_one_for_each_place(shape: tuple[int, ...], column: bool, kind: Any) -> None:
    numbers = np.random.default_rng(1).integers(0, shape[-1], (COUNT, *shape[:-1]))
    found = labelling.found(numbers[..., None] if column else numbers, [kind], [shape])
    assert (found.kind, found.classes) == ("classes", shape[-1])
    given = tf.constant((numbers[..., None] if column else numbers).astype(np.float32))
    right = entropy(logits(shape), np.eye(shape[-1])[numbers])
    np.testing.assert_allclose(found.loss([logits(shape)], given, 0.0), right, rtol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_mixed_labels_are_shares_of_classes(shape: tuple[int, ...]) -> None:
    numbers = np.random.default_rng(1).integers(0, shape[-1], (COUNT, *shape[:-1]))
    found = labelling.found(numbers, ["classes"], [shape])
    images = np.random.default_rng(2).standard_normal((COUNT, 8, 8, 1)).astype(np.float32)
    change = augmentation.Augmentation(["mixup"], [tf_keras.Input((8, 8, 1))], found.classes)
    given = feeding.Batch((tf.constant(images),), (), (tf.constant(numbers.astype(np.float32)),))
    batch = change(given, tf.constant([1, 2], tf.int64))
    previous = np.roll(np.arange(COUNT), 1)
    share = np.array([np.linalg.lstsq((a - b).reshape(-1, 1), (m - b).ravel())[0][0]
                      for m, a, b in zip(np.asarray(batch.given[0]), images, images[previous], strict=True)])  # fmt: skip
    hot = np.eye(shape[-1])[numbers]
    by = share.reshape(-1, *[1] * len(shape))
    right = entropy(logits(shape), by * hot + (1 - by) * hot[previous])
    np.testing.assert_allclose(found.loss([logits(shape)], batch.labels[0], 0.0), right, rtol=1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8, bool])
@pytest.mark.parametrize("shape", SHAPES)
def test_one_hot_labels_of_logits_name_classes(shape: tuple[int, ...], dtype: Any) -> None:
    """A network without a softmax does not tell whether its numbers are logits; such labels do."""
    numbers = np.random.default_rng(1).integers(0, shape[-1], (COUNT, *shape[:-1]))
    hot = np.eye(shape[-1])[numbers].astype(dtype)
    found = labelling.found(hot, ["values"], [shape])
    assert found.kind == "classes"
    right = entropy(logits(shape), np.eye(shape[-1])[numbers])
    np.testing.assert_allclose(found.loss([logits(shape)], tf.constant(hot.astype(np.float32)), 0.0), right, rtol=1e-4)


@pytest.mark.parametrize(
    "rows", [[[0, 1, 1], [1, 0, 0]], [[0, 0, 0], [1, 0, 0]], [[0, 2, -1], [1, 0, 0]], [[0.5, 0.5, 0], [1, 0, 0]]]
)
def test_what_is_not_one_hot_is_met_as_values(rows: Any) -> None:
    assert labelling.found(np.array(rows), ["values"], [(3,)]).kind == "values"


CLASSES, BOX = ("classes", (5,)), ("values", (4,))


@pytest.mark.parametrize(
    ("labels", "points", "right"),
    [
        ([0, 1, 3, 2, 3], [BOX, CLASSES], (1, "classes")),
        ([0, 1, 4, 2, 3], [BOX, CLASSES], (1, "classes")),
        ([0, 1, 4, 2, 3], [BOX, ("values", (5,))], (1, "classes")),
        ([0, 1, 0, 1, 1], [BOX, ("binary", (1,))], (1, "binary")),
        (np.eye(5), [("values", (5,)), CLASSES], (1, "classes")),
        ([20, 31, 44, 2, 3], [CLASSES, ("values", (1,))], (1, "values")),
        (logits((5,)), [CLASSES, ("values", (5,))], (1, "values")),
        (logits((4,)), [CLASSES, BOX], (1, "values")),
        ([0, 1, 4, 2, 3], [CLASSES, ("values", (1,))], (0, "classes")),
    ],
)
def test_labels_belong_to_scores_of_classes_before_other_rows_of_numbers(labels: Any, points: Any, right: Any) -> None:
    found = labelling.found(np.array(labels), *zip(*points, strict=True))
    assert (found.point, found.kind) == right


@pytest.mark.parametrize("points", [[CLASSES], [CLASSES, ("values", (10,))], [("values", (10,)), CLASSES], [BOX]])
def test_classes_that_no_scores_have_are_refused(points: Any) -> None:
    """And not looked for in an output that happens to be wide enough."""
    with pytest.raises(InputError, match="Label 9 is out of range"):
        labelling.found(np.array([0, 1, 2, 9, 3]), *zip(*points, strict=True))


@pytest.mark.parametrize(
    ("settings", "labelled", "kinds", "judged", "names"),
    [
        ({}, None, {"values"}, False, set()),
        ({"alpha": 0.9, "label_smoothing": 0.1}, None, {"classes"}, True, {"alpha", "label_smoothing"}),
        ({"alpha": 0.9, "label_smoothing": 0.1}, {"kind": "values"}, {"values"}, True, {"label_smoothing"}),
        ({"alpha": 0.9, "label_smoothing": 0.1}, {"kind": "classes"}, {"classes"}, True, set()),
        ({"momentum": 0.5, "optimizer": "adamw"}, None, {"classes"}, True, {"momentum"}),
        ({"momentum": 0.5, "optimizer": "sgd"}, None, {"classes"}, True, set()),
        ({"warmup": 0.2, "schedule": "one-cycle"}, None, {"classes"}, True, {"warmup"}),
        ({"warmup": 0.2, "schedule": "step"}, None, {"classes"}, True, set()),
        ({"patience": 3}, None, {"classes"}, False, {"patience"}),
        ({"patience": 3}, None, {"classes"}, True, set()),
        ({"rates": 4}, None, {"classes"}, False, {"rates"}),
        ({"rates": 4}, None, {"classes"}, True, set()),
        ({"rates": 1}, None, {"classes"}, False, set()),
        ({"temperature": 2.0}, None, {"values"}, True, {"temperature"}),
        ({"temperature": 2.0}, None, {"values", "binary"}, True, set()),
    ],
)
def test_settings_that_change_nothing_are_told(
    settings: Any, labelled: Any, kinds: Any, judged: bool, names: set[str]
) -> None:
    given = None if labelled is None else labelling.Labelled(0, shape=(), **labelled)
    kind = Qat if "rates" in settings else Training  # which tries several unless it is told otherwise
    found = list(told.unheeded(kind(**settings), given, kinds, judged=judged))
    assert {line.split()[0] for line in found} == names
    assert all("changes nothing: " in line for line in found)
