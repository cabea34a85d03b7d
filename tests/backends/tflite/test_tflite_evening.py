"""Channels of activations brought nearer to one size: the same float network, and integers that err less."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgekit.backends.tflite import evening, ready
from edgekit.backends.tflite.judge import Candidate
from edgekit.backends.tflite.layerwise import fitting
from edgekit.backends.tflite.plan import QuantizationPlan, QuantizationSettings
from edgekit.backends.tflite.ready import Used
from tests import networks
from tests.backends.integers import Quantized, normal
from tests.equalization.spread import KINDS, RELU6, branched, in_a_row


@pytest.mark.parametrize(
    ("seed", "depthwise", "activation"), [(0, True, networks.RELU), (1, False, networks.RELU), (2, True, RELU6)]
)
def test_evened_channels_err_less_on_inputs_that_nobody_saw(
    tmp_path: Path, seed: int, *, depthwise: bool, activation: int
) -> None:
    waist = in_a_row(tmp_path / "model.tflite", seed, depthwise=depthwise, activation=activation)
    fresh = normal(waist, 32, seed=7)
    levels = {}
    for way in ("auto", "off"):
        made = Quantized(waist, normal(waist, 48), tmp_path / way, settings={"weights": "nearest", "equalization": way})
        levels[way] = min(made.sqnr_db(fresh).values())
        assert not any("large network" in note for note in made.made.notes)
        assert any("nearer to one size" in note for note in made.made.notes) == (way == "auto")
    assert levels["auto"] > levels["off"] + 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_samples_looked_at_again_tell_the_extremes_of_all(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waist = branched(tmp_path / "model.tflite", kind, 3)
    samples, rows = {"x": next(iter(normal(waist, 48).values()))}, np.arange(48)
    samples["x"][40] *= 4  # what is not looked at again reaches farthest
    used = Used(rows, rows[:4])
    (tmp_path / "ready").mkdir()
    form = ready.ready(waist, samples, used, 0, tmp_path / "ready", by_channel=True)
    found = {}
    for most in (1e12, 0):
        monkeypatch.setattr(evening, "LOOKED_AT_MACS", most)
        even = evening.evened(form, used, QuantizationSettings(), tmp_path / f"even{most}", 1000)
        assert even is not None
        found[most] = even.seen.activations
    assert found[0].keys() == found[1e12].keys()
    same = 0
    for tensor, one in found[1e12].items():
        few, room = found[0][tensor], 1e-4 * (one.high - one.low)
        assert few.low <= one.low + room, "a range never ends before a value that was seen"
        assert few.high >= one.high - room
        same += abs(few.low - one.low) <= room and abs(few.high - one.high) <= room
    assert same >= 0.7 * len(found[0]), "the others were moved: parts of a tensor have its range"


def test_networks_too_large_for_a_second_look_at_all_samples_are_evened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waist = branched(tmp_path / "model.tflite", "shuffles", 0)
    fresh, levels = normal(waist, 32, seed=7), []
    for most in (1e12, 0):
        monkeypatch.setattr(evening, "LOOKED_AT_MACS", most)
        made = Quantized(waist, normal(waist, 200), tmp_path / str(most), settings={"weights": "nearest"})
        assert any("nearer to one size" in note for note in made.made.notes)
        levels.append(min(made.sqnr_db(fresh).values()))
    assert levels[1] > levels[0] - 0.5


@pytest.mark.parametrize(("even_db", "place"), [(29.0, 0), (30.1, 0), (30.3, 1), (33.0, 1)])
def test_samples_that_nothing_is_fitted_to_choose_the_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, even_db: float, place: int
) -> None:
    waist = in_a_row(tmp_path / "model.tflite", 0)
    levels = {"plain": 30.0, "even": even_db}
    monkeypatch.setattr(fitting, "Holdout", lambda *_: SimpleNamespace(expected_db=lambda one: levels[one.method]))
    forms = [
        fitting.Form(
            Candidate(b"", "", name, np.zeros(1), (), QuantizationPlan(waist, lambda _: {})),
            fitting.Writer(lambda _: b"", {}, {}, wanted="nearest"),
        )
        for name in levels
    ]
    fold = fitting.Fold(np.arange(8), np.arange(8, 16))
    best, found, _ = fitting.fitted(forms, SimpleNamespace(), normal(waist, 16), fold)
    assert (found, best.method) == (place, [*levels][place])


@pytest.mark.parametrize("kind", KINDS)
def test_channels_that_are_evened_wherever_they_lie_err_less_on_inputs_that_nobody_saw(
    kind: str, tmp_path: Path
) -> None:
    waist = branched(tmp_path / "waist.tflite", kind, 0)
    fresh = normal(waist, 32, seed=7)
    levels = {}
    for way in ("auto", "off"):
        built = Quantized(
            waist, normal(waist, 48), tmp_path / way, settings={"weights": "nearest", "equalization": way}
        )
        levels[way] = min(built.sqnr_db(fresh).values())
        assert any("nearer to one size" in note for note in built.made.notes) == (way == "auto")
    assert levels["auto"] > levels["off"] + 2


def test_channels_next_to_what_stays_float_are_evened_as_well(tmp_path: Path) -> None:
    waist = branched(tmp_path / "waist.tflite", "residual", 0)
    fresh = normal(waist, 32, seed=7)
    levels = {}
    for way in ("auto", "off"):
        settings = {"weights": "nearest", "equalization": way, "float_operators": (0,)}
        built = Quantized(waist, normal(waist, 48), tmp_path / way, settings=settings)
        assert any("stays float32: CONV_2D" in note for note in built.made.notes)
        levels[way] = min(built.sqnr_db(fresh).values())
    assert levels["auto"] > levels["off"] + 2
