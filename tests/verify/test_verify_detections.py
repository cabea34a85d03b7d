"""Mean average precision against known answers, and those of COCO's own evaluation."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import InputError
from edgekit.nouns.description import Description, DetectionOutput, ImageInput
from edgekit.nouns.verification import MetricScore
from edgekit.steps import metric as metrics
from edgekit.verify import detections
from edgekit.verify import metrics as verify_metrics
from edgekit.verify.detections import Detector, mean_average_precision

OUTPUT = DetectionOutput(name="boxes", scores="scores", box_format="xyxy", coordinates="pixels", suppression="none")
DETECTOR = Detector(OUTPUT, (100, 200))

Row = tuple[float, float, float, float]


def given(*samples: list[tuple[Row, list[float]]]) -> dict[str, Any]:
    return {
        "boxes": np.array([[[box for box, _ in rows]] for rows in samples], np.float32).squeeze(1),
        "scores": np.array([[[score for _, score in rows]] for rows in samples], np.float32).squeeze(1),
    }


LEFT, RIGHT, OFF = (10.0, 10.0, 50.0, 50.0), (100.0, 10.0, 180.0, 90.0), (10.0, 10.0, 50.0, 40.0)


def test_what_is_found_first_counts_most() -> None:
    found = given([(LEFT, [0.9]), (RIGHT, [0.8])])
    both = np.array([[[0, *LEFT], [0, *RIGHT]]])
    assert mean_average_precision("map", DETECTOR, found, both) == 1.0
    one = np.array([[[0, *RIGHT], [-1, 0, 0, 0, 0]]])
    assert mean_average_precision("map50", DETECTOR, found, one) == pytest.approx(0.5), "a wrong one stands before it"
    twice = given([(LEFT, [0.9]), (LEFT, [0.8])])
    assert mean_average_precision("map50", DETECTOR, twice, both) == pytest.approx(51 / 101), "the second finds nothing"


def test_the_overlap_decides() -> None:
    found = given([(OFF, [0.9])])  # three quarters of the box
    label = np.array([[[0, *LEFT]]])
    assert mean_average_precision("map50", DETECTOR, found, label) == 1.0
    assert mean_average_precision("map", DETECTOR, found, label) == pytest.approx(0.6)


def test_classes_are_averaged_and_thresholds_of_the_app_do_not_count() -> None:
    found = given([(LEFT, [0.9, 0.0]), (RIGHT, [0.1, 0.01])])
    label = np.array([[[0, *LEFT], [1, *RIGHT]]])
    assert mean_average_precision("map50", DETECTOR, found, label) == pytest.approx(0.5), "a box has one class"
    assert mean_average_precision("map50", DETECTOR, given([(LEFT, [0.9, 0.0]), (RIGHT, [0.0, 0.01])]), label) == 1.0


COCO = (0.18694040674302567, 0.425366518100469)


def test_it_is_cocos() -> None:
    """Random boxes near random labels: 20 samples, 3 classes; expected are pycocotools 2.0.11's figures."""
    found, labels = near()
    assert mean_average_precision("map", DETECTOR, found, labels) == pytest.approx(COCO[0], abs=1e-6)
    assert mean_average_precision("map50", DETECTOR, found, labels) == pytest.approx(COCO[1], abs=1e-6)


def near() -> tuple[dict[str, Any], Any]:
    """Labels ``[20, 5, 5]``, and 12 boxes a sample: half of them are labels, moved a little."""
    rng = np.random.default_rng(7)
    corner = rng.integers(0, 60, (20, 5, 2))
    true = np.concatenate([corner, corner + rng.integers(8, 40, (20, 5, 2))], -1)
    kinds = rng.integers(-1, 3, (20, 5, 1))
    picked = rng.integers(0, 5, 6)
    moved = true[:, picked] + rng.integers(-3, 4, (20, 6, 4))
    wild = np.concatenate([corner, corner + 20], -1)[:, [0, 1, 2, 3, 4, 0]] + rng.integers(-20, 20, (20, 6, 4))
    wild[..., 2:] = np.maximum(wild[..., 2:], wild[..., :2] + 1)
    scores = rng.permutation(20 * 12 * 3).reshape(20, 12, 3) / 720 * 0.7 + 0.05
    scores[:, :6] += 0.4 * (np.arange(3) == kinds[:, picked])  # most of these have their label's class
    outputs = {"boxes": np.concatenate([moved, wild], 1).astype(np.float32), "scores": scores.astype(np.float32)}
    return outputs, np.concatenate([kinds, true], -1)


def test_it_reads_files_and_boxes_anywhere_are_chance(tmp_path: Path) -> None:
    outputs, label = given([(LEFT, [0.9])]), np.array([[[0, *LEFT]]])
    np.savez(tmp_path / "outputs.npz", **outputs)
    np.save(tmp_path / "labels.npy", label)
    metric = verify_metrics.of_boxes("map", DETECTOR)
    score = metric.score(tmp_path / "outputs.npz", tmp_path / "labels.npy")
    assert score == MetricScore(1.0, higher_is_better=True)
    lost = MetricScore(0.0, higher_is_better=True)
    measured = verify_metrics.compared("map", score, lost, outputs, label)
    assert measured.drop == 1.0
    assert verify_metrics.is_skilled(measured)
    assert verify_metrics.is_chance(measured, measured.artifact)


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (np.zeros(3), "compares boxes"),
        (np.array([[[0, 10, 10, 5, 50]]]), "ends before it begins"),
        (np.array([[[0, 0.1, 0.1, 0.5, 0.5]]]), "pixels of the input"),
        (np.array([[[-1, 0, 0, 0, 0]]]), "names a box"),
        (np.array([[[0, *LEFT]], [[0, *LEFT]]]), "2 labels for 1 samples"),
    ],
)
def test_labels_that_are_no_boxes(labels: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        mean_average_precision("map", DETECTOR, given([(LEFT, [0.9])]), labels)


def test_it_needs_to_know_where_boxes_are() -> None:
    with pytest.raises(InputError, match="no output is said"):
        metrics.wanted(None, "map", Description())  # type: ignore[arg-type]
    picture = ImageInput(name="image", size=(100, 200))
    made = metrics.wanted(None, "map50", Description(inputs=(picture,), outputs=(OUTPUT,)))  # type: ignore[arg-type]
    assert made.question != metrics.wanted(None, "map50", Description(outputs=(OUTPUT,))).question  # type: ignore[arg-type]
    assert set(metrics.OF_BOXES) == set(detections.OVERLAPS)
