"""What a backend tells of the ways that it tried: the one that it took makes the same file again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.backends.tflite import TFLiteBackend, equalization, evening, integer
from edgekit.backends.tflite.layerwise import WAYS, fitting
from edgekit.errors import Unsupported
from edgekit.nouns.building import Built, Tried
from edgekit.nouns.model import Precision
from tests import networks
from tests.backends.integers import normal
from tests.backends.tflite import test_tflite_weight_only
from tests.equalization.spread import branched

AUTO: dict[str, Any] = {"weights": "auto"}


def built(waist: Path, precision: Precision, out: Path, count: int = 48, **settings: Any) -> tuple[Built, bytes]:
    out.mkdir()
    job = networks.job(waist, precision, calibration=normal(waist, count), settings=AUTO | settings)
    made = TFLiteBackend().build(job, "model.tflite", out)
    return made, (out / "model.tflite").read_bytes()


def dense(path: Path, layers: int) -> Path:
    net = networks.Network()
    x = net.input("x", (1, 8))
    for number in range(layers):
        own = [net.constant(f"k{number}", networks.weights(8, 8)), net.constant(f"b{number}", np.ones(8, np.float32))]
        x = net.operator("FULLY_CONNECTED", [x, *own], (1, 8), kind="FullyConnectedOptions")
    return net.save(path, x)


def waist_of(kind: str, path: Path) -> Path:
    if kind == "chain":
        return test_tflite_weight_only.chain(path)
    return networks.classifier(path) if kind == "classifier" else branched(path, kind, 0)


@pytest.mark.parametrize(
    ("kind", "precision", "settings"),
    [
        ("classifier", "int8", {}),
        pytest.param("shuffles", "int8", {}, marks=pytest.mark.study),
        ("residual", "int8", {}),
        ("chain", "int8", {"per_channel": False}),
        ("residual", "int16x8", {}),
        pytest.param("chain", "int4", {}, marks=pytest.mark.study),
        ("chain", "dynamic-int8", {}),
    ],
)
def test_what_was_chosen_makes_the_same_file_again(
    kind: str, precision: Precision, settings: dict[str, Any], tmp_path: Path
) -> None:
    waist = waist_of(kind, tmp_path / "waist.tflite")
    made, content = built(waist, precision, tmp_path / "auto", **settings)
    assert {one.settings.get("weights") for one in made.tried} >= set(WAYS)
    assert sum(one.chosen for one in made.tried) == 1
    assert not any(one.problem and one.chosen for one in made.tried)
    again, same = built(waist, precision, tmp_path / "again", **settings | made.chosen)
    assert same == content
    assert again.chosen == made.chosen


def test_even_channels_can_be_asked_for(tmp_path: Path) -> None:
    waist = waist_of("shuffles", tmp_path / "waist.tflite")
    for way in ("off", "activations"):
        made, _ = built(waist, "int8", tmp_path / way, weights="nearest", equalization=way)
        assert made.chosen["equalization"] == way
        assert any("nearer to one size" in note for note in made.notes) == (way == "activations")


@pytest.mark.parametrize("way", ["on", "activations"])
@pytest.mark.parametrize("case", ["apart", "refused", "nothing"])
def test_a_form_that_comes_to_nothing_leaves_the_file_without(
    way: str, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is another network, LiteRT has no integers for it, or nothing in it can be evened."""
    path = tmp_path / "waist.tflite"
    waist = dense(path, layers=1) if case == "nothing" else waist_of("residual", path)
    _, content = built(waist, "int8", tmp_path / "off", equalization="off", weights="nearest")
    if case == "apart":
        for module in (integer, evening):
            monkeypatch.setattr(module, "SAME_DB", np.inf)
    elif case == "refused":
        monkeypatch.setattr(integer.Attempts, "run", refusing(integer.Attempts.run))
    made, same = built(waist, "int8", tmp_path / "asked", equalization=way, weights="nearest")
    assert same == content
    assert made.chosen["equalization"] == "off"
    assert f"equalization={way} comes to nothing here" in made.notes


def refusing(run: Any) -> Any:
    """`Attempts.run` for the network as it is alone."""

    def only(attempts: Any, folder: Path) -> Any:
        if folder.name in {"even", "channels"}:
            raise Unsupported("no", place="here", fix="none")
        return run(attempts, folder)

    return only


def test_even_channels_never_become_even_weights(tmp_path: Path) -> None:
    waist = waist_of("chain", tmp_path / "waist.tflite")
    made, _ = built(waist, "int8", tmp_path / "out", equalization="activations", per_channel=False)
    assert {one.settings.get("equalization") for one in made.tried if not one.problem} == {"off"}


def test_even_weights_that_nobody_fitted_cover_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search makes that file: fitted, it may be the better one."""
    monkeypatch.setattr(integer, "best", lambda files, *, whole: files[0])
    made, _ = built(waist_of("residual", tmp_path / "waist.tflite"), "int8", tmp_path / "out", per_channel=False)
    assert made.chosen["equalization"] == "off"
    assert not any(one.covers({"equalization": "on"}) for one in made.tried)


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_what_too_few_samples_cannot_do_is_told(precision: Precision, tmp_path: Path) -> None:
    waist = waist_of("chain", tmp_path / "waist.tflite")
    made, _ = built(waist, precision, tmp_path / "out", count=5)
    assert {one.settings["weights"] for one in made.tried if one.problem == fitting.NOT_FITTED} == {
        "bias-correction",
        "learned",
    }
    assert made.chosen["weights"] == "nearest"
    asked, _ = built(waist, precision, tmp_path / "asked", count=5, weights="learned")
    assert asked.notes.count(fitting.NOT_FITTED) == 1


def test_what_cannot_be_fitted_is_told_once_for_two_forms(tmp_path: Path) -> None:
    made, _ = built(waist_of("residual", tmp_path / "w.tflite"), "int8", tmp_path / "out", count=5, weights="learned")
    assert made.notes.count(fitting.NOT_FITTED) == 1
    told = [one.settings["weights"] for one in made.tried if one.problem == fitting.NOT_FITTED]
    assert sorted(told) == ["bias-correction", "learned"]


def test_a_network_too_large_to_be_fitted_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "WALK_BYTES", 1)
    waist = waist_of("chain", tmp_path / "waist.tflite")
    made, _ = built(waist, "int8", tmp_path / "out", weights="learned")
    assert fitting.TOO_LARGE in made.notes
    assert made.chosen["weights"] == "nearest"


@pytest.mark.parametrize("layers", [1, 2])
def test_what_nothing_can_be_equalized_in_is_told(layers: int, tmp_path: Path) -> None:
    made, _ = built(dense(tmp_path / "waist.tflite", layers), "int8", tmp_path / "out", weights="nearest")
    assert any(one.problem == equalization.NONE for one in made.tried) == (layers == 1)


def test_more_settings_are_covered_by_what_cannot_be_done_and_fewer_by_what_was() -> None:
    done = Tried(settings={"weights": "learned", "equalization": "off"})
    assert done.covers({"weights": "learned"})
    assert not done.covers({"weights": "nearest"})
    assert not done.covers({"weights": "learned", "equalization": "on"})
    undone = Tried(settings={"equalization": "on"}, problem="no")
    assert undone.covers({"weights": "learned", "equalization": "on"})
    assert not undone.covers({"weights": "learned"})
