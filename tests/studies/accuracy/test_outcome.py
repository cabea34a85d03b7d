"""Paired comparisons of int8 files, and the page that they make."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.studies.accuracy import kept, page, running
from tests.studies.accuracy.outcome import Outcome, sqnr_difference, top1_difference
from tests.studies.accuracy.tasks import Task

TASK = Task(name="net", model="models/net.onnx", data=lambda _: (None, None, None), split="")


def outcome(noise: Any, classes: Any = (), **more: Any) -> Outcome:
    """Of one output whose signal is 1 for each sample."""
    return Outcome(name="", signal=[[1.0] * len(noise)], noise=[list(noise)], classes=list(classes), **more)


@pytest.mark.parametrize(
    ("won", "lost", "low", "high"), [(1, 7, -50.8, -1.34), (7, 1, 1.34, 50.8), (0, 0, -12.05, 12.05)]
)
def test_points_of_top1(won: int, lost: int, low: float, high: float) -> None:
    labels = np.ones(21, int)
    ours, theirs = labels.copy(), labels.copy()
    theirs[:won], ours[won : won + lost] = 0, 0
    found = top1_difference(outcome([1.0] * 21, ours), outcome([1.0] * 21, theirs), labels)
    assert found.difference == pytest.approx(100 * (won - lost) / 21)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.05)


def test_decibels_are_those_of_the_worst_output_on_the_same_draws() -> None:
    random = np.random.default_rng(0)
    noise = random.uniform(0.01, 0.02, 100)
    ours, theirs = (
        Outcome(name="", signal=[[1.0] * 100] * 2, noise=[(noise * factor).tolist(), [1e-6] * 100])
        for factor in (1, 10)
    )
    found = sqnr_difference(ours, theirs)
    assert ours.sqnr_db == pytest.approx(-10 * np.log10(noise.mean()))
    assert (found.low, found.difference, found.high) == pytest.approx((10, 10, 10))


def test_the_interval_of_decibels_holds_what_the_samples_leave_open() -> None:
    random = np.random.default_rng(1)
    ours, theirs = (outcome(random.exponential(0.01, 200)) for _ in range(2))
    found = sqnr_difference(ours, theirs)
    assert found.low < found.difference < found.high
    assert found.low < 0 < found.high


@pytest.mark.parametrize("form", ["as it is", "channels last", "flat"])
def test_outputs_are_told_apart_by_their_values(form: str) -> None:
    wanted = np.random.default_rng(0).standard_normal((5, 1, 3, 4, 4))
    other = np.random.default_rng(1).standard_normal(wanted.shape)
    forms = {"as it is": wanted, "channels last": np.moveaxis(wanted, 2, -1), "flat": wanted.reshape(5, -1)}
    np.testing.assert_array_equal(running.matched(wanted, [other, forms[form] + 0.0]), wanted)
    with pytest.raises(ValueError, match="48 values"):
        running.matched(wanted, [other[..., :2]])


def test_outcomes_survive_their_file_with_four_digits(tmp_path: Path) -> None:
    file, random = tmp_path / "net.jsonl", np.random.default_rng(0)
    floats, ours = (outcome(random.exponential(0.01, 50), [1] * 50) for _ in range(2))
    floats.name, ours.name = kept.FLOAT, "edgekit, auto"
    for runtime, one in (("LiteRT", floats), ("OpenVINO", ours), ("LiteRT", ours), ("LiteRT", ours)):
        kept.keep(file, runtime, one)
    found = kept.read(file)
    assert {runtime: [*ways] for runtime, ways in found.items()} == {
        "LiteRT": ["float32", "edgekit, auto"],
        "OpenVINO": ["edgekit, auto"],
    }
    for runtime in found:
        assert found[runtime]["edgekit, auto"].sqnr_db == pytest.approx(ours.sqnr_db, abs=0.01)
    assert file.read_text().count("[1.0") == 1, "the float network's squares stand there once"
    kept.drop(file, "LiteRT", "")
    assert kept.read(file)["OpenVINO"]["edgekit, auto"].sqnr_db == pytest.approx(ours.sqnr_db, abs=0.01)


def test_the_page_tells_where_a_peer_is_ahead() -> None:
    labels = np.arange(200) % 2
    right, wrong = labels, np.where(np.arange(200) < 40, 1 - labels, labels)
    floats = outcome([0.0] * 200, right)
    ways = {
        "float32": floats,
        "TFLiteConverter": outcome([0.001] * 200, right),
        "ai-edge-quantizer": outcome([0.1] * 200, right),
        "onnx2tf -oiqt": Outcome(name="", error="ValueError: no"),
        "edgekit, before": outcome([0.02] * 200, wrong),
        "edgekit, nearest": outcome([0.02] * 200, wrong),
        "edgekit, auto": outcome([0.01] * 200, wrong),
    }
    told = page.page([page.Subject(TASK, labels, {"LiteRT": ways, "OpenVINO": {}})], ["net", "other net"])
    assert "* LiteRT, all ways, of other net\n" in told
    assert "* OpenVINO, all ways, of net; other net\n" in told
    assert "* LiteRT, edgekit, bias-correction; edgekit, learned" in told
    assert "in the median network, of 1 | so far |" in told
    assert "TFLiteConverter has 20.00 points of top-1 more (proven" in told
    assert "TFLiteConverter has 10.00 dB more (proven" in told
    assert "ai-edge-quantizer has 20.00 points" in told
    assert "dB above ai-edge-quantizer's default (LiteRT) | +10.0 dB between the medians" in told
    assert "no file: ValueError: no" in told
    assert "| LiteRT | edgekit, auto | 80.00 % |  | 80.0 % | 20.0 dB |" in told
