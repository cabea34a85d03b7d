"""edgekit as a Python package: small builds from arrays, what they return, and what they leave behind."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import edgekit
from edgekit import api
from edgekit.api import BuildResult, ProgressEvent
from edgekit.config import Project
from edgekit.errors import InputError, Unsupported
from edgekit.measure.protocol import QUICK
from edgekit.measure.statistics import FEWEST_BLOCKS
from tests import networks

pytestmark = pytest.mark.usefixtures("kept_workers")
X = np.random.default_rng(0).random((32, 1, 8, 8, 3), dtype=np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("api")
    networks.classifier(folder / "model.tflite")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("EDGEKIT_CACHE", str(folder / "cache"))
        patch.setenv("EDGEKIT_CONFIG", str(folder / "config"))
        yield folder


def shape(folder: Path) -> tuple[int, ...]:
    """Of the network's input, without the batch."""
    return edgekit.inspect(folder / "model.tflite").model.signature.inputs[0].source_shape[1:]


@pytest.fixture(scope="module")
def samples(folder: Path) -> Any:
    return np.random.default_rng(0).random((32, *shape(folder)), dtype=np.float32)


@pytest.fixture(scope="module")
def built(folder: Path, samples: Any) -> BuildResult:
    labels = np.arange(32) % 2
    return edgekit.build(
        "model.tflite", ["android", "edgetpu"], calibration=samples, eval=(samples, labels), output="out"
    )


def test_the_names_that_edgekit_exports() -> None:
    assert edgekit.__all__ == [
        "build",
        "check",
        "compare",
        "compress",
        "devices",
        "diagnose",
        "doctor",
        "errors",
        "gate",
        "inspect",
        "profile",
        "run",
        "save_baseline",
        "targets",
        "write_report",
    ]
    assert all(callable(getattr(edgekit, name)) for name in edgekit.__all__ if name != "errors")
    assert set(edgekit.__all__) - {"errors"} == {name for name in api.__all__ if name[0].islower()}
    assert set(edgekit.__all__) < set(dir(edgekit))
    with pytest.raises(AttributeError, match="compres"):
        edgekit.compres  # type: ignore[attr-defined]  # noqa: B018


def test_every_option_of_a_project_is_a_keyword() -> None:
    named = set(inspect.signature(edgekit.build).parameters)
    told = {"input", "output", "metadata"}  # in one keyword
    keys = set(Project.__struct_fields__) - told - {"output_folder"} | {"description", "output"}
    assert named - {"cache_limit", "progress"} == keys
    assert "cache_limit" in named


def test_a_build_from_arrays(built: BuildResult, folder: Path) -> None:
    file = built["android"]["int8"]
    assert file.path == folder / "out" / "android" / "model_int8.tflite"
    assert file.path.stat().st_size == file.size_bytes
    assert file.verification is not None
    assert file.verification.samples_use == "evaluation"
    assert file.verification.sqnr_db is not None
    assert file.verification.sqnr_db > 20
    assert built["android"]["model_int8.tflite"] == file
    assert list(built) == ["android", "edgetpu"]
    assert str(folder) not in file.verification.samples_origin
    with pytest.raises(KeyError, match=r"there is no int4; the files are model_int8\.tflite"):
        built["android"]["int4"]


@pytest.mark.usefixtures("built")
def test_the_same_arrays_again_are_in_the_cache(samples: Any) -> None:
    events: list[ProgressEvent] = []
    given = {"x": samples}.get("x")
    edgekit.build(
        "model.tflite", "android", calibration=lambda: given, eval=(samples, np.arange(32) % 2),
        output="again", progress=events.append,
    )  # fmt: skip
    ends = [event for event in events if event.finished]
    assert ends
    assert all(event.from_cache for event in ends)
    assert events[-1].done == len(ends) <= events[-1].total


def test_results_print_as_the_screens_do(built: BuildResult) -> None:
    shown = str(built)
    assert "model_int8.tflite" in shown
    assert "SQNR" in shown
    assert "\x1b" not in shown
    assert repr(built) == shown
    page = built._repr_html_()
    assert page.startswith("<pre")
    assert "model_int8.tflite" in page
    assert "color: #008000" in page  # green: pass
    for other in (edgekit.targets(), edgekit.doctor(), built["android"], built["android"]["int8"]):
        assert str(other)
        assert "<pre" in other._repr_html_()


def test_an_error_of_one_target_is_in_the_result(samples: Any, folder: Path) -> None:
    result = edgekit.build(folder / "model.tflite", ["android", "edgetpu"], precision="float16", output="partly")
    assert list(result["android"]) == ["model_float16.tflite"]
    assert list(result.errors) == ["edgetpu"]
    with pytest.raises(Unsupported, match="edgetpu"):
        result["edgetpu"]
    assert "not in float16" in str(result)
    assert samples.shape[0] == 32


@pytest.mark.parametrize(
    ("wrong", "place", "fix"),
    [
        ({"max_drop": 0.1}, "max_drop", "eval"),
        ({"precision": "int9"}, "edgekit.build: precision", "did you mean int8?"),
        ({"seed": -1}, "edgekit.build: seed", ""),
        ({"calibration": np.zeros((4, 7))}, "", ""),
        ({"calibration": lambda: 1 / 0}, "calibration", ""),
        ({"metric": "top1"}, "metric", "eval=PATH"),
        ({"metric": "accuracy"}, "metric", "top1, top5, auc"),
        ({}, "calibration", 'or precision="float16"'),
        ({"calibration": X[0, 0]}, "", "x[np.newaxis]"),
        ({"calibration": [X[0, 0], X[0, 0, :5]]}, "calibration", "samples of one shape"),
        ({"targets": None}, "targets", "add targets with one of"),
    ],
    ids=["budget", "precision", "seed", "shape", "function", "labels", "name", "data", "axis", "ragged", "target"],
)
@pytest.mark.usefixtures("folder")
def test_a_wrong_option_is_named_as_the_keyword(wrong: dict[str, Any], place: str, fix: str) -> None:
    with pytest.raises(InputError) as error:
        edgekit.build("model.tflite", **{"targets": "android", **wrong})
    assert place in error.value.place
    assert fix in error.value.fix
    assert "--" not in error.value.place + error.value.fix


@pytest.mark.parametrize(
    "wrong",
    [
        {"threads": "many"},
        {"threads": 0},
        {"cores": 3},
        {"seed": -1},
        {"delegate": "tpu"},
        {"max_seconds": "many"},
        {"max_seconds": 0},
    ],
)
def test_a_wrong_setting_of_a_measurement_is_named(wrong: dict[str, Any], built: BuildResult) -> None:
    with pytest.raises(InputError) as error:
        edgekit.profile(built["android"]["int8"], quick=True, **wrong)
    assert error.value.place == f"edgekit: {next(iter(wrong))}"


def test_a_folder_that_was_built_tells_how_its_files_came_to_be(built: BuildResult) -> None:
    found = edgekit.inspect(built["android"])
    assert found.manifest == built["android"].manifest
    assert "model_int8.tflite (sha256" in str(found)
    assert "convert" in str(found)


def test_a_failed_targets_error_speaks_python(samples: Any) -> None:
    result = edgekit.build("model.tflite", "android", calibration=samples * 0 + 1, precision="int8", output="constant")
    error = result.errors["android"]
    assert "--" not in error.fix
    assert "allow_loss" in error.fix


def forms(x: Any) -> dict[str, Callable[[], Any]]:
    return {
        "array": lambda: x,
        "dict": lambda: {"input": x},
        "tuple": lambda: (x,),
        "generator": lambda: (row for row in x),
        "batches": lambda: iter((x[:20], x[20:])),
        "function": lambda: lambda: (row for row in x),
    }


@pytest.mark.parametrize("form", forms(X))
@pytest.mark.usefixtures("built")
def test_every_form_of_the_same_samples_is_the_same(form: str, samples: Any, built: BuildResult) -> None:
    name = built["android"]["int8"].described.signature.inputs[0].source_name
    data = forms(samples)[form]() if form != "dict" else {name: samples}
    again = edgekit.build("model.tflite", "android", precision="int8", calibration=data, output=f"form-{form}")
    known, seen = built["android"].manifest.calibration, again["android"].manifest.calibration
    assert known is not None
    assert seen is not None
    assert seen.sha256 == known.sha256


@pytest.mark.usefixtures("built")
def test_a_metric_of_ones_own(samples: Any) -> None:
    def error(outputs: dict[str, Any], labels: Any) -> float:
        (scores,) = outputs.values()
        return float(np.abs(scores.reshape(len(labels), -1).argmax(1) - labels).mean())

    error.higher_is_better = False  # type: ignore[attr-defined]
    labels = np.arange(32) % 2
    result = edgekit.build(
        "model.tflite", "android", calibration=samples, eval=(samples, labels), metric=error, max_drop=10, output="own"
    )
    verification = result["android"]["int8"].verification
    assert verification is not None
    assert verification.metric is not None
    assert verification.metric.name == "error"
    assert verification.metric.drop == verification.metric.artifact - verification.metric.source
    assert "error" in str(result)


def test_check_and_inspect(folder: Path) -> None:
    found = edgekit.check(folder / "model.tflite", "android")
    assert found.works
    assert {row.target for row in found} == {"android"}
    seen = edgekit.inspect(folder / "model.tflite")
    assert seen.cost is not None
    assert seen.cost.macs > 0
    assert "MACs" in str(seen)
    assert edgekit.inspect(folder / "model.tflite", tensors=True).tensors
    assert "android" in edgekit.targets()
    assert edgekit.targets()["android"].variants


@pytest.mark.slow
def test_a_built_file_is_profiled_and_compared(
    built: BuildResult, samples: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = msgspec.structs.replace(QUICK.run, warm_up_s=0.01, min_s=0.05)
    few = msgspec.structs.replace(QUICK.protocol, blocks=FEWEST_BLOCKS)
    monkeypatch.setattr("edgekit.api.measuring.QUICK", replace(QUICK, run=short, protocol=few))
    monkeypatch.setenv("EDGEKIT_SENSORS", "none")  # whatever this host has
    small, large = built["android"]["int8"], built["android"]["float16"]
    seen = edgekit.profile(small, quick=True, input=samples)
    median = seen.latency_ms.median
    assert median is not None
    assert 0 < median < 100
    assert seen[0].file.is_file()
    assert "median" in str(seen)
    found = edgekit.compare(small, large, quick=True)
    assert found.verdict in {"faster", "slower", "no difference shown"}
    again = edgekit.compare(*(row.file for row in found.measured))
    assert again.comparison == found.comparison
    several = replace(seen, measured=tuple(found.measured))
    with pytest.raises(InputError, match="files were measured"):
        several.latency_ms  # noqa: B018
    assert "local" in edgekit.devices()


def test_a_description_is_the_tables_of_a_project(folder: Path) -> None:
    tables = {"input": [{"kind": "image", "range": [0, 1]}], "metadata": {"author": "Ada"}}
    result = edgekit.build("model.tflite", "android", precision="float32", description=tables, output="described")
    described = result["android"].manifest.description
    assert described.inputs[0].range == (0, 1)
    assert described.inputs[0].channels == "RGB"  # what the model says, it need not be told
    assert described.card.author == "Ada"
    again = edgekit.build("model.tflite", "android", precision="float32", description=described, output="described")
    assert again["android"].manifest.description == described
    with pytest.raises(InputError, match="unknown key 'inputs'"):
        edgekit.build("model.tflite", "android", description={"inputs": []})
    embedding = edgekit.build(
        "model.tflite", "android", precision="float32", description=tables, embed_preprocessing=True, output="embedded"
    )
    with pytest.raises(Unsupported, match="cannot hold its preprocessing"):
        embedding["android"]
