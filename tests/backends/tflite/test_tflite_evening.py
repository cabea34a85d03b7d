"""Channels of activations brought nearer to one size: the same float network, and integers that err less."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgekit.backends.tflite import evening, ready
from edgekit.backends.tflite.judge import Candidate
from edgekit.backends.tflite.layerwise import fitting
from edgekit.backends.tflite.plan import QuantizationPlan, QuantizationSettings
from edgekit.backends.tflite.ready import Used
from tests import networks
from tests.backends.integers import Quantized, normal
from tests.backends.tflite import test_tflite_tracing

RELU, RELU6 = 1, 3


def apart(path: Path, seed: int, *, activation: int = RELU, depthwise: bool = True) -> Path:
    """Convolutions in a row whose activations have channels up to 30:1 apart, which the layers behind make up for."""
    random = np.random.default_rng(seed)
    sizes = 10 ** random.uniform(-1.5, 0, 16)
    net = networks.Network()
    x = net.input("x", (1, 8, 8, 3))
    options: dict[str, Any] = {
        "strideH": 1,
        "strideW": 1,
        "padding": networks.SAME,
        "fusedActivationFunction": activation,
    }
    options |= {"dilationHFactor": 1, "dilationWFactor": 1}

    def constants(name: str, weights: Any, count: int) -> list[int]:
        return [net.constant(f"{name}k", weights.astype(np.float32)), net.constant(f"{name}b", np.zeros(count, "f"))]

    first = random.standard_normal((16, 3, 3, 3)) * sizes[:, None, None, None] / 3
    h = net.operator("CONV_2D", [x, *constants("a", first, 16)], (1, 8, 8, 16), kind="Conv2DOptions", **options)
    if depthwise:
        middle = random.standard_normal((1, 3, 3, 16))
        depth = options | {"depthMultiplier": 1, "kind": "DepthwiseConv2DOptions"}
        h = net.operator("DEPTHWISE_CONV_2D", [h, *constants("d", middle, 16)], (1, 8, 8, 16), **depth)
    last = random.standard_normal((8, 1, 1, 16)) / sizes
    linear = options | {"fusedActivationFunction": 0}
    return net.save(
        path, net.operator("CONV_2D", [h, *constants("z", last, 8)], (1, 8, 8, 8), kind="Conv2DOptions", **linear)
    )


@pytest.mark.parametrize(("seed", "depthwise", "activation"), [(0, True, RELU), (1, False, RELU), (2, True, RELU6)])
def test_evened_channels_err_less_on_inputs_that_nobody_saw(
    tmp_path: Path, seed: int, *, depthwise: bool, activation: int
) -> None:
    waist = apart(tmp_path / "model.tflite", seed, depthwise=depthwise, activation=activation)
    fresh = normal(waist, 32, seed=7)
    levels = {}
    for way in ("auto", "off"):
        made = Quantized(waist, normal(waist, 48), tmp_path / way, settings={"weights": "nearest", "equalization": way})
        levels[way] = min(made.sqnr_db(fresh).values())
        assert not any("large network" in note for note in made.made.notes)
        assert any("nearer to one size" in note for note in made.made.notes) == (way == "auto")
    assert levels["auto"] > levels["off"] + 2


@pytest.mark.parametrize("kind", test_tflite_tracing.KINDS)
def test_a_few_samples_looked_at_again_tell_the_extremes_of_all(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waist = test_tflite_tracing.made(tmp_path / "model.tflite", kind, 3)
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
    waist = test_tflite_tracing.made(tmp_path / "model.tflite", "shuffles", 0)
    fresh, levels = normal(waist, 32, seed=7), []
    for most in (1e12, 0):
        monkeypatch.setattr(evening, "LOOKED_AT_MACS", most)
        made = Quantized(waist, normal(waist, 200), tmp_path / str(most), settings={"weights": "nearest"})
        assert any("nearer to one size" in note for note in made.made.notes)
        levels.append(min(made.sqnr_db(fresh).values()))
    assert levels[1] > levels[0] - 0.5


def test_channels_go_half_of_the_way_and_those_of_zeros_stay() -> None:
    found = evening._factors(np.array([4.0, 1.0, 0.0, 1e-6]), np.full(4, 4.0))
    assert found == pytest.approx([1.0, 0.5, 1.0, 0.125])


@pytest.mark.parametrize(("even_db", "place"), [(29.0, 0), (30.1, 0), (30.3, 1), (33.0, 1)])
def test_samples_that_nothing_is_fitted_to_choose_the_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, even_db: float, place: int
) -> None:
    waist = apart(tmp_path / "model.tflite", 0)
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
