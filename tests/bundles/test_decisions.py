"""Made-up outputs near thresholds: whoever changes a threshold sees it on them, unless nobody ever could."""

import math
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from edgekit.bundles import decisions, encoding, golden
from edgekit.bundles.facts import BundleFacts, ResultFacts
from edgekit.nouns.description import (
    ClassificationOutput,
    Description,
    DetectionOutput,
    Output,
    SegmentationOutput,
)
from edgekit.nouns.model import Signature
from edgekit.processing.decoding import decoded
from edgekit.processing.described import complete
from edgekit.processing.scores import activated
from tests.bundles.made import Maker
from tests.bundles.written import told

SEEDS = range(30)


def networks() -> Iterator[tuple[BundleFacts, Description]]:
    """With a picture, boxes of two kinds, and two outputs of any."""
    for seed in SEEDS:
        maker = Maker(seed)
        image, spec = maker.image()
        made = [maker.boxes(image.size or (1, 1)) for _ in range(2)] + [maker.output(image.size) for _ in range(2)]
        signature = Signature(inputs=(spec,), outputs=tuple(one for _, specs in made for one in specs))
        description = Description(inputs=(image,), outputs=tuple(row for row, _ in made if row is not None))
        yield told(signature, description), complete(description, signature)


def changes(one: ResultFacts) -> dict[str, Any]:
    """By key: another value that some output of a network would show."""
    row = one.row
    if isinstance(row, SegmentationOutput) and one.tensor.real and 1 in one.tensor.source_shape[1:]:
        return {"threshold": [row.threshold * 1.02, row.threshold * 0.98]}
    if isinstance(row, ClassificationOutput) and row.threshold:
        return {"threshold": [row.threshold * 1.02, row.threshold * 0.98]}
    if not isinstance(row, DetectionOutput):
        return {}
    found: dict[str, Any] = {}
    kinds = one.scored - row.background
    if row.activation != "softmax" or row.background or (kinds > 1 and row.score_threshold > 1 / kinds):
        found["score_threshold"] = [row.score_threshold * 1.02, row.score_threshold * 0.98]
    if row.max_boxes < one.candidates:
        found["max_boxes"] = [row.max_boxes - 1, row.max_boxes + 1]
    if row.suppression != "none":
        found["iou_threshold"] = [row.iou_threshold * 1.02, row.iou_threshold * 0.98]
        found["suppression"] = ["none"]
        if kinds > 2:  # with two, a share may have to be an even one
            found["suppression"].append("across" if row.suppression == "per-class" else "per-class")
    return found


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_change_of_any_threshold_shows() -> None:
    tried = set()
    for facts, description in networks():
        cases = decisions.of(facts)
        for one in facts.results:
            for key, values in changes(one).items():
                for value in values:
                    assert shows(one, description, cases, msgspec.structs.replace(one.row, **{key: value})), (one, key)
                    tried.add((type(one.row), key))
    assert len(tried) == 6


def shows(one: ResultFacts, description: Description, cases: list[decisions.Decision], changed: Output) -> bool:
    """Whether a changed row tells something else of any case."""
    other = msgspec.structs.replace(one, row=changed)

    def finals(result: ResultFacts) -> list[bytes]:
        return [golden.final(result, description, case.outputs, None).tobytes() for case in cases]

    return finals(one) != finals(other)


def test_boxes_come_back() -> None:
    """What is encoded is decoded to the same boxes, in every format."""
    formats = set()
    for facts, _ in networks():
        for one in facts.results:
            row = one.row
            if isinstance(row, DetectionOutput) and (one.size or row.coordinates == "normalized"):
                place = encoding.together(row, one.candidates, one.size)
                boxes = np.tile(np.concatenate([place.centre, place.size]), (len(place.candidates), 1))
                given = np.tile(encoding.empty(row), (one.candidates, 1))
                given[place.candidates] = encoding.encoded(boxes, place.candidates, row, one.size)
                corners = decoded(given.astype(np.float32), row, one.size)
                low, high = boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2
                wanted = np.concatenate([low, high], 1)
                assert corners[place.candidates] == pytest.approx(wanted, rel=1e-4, abs=1e-4), row
                others = np.delete(corners, place.candidates, 0)
                assert not ((others[:, 2] - others[:, 0]) * (others[:, 3] - others[:, 1])).any()
                formats.add((row.decoding, row.box_format, row.coordinates))
    assert {decoding for decoding, *_ in formats} == {"none", "ssd", "yolov3", "yolov5", "yolox", "ltrb"}
    assert len(formats) >= 12


def test_no_thresholds_no_cases() -> None:
    for facts, _ in networks():
        if not any(changes(one) or isinstance(one.row, DetectionOutput) for one in facts.results):
            assert decisions.of(facts) == []


@pytest.mark.parametrize("threshold", [0.0, 1e-3, 0.5, 1.0])
@pytest.mark.parametrize("activation", ["none", "sigmoid", "softmax"])
def test_a_score_is_on_its_side(threshold: float, activation: Any) -> None:
    for above in (True, False):
        share = decisions._near(threshold, above=above)
        found = float(activated(decisions._scores(share, 4, activation, background=True), activation)[1])
        if above or threshold > 0 or activation == "none":
            assert bool(np.float32(found) >= np.float32(threshold)) is above, (share, found)
        assert math.isfinite(found)
