"""Parts of outputs that are constant or clipped in an artifact, and classes that are lost behind a good average."""

from typing import Any

import numpy as np
import pytest

from edgekit import verify
from edgekit.nouns.verification import Made
from edgekit.verify.agreement import far_off
from edgekit.verify.collapse import collapsed
from edgekit.verify.parts import Compared
from edgekit.waist.tensors import dequantize, quantize

RNG = np.random.default_rng(1)


def int8(values: Any, low: float, high: float) -> Any:
    """What int8 with one range makes of a tensor."""
    scale = (high - low) / 255
    zero = int(np.rint(-128 - low / scale))
    return dequantize(quantize(values, scale, zero, "int8"), scale, zero)


def heads(axis: int, width: int = 6) -> Any:
    """Boxes in 0..416 beside ``width`` scores in 0..1, ``[40, 1, …, …]``, the heads along ``axis``."""
    boxes, scores = RNG.uniform(0, 416, (40, 1, 30, 4)), RNG.uniform(0, 0.99, (40, 1, 30, width))
    joined = np.concatenate([boxes, scores], -1).astype(np.float32)
    return joined if axis == 2 else joined.swapaxes(2, 3)


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("known", [True, False], ids=["branches", "columns"])
def test_scores_beside_boxes_are_named_as_one(axis: int, known: bool) -> None:
    values = heads(axis)
    found = collapsed(Compared(values, np.where(values < 1, 0, values)), Made(cuts={axis: (4,)}) if known else Made())
    assert [(part.name.split()[-1], part.constant, part.branch) for part in found] == [("4..9", True, known)]


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("column", [0, 3, 7])
def test_a_single_column_that_is_constant_or_clipped(axis: int, column: int) -> None:
    values = RNG.normal(size=(40, 1, 8, 25)).astype(np.float32)
    values = values if axis == 1 else values.swapaxes(2, 3)
    for constant in (True, False):
        got = values.copy()
        part = got[:, :, column] if axis == 1 else got[..., column]
        part[...] = 0.5 if constant else np.minimum(part, 0.7)
        found = collapsed(Compared(values, got), Made())
        assert [(part.name.split()[-1], part.constant) for part in found] == [(str(column), constant)]
        assert constant or 0.1 < found[0].clipped < 0.4


@pytest.mark.parametrize(
    "shape", [(1, 7), (1, 7, 30), (7, 30), (1, 3, 7, 40), (1, 8, 7, 5), (1, 3, 7, 4, 4), (1, 2000, 7)]
)
@pytest.mark.parametrize(
    "lost", ["", "constant", "unmoved", "clipped", "constant in the source", "unmoved in the source"]
)
def test_a_column_is_told_of_wherever_it_lies_and_only_if_the_source_has_more(
    shape: tuple[int, ...], lost: str
) -> None:
    axis = shape.index(7) + 1
    rng = np.random.default_rng(len(shape))
    values = rng.normal(size=(24, *shape)).astype(np.float32)
    columns = np.moveaxis(values, axis, 0)
    if "unmoved" in lost:  # such as boxes, far from one another and each hardly moved
        columns[2] = rng.uniform(0, 100, columns[2].shape[1:]) + (0 if "source" in lost else 1) * columns[2]
    if lost == "constant in the source":
        columns[2] = 3
    got = values.copy()
    worse = np.moveaxis(got, axis, 0)
    for row in worse:
        row[...] = int8(row, row.min() - 0.01, row.max() + 0.01)
    if lost == "constant":
        worse[2] = 0.25
    elif lost == "unmoved":
        worse[2] = worse[2][:1]
    elif lost == "clipped":
        worse[2] = np.minimum(worse[2], 0.2)
    found = collapsed(Compared(values, got), Made())
    expected = [("2", lost != "clipped", lost == "clipped")] if lost in {"constant", "unmoved", "clipped"} else []
    if lost == "unmoved":  # then what lies across it has lost the ends of this column, and may be called clipped
        found = tuple(part for part in found if part.constant)
    assert [(part.name.split()[-1], part.constant, part.clipped > 0) for part in found] == expected


@pytest.mark.parametrize("shape", [(12, 12, 2), (100, 4), (6, 5), (3, 40, 8)])
@pytest.mark.parametrize("kind", ["softmax", "sigmoid", "logits", "map"])
def test_places_that_are_always_alike_are_no_collapse(shape: tuple[int, ...], kind: str) -> None:
    """Background at the border, anchors that never hold anything: the source moves them by less than a step."""
    rng = np.random.default_rng(len(shape))
    logits = 2 * rng.normal(size=(20, *shape))
    always = 6 * rng.choice([-1, 1], size=shape[1:])
    logits[:, : shape[0] // 3] = always + 1e-3 * rng.normal(size=logits[:, : shape[0] // 3].shape)
    values = {
        "softmax": np.exp(logits) / np.exp(logits).sum(-1, keepdims=True),
        "sigmoid": 1 / (1 + np.exp(-logits)),
        "logits": logits,
        "map": 50 * np.tanh(logits / 4),
    }[kind].astype(np.float32)
    got = int8(values, values.min(), values.max())
    assert collapsed(Compared(values, got), Made()) == ()


def test_a_branch_that_is_the_same_for_every_sample_is_a_warning() -> None:
    values = np.concatenate([100 * np.arange(60.0).reshape(1, 30, 2) + RNG.normal(size=(40, 1, 30, 2)), heads(2)], -1)
    got = values.copy()
    got[..., :2] = np.rint(got[..., :2] / 100) * 100
    case = verify.Case(precision="int8", origin="data", made={"y": Made(cuts={2: (2,)})})
    judged = verify.judge(case, {"y": values}, {"y": got}).verification
    assert judged.verdict == "warn"
    assert "columns 0..1: constant, where the source's varies" in judged.reason


@pytest.mark.parametrize("count", [16, 24, 48])
@pytest.mark.parametrize("level_db", [16, 20, 24])
@pytest.mark.parametrize("kind", ["normal", "uniform", "rectified", "sigmoid"])
def test_noise_is_no_clipping_however_few_values_there_are(count: int, level_db: float, kind: str) -> None:
    told = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        values = {
            "normal": rng.normal(size=(count, 1, 10)),
            "uniform": rng.uniform(-1, 1, (count, 1, 10)),
            "rectified": np.maximum(rng.normal(size=(count, 1, 10)), 0),
            "sigmoid": 1 / (1 + np.exp(-3 * rng.normal(size=(count, 1, 10)))),
        }[kind].astype(np.float32)
        noise = rng.normal(size=values.shape) * np.sqrt(np.square(values).mean()) * 10 ** (-level_db / 20)
        got = int8(values + noise, (values + noise).min(), (values + noise).max())
        told += any(part.clipped for part in collapsed(Compared(values, got), Made()))
    assert told <= 1


def test_an_output_that_ends_where_the_source_goes_on_is_clipped_as_a_whole() -> None:
    values = heads(2, 1)[..., :4]
    found = collapsed(Compared(values, int8(values, 0, 200)), Made())
    assert [(part.name, part.constant) for part in found] == [("", False)]
    assert found[0].clipped == pytest.approx((values > 200 + 0.05 * 416).mean(), abs=0.01)
    case = verify.Case(precision="int8", origin="data", made={"y": Made()})
    judged = verify.judge(case, {"y": values}, {"y": int8(values, 0, 200)}).verification
    assert judged.verdict in {"warn", "fail"}
    assert "output y: clipped, 4" in judged.reason
    assert "ranges=minmax" in judged.reason


@pytest.mark.parametrize("percentile", [99.9, 100])
def test_honest_int8_is_neither(percentile: float) -> None:
    values = RNG.normal(size=(40, 1, 30, 6)).astype(np.float32)
    ends = np.percentile(values, [100 - percentile, percentile])
    assert collapsed(Compared(values, int8(values, *ends)), Made(cuts={2: (4,)})) == ()


def test_outliers_that_a_good_range_clips_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = (60, 1, 30, 8)
    values = RNG.choice([-1.0, 1.0], shape) * RNG.uniform(0.5, 1, shape)
    values[..., 3] = np.where(RNG.uniform(size=shape[:-1]) < 0.03, 1.2, values[..., 3])
    values = values.astype(np.float32)
    got = np.clip(values, -1, 1)
    assert collapsed(Compared(values, got), Made()) == ()
    monkeypatch.setattr("edgekit.verify.collapse.HARMED_DB", 40)
    assert [part.name.split()[-1] for part in collapsed(Compared(values, got), Made())] == ["3"]


@pytest.mark.parametrize("classes", [2, 6, 40])
def test_probabilities_end_at_their_last_level(classes: int) -> None:
    powers = np.exp(RNG.normal(size=(60, 1, classes), scale=8))
    values = (powers / powers.sum(-1, keepdims=True)).astype(np.float32)
    values[..., 0] = values[..., 0] / 30 + 0.96  # a column whose whole range is a few levels
    assert collapsed(Compared(values, int8(values, 0, 255 / 256)), Made()) == ()


def test_probabilities_that_nobody_raises_and_features_that_hardly_fire_are_none() -> None:
    scores = RNG.uniform(0, 0.004, (40, 1, 30, 3)).astype(np.float32)
    assert collapsed(Compared(scores, np.zeros_like(scores)), Made()) == ()
    rare = np.where(RNG.uniform(size=(40, 1, 30, 3)) < 0.02, 1.0, 0.0).astype(np.float32)
    rare[..., 0] = RNG.normal(size=(40, 1, 30))
    got = rare.copy()
    got[..., 1:] = 0
    assert collapsed(Compared(rare, got), Made()) == ()


def test_every_lost_branch_is_told_with_what_helps() -> None:
    values = np.concatenate([heads(2, 3), RNG.uniform(-3, 3, (40, 1, 30, 2))], -1).astype(np.float32)
    got = values.copy()
    got[..., 4:] = 0
    case = verify.Case(precision="int8", origin="data", made={"y": Made(cuts={2: (4, 7)})})
    judged = verify.judge(case, {"y": values}, {"y": got}).verification
    assert judged.verdict == "fail"
    for name in ("columns 4..6", "columns 7..8"):
        assert f"y, {name}: constant, where the source's varies" in judged.reason
    assert "float_operators=CONCATENATION" in judged.reason


def logits(classes: int, each: int) -> Any:
    """Sure choices, ``each`` of every class."""
    return np.repeat(np.eye(classes), each, 0)[:, None].astype(np.float32)


def test_a_class_that_is_lost_is_told_beside_the_agreement() -> None:
    expected, got = logits(10, 20), logits(10, 20)
    got[140:152] = np.roll(got[140:152], 1, -1)
    found = far_off(expected, got)
    assert [(one.index, one.samples, one.agreement) for one in found] == [(7, 20, 0.4)]
    for made, told in (({}, "whose highest value is at 7"), ({"y": Made(shares=1)}, "of class 7")):
        case = verify.Case(precision="int8", origin="data", made=made)
        judged = verify.judge(case, {"y": expected}, {"y": got}).verification
        assert judged.outputs[0].classes == found
        assert f"agrees on 94.0%, but only on 40% of the 20 {told}" in " ".join(judged.remarks)


def test_few_samples_and_even_losses_say_nothing_of_a_class() -> None:
    expected = logits(10, 20)
    even = expected.copy()
    even[::5] = np.roll(even[::5], 1, -1)
    assert far_off(expected, even) == ()
    few, got = logits(10, 4), logits(10, 4)
    got[0] = got[-1]
    assert far_off(few, got) == ()
    assert far_off(heads(2), heads(2)) == ()
