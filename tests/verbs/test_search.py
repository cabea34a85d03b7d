"""A search for a budget on a real network: met, out of reach, from the cache, and what stands in the folder."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgekit.config import Project
from edgekit.engine.session import Session
from edgekit.engine.store import Store
from edgekit.errors import InputError
from edgekit.nouns import manifest
from edgekit.nouns.quantization import Quantization
from edgekit.nouns.results import Result
from edgekit.verbs import build as verb
from edgekit.verbs.planning import plan
from tests import networks
from tests.steps.test_ladder import Told

pytestmark = pytest.mark.usefixtures("kept_workers")


def padded(path: Path) -> Path:
    """Image [1, 8, 8, 3] → pad, two convolutions, dense → softmax [1, 5]: the padding is folded, and places move."""
    net = networks.Network()
    x = net.input("image", (1, 8, 8, 3))
    around = net.constant("around", np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
    x = net.operator("PAD", [x, around], (1, 10, 10, 3), kind="PadOptions")
    stride = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
    for number, (channels, padding) in enumerate(((3, networks.VALID), (8, networks.SAME))):
        held = [
            net.constant(f"k{number}", networks.weights(8, 3, 3, channels)),
            net.constant(f"b{number}", np.zeros(8, np.float32)),
        ]
        x = net.operator(
            "CONV_2D", [x, *held], (1, 8, 8, 8), kind="Conv2DOptions", padding=padding,
            fusedActivationFunction=networks.RELU, **stride,
        )  # fmt: skip
    shape = net.constant("shape", np.array([1, 512], np.int32))
    x = net.operator("RESHAPE", [x, shape], (1, 512), kind="ReshapeOptions", newShape=[1, 512])
    dense = [net.constant("k3", networks.weights(5, 512)), net.constant("b3", np.zeros(5, np.float32))]
    x = net.operator("FULLY_CONNECTED", [x, *dense], (1, 5), kind="FullyConnectedOptions")
    x = net.operator("SOFTMAX", [x], (1, 5), name="probabilities", kind="SoftmaxOptions", beta=1.0)
    return net.save(path, x)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    path = padded(folder / "net.tflite")
    given = networks.samples(networks.signature(path), 48)
    np.savez(folder / "samples.npz", **given)
    return path


def searched(model: Path, folder: Path, **wanted: Any) -> tuple[Result, list[str]]:
    told = Told()
    project = Project(
        targets=("android",), precision="int8", calibration=str(model.parent / "samples.npz"), output_folder=str(folder)
    )
    with Session(Store(model.parent / "cache"), model.parent / "log.txt", told) as session:
        (result,) = verb.build(session, msgspec.structs.replace(project, **wanted), model)
    return result, told.lines


def files(result: Result) -> tuple[manifest.ArtifactFile, ...]:
    assert result.error is None
    found = manifest.read(result.folder / manifest.FILE_NAME)
    assert found == result.manifest
    return found.artifacts


def test_a_budget_that_is_easily_met_takes_one_rung(model: Path, tmp_path: Path) -> None:
    result, lines = searched(model, tmp_path / "out", min_sqnr=10.0, effort="normal")
    (file,) = files(result)
    assert [(rung.name, rung.met, rung.chosen) for rung in file.rungs] == [("as the target proposes", True, True)]
    assert file.verification is not None
    assert file.verification.verdict == "pass"
    assert len(lines) == 1


def test_a_budget_out_of_reach_leaves_the_best_file_and_goes_on_from_the_cache(model: Path, tmp_path: Path) -> None:
    result, _ = searched(model, tmp_path / "out", min_sqnr=150.0, effort="normal")
    (file,) = files(result)
    assert file.verification is not None
    assert file.verification.verdict == "miss"
    within = [rung.name for rung in file.rungs if rung.within]
    assert within == ["ranges", "bias correction", "learned rounding"], "the first rung has tried them"
    made = [rung for rung in file.rungs if not rung.within]
    levels = [rung.sqnr_db for rung in made if rung.sqnr_db is not None]
    assert [rung.name for rung in made[:2]] == ["as the target proposes", "equalization"]
    assert made[2].name.startswith("mixed precision")
    assert len(levels) == len(made)
    assert not any(rung.problem for rung in file.rungs)
    assert file.verification.sqnr_db == max(levels)
    assert [rung.sqnr_db for rung in file.rungs if rung.chosen] == [max(levels)]
    assert any("it would take" in warning for warning in file.warnings)
    again, _ = searched(model, tmp_path / "out", min_sqnr=150.0, effort="normal")
    assert files(again)[0].rungs == file.rungs  # seconds too: they are those of the first time


def test_what_a_compiler_builds_on_tells_what_was_tried(model: Path, tmp_path: Path) -> None:
    result, _ = searched(model, tmp_path / "out", targets=("edgetpu",), min_sqnr=150.0, effort="normal")
    (file,) = files(result)
    assert [rung.name for rung in file.rungs if rung.within] == ["ranges", "bias correction", "learned rounding"]
    assert not any(rung.name.startswith("mixed") for rung in file.rungs)


@pytest.mark.study
def test_the_result_of_an_earlier_search_stays_until_a_better_one_is_there(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float | None] = []
    real = verb.publish

    def publish(made: verb.BuiltTarget) -> Result:
        assert made.manifest is not None
        judged = made.manifest.artifacts[0].verification
        seen.append(None if judged is None else judged.sqnr_db)
        return real(made)

    monkeypatch.setattr(verb, "publish", publish)
    searched(model, tmp_path / "out", min_sqnr=150.0, effort="normal")
    levels = [level for level in seen if level is not None]
    assert len(levels) >= 2
    assert levels == sorted(levels)
    best = max(levels)
    seen.clear()
    searched(model, tmp_path / "out", min_sqnr=150.0, effort="normal")
    assert seen == [best]
    seen.clear()
    searched(model, tmp_path / "out", min_sqnr=140.0, effort="quick")  # another budget: held against the new one
    assert len(seen) == 1
    seen.clear()
    searched(model, tmp_path / "out", min_sqnr=150.0, effort="normal", io="float32")
    assert len(seen) >= 2


def test_a_search_without_a_budget_or_without_time_is_refused(model: Path) -> None:
    for wrong, place in (
        (Project(targets=("android",), effort="quick"), "--effort"),
        (Project(targets=("android",), time_limit="10m"), "--time-limit"),
        (Project(targets=("android",), time_limit="0s", calibration="x", min_sqnr=20.0), "--time-limit"),
    ):
        with pytest.raises(InputError) as caught:
            plan(wrong, model)
        assert caught.value.place == place
    timed = Project(targets=("android",), time_limit="1h30m", calibration="x", min_sqnr=20.0)
    assert (plan(timed, model).recipe.effort, plan(timed, model).recipe.time_limit_s) == ("thorough", 5400.0)


def test_an_operator_that_is_not_there_is_refused_before_the_source_runs(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(*_: object) -> None:
        raise AssertionError("the source ran")

    monkeypatch.setattr(verb.data, "prepare", prepare)
    with pytest.raises(InputError, match="no operator SOFTMAXX") as caught:
        searched(model, tmp_path / "out", quantization=Quantization(float_operators=("SOFTMAXX",)))
    assert "did you mean SOFTMAX" in caught.value.fix


def test_settings_of_quantization_that_no_file_reads_are_told(model: Path, tmp_path: Path) -> None:
    said = Quantization(weights="nearest")
    _, lines = searched(model, tmp_path / "out", precision="float16", quantization=said)
    assert lines[0] == "weights ([quantization], --set) changes nothing: only float16 is built, which is not quantized"
    _, lines = searched(model, tmp_path / "whole", quantization=said)
    assert not any("changes nothing" in line for line in lines)
