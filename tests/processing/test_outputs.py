"""What the outputs of one sample mean, in the picture's own pixels."""

from typing import Any

import numpy as np
import pytest

from edgekit.nouns import findings
from edgekit.nouns.description import (
    ClassificationOutput,
    Description,
    DetectionOutput,
    EmbeddingOutput,
    ImageInput,
    KeypointsOutput,
    RegressionOutput,
    SegmentationOutput,
)
from edgekit.processing import images, keypoints, masks
from edgekit.processing.outputs import interpret

IMAGE = ImageInput(name="x", size=(48, 48), channels="RGB", layout="NHWC", fit="letterbox")


def one(output: Any, values: Any, *, picture: tuple[int, int] | None = None, **others: Any) -> Any:
    placed = None
    if picture is not None:
        _, placed = images.placed(np.zeros((*picture, 3), np.uint8), IMAGE)
    described = Description(inputs=(IMAGE,), outputs=(output,))
    found = interpret(described, {output.name: np.asarray(values)} | others, placed)
    return found.findings[0]


def test_classes_have_their_labels_and_scores() -> None:
    told = ClassificationOutput(name="y", labels=("a", "b", "c"), activation="softmax", top_k=2)
    found = one(told, np.array([[0.0, np.log(3.0), 0.0]], np.float32))
    assert [(c.label, c.index) for c in found.classes] == [("b", 1), ("a", 0)]
    assert [c.score for c in found.classes] == pytest.approx([0.6, 0.2])
    assert one(ClassificationOutput(name="y", top_k=1), [[1.0, 2.0]]).classes[0].label == "1"
    assert one(ClassificationOutput(name="y", threshold=0.5), [[0.1, 0.2]]).classes == ()


def test_quantities_are_what_they_were_before_they_were_normalized() -> None:
    found = one(RegressionOutput(name="y", labels=("age",), unit="years", mean=40.0, std=10.0), [[0.5]])
    assert found.values == (findings.Quantity(label="age", value=45.0),)
    assert one(RegressionOutput(name="y"), np.zeros((1, 1000))).total == 1000


def test_an_embedding_is_normalized_if_that_is_asked_for() -> None:
    assert one(EmbeddingOutput(name="y", normalize=True), [[3.0, 4.0]]).values == pytest.approx((0.6, 0.8))
    assert one(EmbeddingOutput(name="y", normalize=True), [[0.0, 0.0]]).values == (0.0, 0.0)
    assert one(EmbeddingOutput(name="y"), [[3.0, 4.0]]).norm == 5


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_a_mask_is_the_class_with_the_highest_score_at_each_pixel(layout: Any) -> None:
    scores = np.random.default_rng(0).normal(size=(1, 5, 7, 3)).astype(np.float32)
    given = scores if layout == "NHWC" else scores.transpose(0, 3, 1, 2)
    told = SegmentationOutput(name="y", layout=layout, labels=("a", "b", "c"))
    np.testing.assert_array_equal(masks.mask(told, given), scores[0].argmax(-1))
    found = one(told, given)
    assert found.size == (5, 7)
    assert sum(c.share for c in found.classes) == pytest.approx(1)
    assert {c.label for c in found.classes} == {"a", "b", "c"}


def test_masks_of_one_score_and_of_whole_numbers() -> None:
    logits = np.array([[[[-1.0], [0.0], [2.0]]]], np.float32)
    told = SegmentationOutput(name="y", layout="NHWC", activation="sigmoid")
    assert masks.mask(told, logits).tolist() == [[0, 1, 1]]
    whole = SegmentationOutput(name="y")
    assert masks.mask(whole, np.array([[[0, 3], [2, 1]]], np.int64)).tolist() == [[0, 3], [2, 1]]


def test_boxes_and_points_are_told_in_the_pictures_pixels() -> None:
    """A picture of 100×200 lies as 24×48 in the middle of 48×48."""
    boxes = np.array([[[0.25, 0.375, 0.75, 0.625, 0.9], [-0.5, 0.0, 2.0, 1.0, 0.8]]], np.float32)
    first, second = one(DetectionOutput(name="y", labels=("cat",)), boxes, picture=(100, 200)).boxes
    assert (first.label, first.left, first.top, first.right, first.bottom) == ("cat", 50, 25, 150, 75)
    assert (second.left, second.top, second.right, second.bottom) == (0, 0, 200, 100)  # not outside of it
    (point,) = one(KeypointsOutput(name="y"), [[[0.5, 0.5]]], picture=(100, 200)).points
    assert (point.x, point.y, point.score) == (100, 50, 1)
    (point,) = one(KeypointsOutput(name="y"), [[[0.5, 0.5]]]).points
    assert (point.x, point.y) == (24, 24)  # of the input


@pytest.mark.parametrize(
    ("point_format", "coordinates", "values"),
    [("xy", "pixels", [10, 20]), ("yx", "pixels", [20, 10]), ("xys", "pixels", [10, 20, 0.5]),
     ("yxs", "normalized", [0.4, 0.2, 0.5])],
)  # fmt: skip
def test_points_in_every_order(point_format: Any, coordinates: Any, values: list[float]) -> None:
    told = KeypointsOutput(name="y", point_format=point_format, coordinates=coordinates)
    ((x, y, score),) = keypoints.points(told, np.array([[values]]), (50, 50)).tolist()
    assert (x, y) == pytest.approx((10, 20))
    assert score == (0.5 if len(values) == 3 else 1)


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_the_highest_place_of_a_heat_map_is_the_point(layout: Any) -> None:
    maps = np.zeros((1, 5, 10, 2), np.float32)
    maps[0, 1, 2, 0], maps[0, 4, 9, 1] = 0.9, 0.7
    told = KeypointsOutput(name="y", point_format="heatmap", layout=layout)
    given = maps if layout == "NHWC" else maps.transpose(0, 3, 1, 2)
    got = keypoints.points(told, given, (50, 100))
    np.testing.assert_allclose(got, [[25, 15, 0.9], [95, 45, 0.7]], rtol=1e-6)


def test_what_nobody_described_is_a_tensor_and_comes_in_the_networks_order() -> None:
    outputs = {"a": np.zeros((1, 2, 3), np.float32), "y": np.array([[1.0, 2.0]]), "b": np.array([[1, 5]])}
    found = interpret(Description(outputs=(ClassificationOutput(name="y"),)), outputs).findings
    assert [f.output for f in found] == ["a", "y", "b"]
    assert found[2] == findings.RawTensor(output="b", shape=(1, 2), dtype="int64", lowest=1.0, highest=5.0, mean=3.0)
