"""Probes: what they hold, what they show."""

import numpy as np
import pytest

from edgekit.verify import probes
from edgekit.verify.probes import Probed

IMAGES = np.random.default_rng(0).uniform(-1, 3, (5, 1, 4, 4, 3)).astype(np.float32)


def test_probes_stay_within_the_samples_and_indices_stay_what_they_are() -> None:
    pixels = np.random.default_rng(0).integers(20, 200, (5, 1, 6), dtype=np.uint8)
    ids = np.arange(15).reshape(5, 3)
    made = probes.of({"image": IMAGES, "pixels": pixels, "ids": ids, "flag": np.ones((5,), bool)})
    assert next(iter(made)) == probes.FIRST
    assert list(made)[-1] == probes.AGAIN
    for name, probe in made.items():
        assert probe["image"].dtype == np.float32
        assert min(IMAGES.min(), 0) <= probe["image"].min() <= probe["image"].max() <= IMAGES.max()
        assert probe["pixels"].dtype == np.uint8
        assert probe["pixels"].max() <= pixels.max()
        assert np.array_equal(probe["ids"], ids[0]), name
        assert probe["flag"]
    assert not made["all zeros"]["image"].any()
    assert np.ptp(made["the middle value"]["image"]) == 0
    assert set(made["extremes at random"]["image"].ravel()) == {IMAGES.min(), IMAGES.max()}
    assert np.array_equal(made[probes.FIRST]["image"], made[probes.AGAIN]["image"])
    assert list(probes.plain({"ids": ids})) == [probes.FIRST, "the last sample", probes.AGAIN]


def test_what_is_not_finite_counts_where_the_source_is() -> None:
    source = np.array([[[1.0, 2.0]], [[np.nan, 3.0]], [[4.0, np.inf]]])
    assert probes.not_finite({"y": source}, {"y": source}) is None
    assert probes.not_finite({"y": source}, {"y": np.nan_to_num(source)}) is None
    assert (
        probes.not_finite({"n": np.zeros((2, 1), int), "y": source}, {"n": np.ones((2, 1), int), "y": source}) is None
    )
    for bad in (np.nan, np.inf, -np.inf):
        got = np.nan_to_num(source)
        got[2, 0, 0] = bad
        assert probes.not_finite({"y": source}, {"y": got}) == ("y", 2)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, bool])
def test_state_shows_in_the_first_input_again(dtype: type) -> None:
    outputs = np.array([[0.0, 1.0], [5.0, 0.0], [0.0, 1.0]]).astype(dtype)
    assert not probes.keeps_state({"y": outputs})
    outputs[2] = [1, 1]
    assert probes.keeps_state({"y": outputs})


def test_the_order_of_summing_is_no_state_and_neither_is_nan() -> None:
    first = np.random.default_rng(0).standard_normal((1, 1000))
    assert not probes.keeps_state({"y": np.concatenate([first, first * 0, first * (1 + 1e-7)])})
    assert not probes.keeps_state({"y": np.full((3, 4), np.nan)})


def test_an_error_is_measured_against_what_an_output_has_on_samples() -> None:
    samples = {"y": np.ones((4, 1, 10)), "class": np.ones((4, 1), int)}
    source = {"y": np.stack([np.ones((1, 10)), np.zeros((1, 10))]), "class": np.array([[1], [2]])}
    got = {"y": source["y"] + [[[0.0]], [[0.01]]], "class": np.array([[1], [0]])}
    found = probes.agreement(Probed(("a sample", "all zeros"), source, got), samples)
    assert found.sqnr_db == pytest.approx(40)
    assert found.worst == "all zeros, output y"
    assert probes.agreement(Probed(("a sample", "all zeros"), source, source), samples).sqnr_db is None


@pytest.mark.parametrize(("most", "kept"), [(1, 3), (3, 3), (4, 4), (9, 8)])
def test_the_most_telling_probes_stay_where_outputs_are_large(most: int, kept: int) -> None:
    made = probes.of({"image": IMAGES}, most)
    assert len(made) == kept
    assert list(made) == [name for name in probes.of({"image": IMAGES}) if name in made]
    assert {probes.FIRST, "all zeros", probes.AGAIN} <= set(made)
    assert next(iter(made)) == probes.FIRST
    assert list(made)[-1] == probes.AGAIN


@pytest.mark.parametrize("most", range(3, 9))
def test_a_probe_is_the_same_however_many_there_are(most: int) -> None:
    samples = {"image": IMAGES, "sound": IMAGES.reshape(5, 48)}
    every, made = probes.of(samples), probes.of(samples, most)
    for name, probe in made.items():
        for input_, values in probe.items():
            assert np.array_equal(values, every[name][input_]), (name, input_)
