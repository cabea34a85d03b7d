"""``edgekit inspect`` on a folder that ``edgekit build`` wrote."""

import json
from pathlib import Path

import pytest

from edgekit import cli
from tests import networks

pytestmark = pytest.mark.usefixtures("kept_workers")


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    networks.classifier(tmp_path / "model.tflite")
    assert cli.run(["build", "model.tflite", "-t", "linux-arm64", "--precision", "float32", "-o", "built"]) == 0
    capfd.readouterr()
    return tmp_path / "built"


def test_the_steps_of_each_file_are_shown(built: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["inspect", "built"]) == 0
    shown = capfd.readouterr()
    assert shown.err == ""
    steps = [line.split()[0] for line in shown.out.splitlines() if "  sources/" in line or "  backends/" in line]
    assert steps == ["describe", "convert", "build", "reference", "reference", "verify"]
    assert "model_float32.tflite" in shown.out
    assert "verdict pass" in shown.out
    assert cli.run(["inspect", "built", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    (rows,) = document["files"].values()
    made = {row["made"] for row in rows if row["made"]}
    waist = next(row for row in rows if row["what"] == "build")["inputs"]["waist"]
    assert waist in made
    assert rows[0]["inputs"]["source"] == rows[1]["inputs"]["source"]


def test_a_folder_of_the_first_version_says_that_steps_are_not_recorded(
    built: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = built / "manifest.json"
    document = json.loads(file.read_text()) | {"schema_version": 1}
    for row in document["artifacts"]:
        del row["lineage"]
    file.write_text(json.dumps(document))
    assert cli.run(["inspect", "built"]) == 0
    assert "its steps are not recorded" in capfd.readouterr().out


def test_a_damaged_manifest_is_refused(built: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (built / "manifest.json").write_text("{")
    assert cli.run(["inspect", "built"]) == 2
    assert "manifest.json cannot be read" in capfd.readouterr().err
