"""What programs do with files that are built: run them, explain them, and hold them against what they were."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import edgekit
from edgekit.api import BuildResult
from edgekit.errors import InputError
from tests import networks

pytestmark = pytest.mark.usefixtures("kept_workers")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BuildResult]:
    folder = tmp_path_factory.mktemp("shipping")
    networks.classifier(folder / "model.tflite")
    described = {"output": [{"task": "classification", "activation": "softmax", "top_k": 2}]}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("EDGEKIT_CACHE", str(folder / "cache"))
        patch.setenv("EDGEKIT_CONFIG", str(folder / "config"))
        yield edgekit.build("model.tflite", "android", precision="float32", description=described, output="out")


def sample(built: BuildResult) -> np.ndarray:
    (spec,) = built["android"].manifest.source.signature.inputs
    return np.random.default_rng(0).random((1, *spec.source_shape[1:]), dtype=np.float32)


def test_a_file_runs_on_arrays_and_on_paths(built: BuildResult, tmp_path: Path) -> None:
    given = sample(built)
    found = edgekit.run(built["android"]["float32"], given, output=tmp_path / "outputs.npz")
    (classes,) = found.findings
    assert len(classes.classes) == 2
    assert classes.classes[0].score >= classes.classes[1].score
    with np.load(tmp_path / "outputs.npz") as outputs:
        (scores,) = (outputs[name] for name in outputs.files)
    assert int(scores.argmax()) == classes.classes[0].index
    (spec,) = built["android"].manifest.source.signature.inputs
    np.savez(tmp_path / "given.npz", **{spec.source_name: given})
    assert edgekit.run(built["android"], tmp_path / "given.npz").findings == found.findings
    assert edgekit.run(built["android"], {spec.source_name: tmp_path / "given.npz"}).findings == found.findings
    assert str(classes.classes[0].index) in str(found)
    with pytest.raises(InputError, match="There is no file") as caught:
        edgekit.run(built["android"], "nothing.jpg")
    assert caught.value.place == "input nothing.jpg"


@pytest.mark.slow
def test_a_report_says_where_it_is(built: BuildResult, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    where = edgekit.write_report(built["android"], built["android"], output=tmp_path / "report.html")
    assert "<h1" in where.read_text(encoding="utf8")
    with pytest.raises(InputError, match="belongs into none") as caught:
        edgekit.write_report(built["android"], built["android"])
    assert "report.html" in caught.value.fix


def test_a_gate_goes_by_a_budget_and_a_baseline(built: BuildResult, tmp_path: Path) -> None:
    assert edgekit.gate(built["android"], budget={"max_size": "4M"})
    missed = edgekit.gate(built["android"], budget={"android": {"max_size": "10"}}, recorded=True)
    assert not missed
    assert {row.figure for row in missed.findings if row.fails} == {"size"}
    assert b"<failure" in missed.junit()
    assert "size" in missed.markdown()
    assert "size" in str(missed)
    saved = edgekit.save_baseline(built["android"], output=tmp_path / "baseline.json")
    assert edgekit.gate(built["android"], baseline=saved, without_device=True).passes
    with pytest.raises(InputError, match="nothing to judge by"):
        edgekit.gate(built["android"])
    with pytest.raises(InputError, match="max_sise") as caught:
        edgekit.gate(built["android"], budget={"max_sise": "4M"})
    assert "max_size" in caught.value.fix
