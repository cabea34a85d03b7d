"""Parts of an output: which is named, which counts, and which is left alone."""

from typing import Any

import numpy as np
import pytest

from edgekit import verify
from edgekit.nouns.verification import Made, OutputPart
from edgekit.verify import parts
from edgekit.verify.collapse import collapsed
from edgekit.waist.tensors import dequantize, quantize, sqnr_db

RNG = np.random.default_rng(0)


def int8(values: Any) -> Any:
    """What int8 with one scale makes of a tensor."""
    scale = float(np.ptp(values)) / 255
    zero = int(np.rint(-128 - values.min() / scale))
    return dequantize(quantize(values, scale, zero, "int8"), scale, zero)


def detections(axis: int, *heads: tuple[int, float, float]) -> tuple[Any, tuple[int, ...]]:
    """Heads of (width, low, high) side by side along an axis of ``[64, 1, …, …]``, and where they meet."""
    made = [RNG.uniform(low, high, (64, 1, width, 20)).astype(np.float32) for width, low, high in heads]
    joined = np.concatenate(made, axis=2)
    cuts = tuple(int(cut) for cut in np.cumsum([width for width, _, _ in heads])[:-1])
    return (joined if axis == 1 else joined.swapaxes(2, 3)), cuts


def worst(both: parts.Compared, made: Made) -> OutputPart | None:
    """The last that is told of: a lost column, if there is one."""
    return next(reversed(parts.worst(both, made)), None)


BOXES, SCORES, ANGLES = (4, 0.0, 640.0), (8, 0.0, 0.9), (2, -3.1, 3.1)


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize(
    ("heads", "lost"),
    [
        ((BOXES, SCORES), "4..11"),
        ((SCORES, BOXES), "0..7"),
        ((BOXES, ANGLES, SCORES), "6..13"),
        ((SCORES, BOXES, ANGLES), "0..7"),
        ((BOXES, (1, 0.0, 0.9)), "4"),
    ],
)
def test_a_branch_that_int8_loses_is_named_wherever_it_stands(axis: int, heads: Any, lost: str) -> None:
    values, cuts = detections(axis, *heads)
    found = worst(parts.Compared(values, int8(values)), Made(cuts={axis: cuts}))
    assert found is not None
    assert found.branch
    assert parts.is_lost(found)
    assert found.name.removeprefix("channel" if axis == 1 else "column").lstrip("s ") == lost


def test_without_a_branch_the_column_is_named() -> None:
    values, _ = detections(2, BOXES, (1, 0.0, 0.9))
    found = worst(parts.Compared(values, int8(values)), Made())
    assert found is not None
    assert (found.name, found.branch, found.constant) == ("column 4", False, True)


def test_heads_of_one_range_are_all_right_in_int8() -> None:
    values, cuts = detections(1, (4, 0.0, 1.0), (8, 0.0, 0.9))
    found = worst(parts.Compared(values, int8(values)), Made(cuts={1: cuts}))
    assert found is not None
    assert found.branch
    assert not parts.is_lost(found)
    assert worst(parts.Compared(values, int8(values)), Made()) is None


def test_classes_that_no_sample_shows_are_no_loss() -> None:
    """Of a thousand classes, 64 samples show a few; the rest stay below a step of int8."""
    logits = RNG.normal(size=(64, 1, 1000)).astype(np.float32)
    logits[np.arange(64), 0, np.arange(64)] += 14
    scores = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    assert worst(parts.Compared(scores, int8(scores)), Made()) is None


QUIET = (2, 0.0, 0.03)
"""Classes that no sample shows."""


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize(
    ("scores", "start"), [((SCORES, QUIET), 4), ((QUIET, SCORES), 4), ((SCORES, QUIET, SCORES), 4)]
)
def test_classes_that_no_sample_shows_are_no_loss_beside_boxes_in_pixels(axis: int, scores: Any, start: int) -> None:
    values, _ = detections(axis, BOXES, *scores)
    place = np.s_[:, :, start:] if axis == 1 else np.s_[:, :, :, start:]
    found = values.copy()
    found[place] = np.where(values[place] < 0.03, 0, int8(values[place]))
    both, made = parts.Compared(values, found), Made(cuts={axis: (start,)})
    judged = worst(both, made)
    assert judged is not None
    assert judged.branch
    assert not parts.is_lost(judged)
    assert not collapsed(both, made)


@pytest.mark.parametrize("heads", [(BOXES, QUIET), (QUIET, BOXES)])
def test_a_head_that_no_sample_shows_at_all_is_no_excuse(heads: Any) -> None:
    """Boxes and scores on one scale: nobody knows whether the scores are gone for good."""
    values, cuts = detections(1, *heads)
    judged = worst(parts.Compared(values, int8(values)), Made(cuts={1: cuts}))
    assert judged is not None
    assert parts.is_lost(judged)


def test_a_class_that_the_artifact_alone_raises_is_a_loss_beside_boxes() -> None:
    values, cuts = detections(1, BOXES, SCORES)
    values[:, :, 6] *= 0.03
    found = values.copy()
    found[:, :, 6] = RNG.uniform(0, 0.4, found[:, :, 6].shape)
    judged = worst(parts.Compared(values, found), Made(cuts={1: cuts}))
    assert judged is not None
    assert judged.name == "channel 6"


def test_features_that_hardly_fire_are_no_loss() -> None:
    features = np.maximum(RNG.normal(size=(64, 1, 100)), 0).astype(np.float32)
    features[:, :, 7] = 0
    features[3, :, 7] = 0.004
    assert worst(parts.Compared(features, int8(features)), Made()) is None


def test_a_branch_that_never_changes_counts_only_where_it_is_wrong() -> None:
    values, cuts = detections(1, BOXES, (2, 7.0, 7.0))
    got = values.copy()
    got[:, :, 4:] += 1e-3
    found = worst(parts.Compared(values, got), Made(cuts={1: cuts}))
    assert found is None or found.name == "channels 0..3"
    got[:, :, 4:] = 300
    found = worst(parts.Compared(values, got), Made(cuts={1: cuts}))
    assert found is not None
    assert found.name == "channels 4..5"


def test_few_values_and_rounding_are_not_judged() -> None:
    one = RNG.normal(size=(1, 1, 10)).astype(np.float32)
    assert worst(parts.Compared(one, one + np.float32(0.5)), Made()) is None
    flat = np.concatenate([RNG.normal(size=(64, 1, 3)), 1e-7 * RNG.normal(size=(64, 1, 1))], axis=-1)
    assert worst(parts.Compared(flat, np.where(np.abs(flat) < 1e-5, 0, flat + 1e-9)), Made()) is None


@pytest.mark.parametrize("block", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_sums_are_the_same_in_blocks_of_any_size(axis: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(axis)
    reference, got = random.standard_normal((2, 3, 4, 5, 6)).astype(np.float32)
    reference[reference > 1.5] = 0
    reference[0, 1, 2, 3], got[2, 0, 0, 0] = np.nan, np.inf
    reference[1, 1], got[1, 1, :2], reference[1, 2] = np.inf, np.inf, -np.inf
    monkeypatch.setattr(parts, "BLOCK", block)
    found = parts.slices(reference, got, axis)
    a, b = (
        np.moveaxis(side.astype(np.float64), axis + 1, 0).reshape(reference.shape[axis + 1], -1)
        for side in (reference, got)
    )
    known = np.isfinite(a) & np.isfinite(b)
    np.testing.assert_allclose(found.signal, np.square(a, where=known, out=np.zeros_like(a)).sum(1))
    np.testing.assert_allclose(found.noise, np.square(np.where(known, a, 0) - np.where(known, b, 0)).sum(1))
    np.testing.assert_array_equal(found.source[1], np.where(known, a, -np.inf).max(1))
    np.testing.assert_array_equal(found.got[0], np.where(known, b, np.inf).min(1))
    np.testing.assert_array_equal(found.zeros, (a == 0).sum(1))


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize(("error", "verdict"), [(0.0, "pass"), (0.1, "warn"), (0.4, "warn"), (1.0, "fail")])
def test_a_lost_column_does_not_hide_what_the_branch_has_left(axis: int, error: float, verdict: str) -> None:
    """Boxes in pixels have more energy than all scores, and one class that is lost is worse than all of them."""
    values, cuts = detections(axis, BOXES, SCORES)
    got, place = values.copy(), np.s_[:, :, 4:] if axis == 1 else np.s_[:, :, :, 4:]
    got[place] += error * RNG.choice([-1, 1], got[place].shape) * np.sqrt(np.mean(values[place] ** 2))
    if error:
        got[(*place[:-1], slice(4, 5))] = 0
    case = verify.Case(precision="int8", origin="data", made={"y": Made(cuts={axis: cuts})})
    judged = verify.judge(case, {"y": values}, {"y": got.astype(np.float32)}).verification
    assert judged.verdict == verdict
    if error:
        level = sqnr_db(values[place], got[place])
        assert judged.sqnr_db == pytest.approx(level, abs=0.1)
        assert level > 15 or f"4..11: SQNR {level:.1f} dB" in judged.reason
