"""Detections: every form of box is decoded, and suppression keeps what scores highest."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.nouns.description import DetectionOutput
from edgekit.processing import boxes, decoding, suppression

SIZE = (96, 160)
"""Height and width of the input."""


def output(**keys: Any) -> DetectionOutput:
    return DetectionOutput(**({"name": "boxes", "suppression": "none", "score_threshold": 0.0} | keys))


def some_boxes(count: int, seed: int = 0) -> np.ndarray:
    """Left, top, right, bottom in pixels."""
    rng = np.random.default_rng(seed)
    corner, side = rng.uniform(0, 80, (count, 2)), rng.uniform(4, 60, (count, 2))
    return np.concatenate([corner, corner + side], 1).astype(np.float32)


def written(corners: np.ndarray, box_format: str) -> np.ndarray:
    left, top, right, bottom = corners.T
    x, y, w, h = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
    return np.stack(
        {"xyxy": [left, top, right, bottom], "yxyx": [top, left, bottom, right], "cxcywh": [x, y, w, h],
         "cycxhw": [y, x, h, w], "xywh": [left, top, w, h]}[box_format], 1,
    )  # fmt: skip


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("coordinates", ["normalized", "pixels"])
@pytest.mark.parametrize("box_format", ["xyxy", "yxyx", "cxcywh", "cycxhw", "xywh"])
@pytest.mark.parametrize("form", ["one output", "scores apart", "objectness", "background"])
def test_every_form_of_output_gives_the_same_boxes(
    form: str, box_format: str, coordinates: str, *, transposed: bool
) -> None:
    corners, rng = some_boxes(12), np.random.default_rng(1)
    scores = rng.uniform(0, 0.4, (12, 3)).astype(np.float32)
    classes = rng.integers(0, 3, 12)
    scores[np.arange(12), classes] = np.linspace(0.99, 0.5, 12)
    scale = np.array([SIZE[1], SIZE[0]] * 2) if coordinates == "normalized" else 1
    given_boxes = written((corners / scale).astype(np.float32), box_format)
    keys: dict[str, Any] = {"box_format": box_format, "coordinates": coordinates, "transposed": transposed}
    parts = [given_boxes, scores]
    if form == "objectness":
        keys, parts = keys | {"objectness": True}, [given_boxes, np.full((12, 1), 0.5, np.float32), scores * 2]
    if form == "background":
        keys, parts = keys | {"background": True}, [given_boxes, np.full((12, 1), 0.999, np.float32), scores]
    if form == "scores apart":
        outputs = {"boxes": given_boxes, "scores": scores}
        keys |= {"scores": "scores"}
    else:
        outputs = {"boxes": np.concatenate(parts, 1)}
    outputs = {name: (values.T if transposed else values)[np.newaxis] for name, values in outputs.items()}
    found = boxes.detect(output(**keys), outputs, SIZE)
    np.testing.assert_allclose(found.corners, corners, atol=2e-3)
    np.testing.assert_array_equal(found.classes, classes)
    np.testing.assert_allclose(found.scores, np.linspace(0.99, 0.5, 12), atol=1e-6)


def test_a_network_that_ends_with_suppression_is_taken_as_it_is() -> None:
    corners = some_boxes(4) / [160, 96, 160, 96]
    outputs = {
        "boxes": written(corners, "yxyx")[np.newaxis], "scores": np.array([[0.9, 0.8, 0.7, 0.6]]),
        "classes": np.array([[3.0, 0.0, 3.0, 1.0]], np.float32), "count": np.array([3.0]),
    }  # fmt: skip
    told = output(box_format="yxyx", scores="scores", classes="classes", count="count", score_threshold=0.75)
    found = boxes.detect(told, outputs, SIZE)
    assert found.classes.tolist() == [3, 0]
    every = boxes.detect(output(box_format="yxyx", scores="scores", classes="classes", count="count"), outputs, SIZE)
    assert every.classes.tolist() == [3, 0, 3]
    np.testing.assert_allclose(every.corners, some_boxes(4)[:3], atol=1e-3)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("kind", ["yolov3", "yolov5", "yolox", "ltrb"])
def test_grids_are_decoded_cell_by_cell(kind: str) -> None:
    strides = (16, 32)
    sizes = (((10.0, 13.0), (33.0, 23.0)), ((60.0, 45.0), (90.0, 30.0))) if kind.startswith("yolov") else ()
    each = 2 if sizes else 1
    count = sum((96 // s) * (160 // s) * each for s in strides)
    raw = np.random.default_rng(0).normal(0, 1, (count, 4)).astype(np.float32)
    got = decoding.decoded(raw, output(decoding=kind, strides=strides, anchor_sizes=sizes), SIZE)
    row = 0
    for i, stride in enumerate(strides):
        for y in range(96 // stride):
            for x in range(160 // stride):
                for anchor in sizes[i] if sizes else [(0.0, 0.0)]:
                    np.testing.assert_allclose(
                        got[row], one_cell(kind, raw[row], x, y, stride, anchor), rtol=1e-4, atol=1e-3
                    )
                    row += 1
    assert row == count


def one_cell(kind: str, t: np.ndarray, x: int, y: int, stride: int, anchor: tuple[float, float]) -> list[float]:
    a, b, c, d = (float(v) for v in t)
    if kind == "ltrb":
        return [(x + 0.5 - a) * stride, (y + 0.5 - b) * stride, (x + 0.5 + c) * stride, (y + 0.5 + d) * stride]
    if kind == "yolox":
        cx, cy, w, h = (a + x) * stride, (b + y) * stride, math.exp(c) * stride, math.exp(d) * stride
    elif kind == "yolov3":
        cx, cy = (sigmoid(a) + x) * stride, (sigmoid(b) + y) * stride
        w, h = math.exp(c) * anchor[0], math.exp(d) * anchor[1]
    else:
        cx, cy = (2 * sigmoid(a) - 0.5 + x) * stride, (2 * sigmoid(b) - 0.5 + y) * stride
        w, h = (2 * sigmoid(c)) ** 2 * anchor[0], (2 * sigmoid(d)) ** 2 * anchor[1]
    return [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]


@pytest.mark.parametrize("box_format", ["cxcywh", "cycxhw"])
def test_distances_from_anchors_come_back_as_the_boxes_that_they_encode(box_format: str) -> None:
    wanted = written(some_boxes(20) / [160, 96, 160, 96], "cxcywh")
    anchors = written(some_boxes(20, seed=1) / [160, 96, 160, 96], "cxcywh")
    centre = (wanted[:, :2] - anchors[:, :2]) / anchors[:, 2:] / 0.1
    extent = np.log(wanted[:, 2:] / anchors[:, 2:]) / 0.2
    encoded = np.concatenate([centre, extent], 1).astype(np.float32)
    encoded = encoded if box_format == "cxcywh" else encoded[:, [1, 0, 3, 2]]
    told = output(decoding="ssd", anchors=tuple(map(tuple, anchors.tolist())), box_format=box_format)
    np.testing.assert_allclose(decoding.decoded(encoded, told, SIZE), some_boxes(20), atol=1e-2)


boxes_ = st.lists(st.tuples(*[st.integers(0, 12)] * 4), min_size=1, max_size=14)


def iou(a: Any, b: Any) -> float:
    """By counting unit squares."""

    def squares(box: Any) -> set[tuple[int, int]]:
        return {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}

    union = squares(a) | squares(b)
    return len(squares(a) & squares(b)) / len(union) if union else 0.0


@given(boxes_, st.sampled_from([0.3, 0.5, 0.7]), st.integers(1, 20), st.integers(0, 5))
@settings(max_examples=150, deadline=None)
def test_suppression_keeps_a_box_unless_a_better_one_of_its_class_covers_it(
    given_boxes: Any, limit: float, most: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    scores, groups = rng.integers(0, 5, len(given_boxes)) / 4, rng.integers(0, 2, len(given_boxes))
    kept: list[int] = []
    for i in sorted(range(len(given_boxes)), key=lambda i: (-scores[i], i)):
        close = [iou(given_boxes[i], given_boxes[k]) for k in kept if groups[k] == groups[i]]
        if all(abs(o - limit) > 1e-6 and o <= limit for o in close):
            kept.append(i)
        elif any(abs(o - limit) <= 1e-6 for o in close):
            return  # on the edge: float32 decides
    got = suppression.suppressed(np.array(given_boxes, np.float32), scores.astype(np.float32), groups, limit, most)
    assert got == kept[:most]


def test_suppression_within_classes_and_across_them() -> None:
    same = np.array([[0, 0, 10, 10, 0.9, 0.1], [0, 0, 10, 10, 0.2, 0.8], [0, 0, 10, 9, 0.7, 0.0]], np.float32)
    told = {"coordinates": "pixels", "score_threshold": 0.25}
    per_class = boxes.detect(output(suppression="per-class", **told), {"boxes": same[np.newaxis]}, SIZE)
    assert per_class.classes.tolist() == [0, 1]
    across = boxes.detect(output(suppression="across", **told), {"boxes": same[np.newaxis]}, SIZE)
    assert across.classes.tolist() == [0]
    assert len(boxes.detect(output(max_boxes=2, **told), {"boxes": same[np.newaxis]}, SIZE).scores) == 2
    nan = np.full_like(same, np.nan)
    assert len(boxes.detect(output(**told), {"boxes": nan[np.newaxis]}, SIZE).scores) == 0
