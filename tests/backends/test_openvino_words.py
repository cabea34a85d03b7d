"""OpenVINO's int8 by the words that users know: ranges, weights, operators that stay float, decibels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.backends.openvino import control
from edgekit.backends.openvino.libraries import CORE
from edgekit.backends.openvino.settings import NncfSettings
from edgekit.engine.worker import Worker
from edgekit.errors import InputError, Unsupported
from edgekit.nouns.building import Job
from tests import networks
from tests.backends.test_openvino import build


@pytest.fixture(scope="module")
def waist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return networks.classifier(tmp_path_factory.mktemp("words") / "waist.tflite")


def job(waist: Path, **settings: Any) -> Job:
    return networks.job(waist, "int8", calibration=networks.samples(networks.signature(waist), 48), settings=settings)


@pytest.mark.parametrize(
    ("settings", "written"),
    [
        ({"weights": "nearest"}, "'disable_bias_correction': True"),
        ({"weights": "bias-correction"}, '<fast_bias_correction value="True" />'),
        ({"weights": "learned", "ranges": "p99.9"}, '<fast_bias_correction value="False" />'),
        ({"weights": "nearest", "ranges": "minmax", "per_channel": False}, "'per_channel': False"),
    ],
)
def test_words_reach_nncf(worker: Worker, waist: Path, tmp_path: Path, settings: dict[str, Any], written: str) -> None:
    made = build(worker, job(waist, **settings), tmp_path / "out")
    assert written in (tmp_path / "out" / "model.xml").read_text()
    assert not any("biases are" in note for note in made.notes)


def test_the_better_way_to_correct_biases_stays(worker: Worker, waist: Path, tmp_path: Path) -> None:
    made = build(worker, job(waist), tmp_path / "out")
    (told,) = [note for note in made.notes if note.startswith("biases are")]
    levels = {
        "at once": float(told.split("at once ")[1].split()[0]),
        "by layer": float(told.split("by layer ")[1].split()[0]),
    }
    better = max(levels, key=lambda way: levels[way])
    assert told.split(":")[0].endswith(better) or levels["at once"] == levels["by layer"]


def test_named_operators_stay_float(worker: Worker, waist: Path, tmp_path: Path) -> None:
    kinds = {}
    for name, settings in {"all": {}, "some": {"float_operators": ["MATMUL"]}}.items():
        made = build(worker, job(waist, weights="nearest", **settings), tmp_path / name)
        kinds[name] = {p.status for p in made.placements if p.operator == "FullyConnected"}
    assert kinds["all"] <= {"u8", "i8"}
    assert kinds["some"] == {"f32"}
    for wrong, error in ((["MATML"], InputError), ([3], Unsupported)):
        with pytest.raises(error, match=r"no operator MATML|3 names none"):
            build(worker, job(waist, float_operators=wrong), tmp_path / "wrong")


def test_operators_leave_int8_for_decibels_but_not_most_of_them(worker: Worker, waist: Path, tmp_path: Path) -> None:
    build(worker, job(waist, weights="nearest", least_db=5.0), tmp_path / "few")
    with pytest.raises(Unsupported, match="most of the weights would have to be float"):
        build(worker, job(waist, weights="nearest", least_db=119.0), tmp_path / "most")


def test_the_closest_of_several_is_the_one_that_errs_least(waist: Path) -> None:
    floats = CORE.read_model(str(waist))
    samples = [{floats.inputs[0].any_name: np.full(floats.inputs[0].shape, v, np.float32)} for v in (0.1, 0.7)]
    chosen, levels = control.closest(floats, {"a": floats, "b": floats.clone()}, samples)
    assert (chosen, levels) == ("a", {"a": control.MOST_DB, "b": control.MOST_DB})
    assert control.closest(floats, {"b": floats}, samples) == ("b", {})
    assert control.is_small(floats)


def test_what_a_target_says_of_biases_stands() -> None:
    assert NncfSettings().biases == ("bias-correction", "learned")
    assert NncfSettings(fast_bias_correction=True).biases == ("bias-correction",)
    assert NncfSettings(fast_bias_correction=False).biases == ("learned",)
    assert NncfSettings(fast_bias_correction=False, weights="nearest").biases == ("nearest",)
    assert NncfSettings(ranges="least-squares", range_estimator="nncf").estimator == "histogram"
