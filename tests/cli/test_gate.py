"""The verbs ``gate`` and ``baseline`` as a user types them."""

import json
from pathlib import Path

import pytest
from junitparser import JUnitXml

from edgekit import cli
from tests.measure.gated_folders import artifact, folder, manifest, profile

pytestmark = pytest.mark.usefixtures("kept_workers")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with what was built of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)  # a table that a program reads is wide
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("EDGEKIT_CONFIG", str(tmp_path / "config"))
    (tmp_path / "edgekit.toml").write_text('model = "net.onnx"\ntargets = ["linux-arm64"]\n[budget]\nmax_size = "1K"\n')
    file = artifact()
    folder(tmp_path / "dist/net/linux-arm64", manifest(file, profiles=[profile(file, [1.0] * 10)]))
    return tmp_path


def test_a_gate_passes_and_closes(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["baseline", "save", "--files"]) == 0
    assert (here / "edgekit-baseline/linux-arm64/model_int8.tflite").read_bytes() == b"network"
    assert cli.run(["gate", "--json"]) == 0
    document = json.loads(capfd.readouterr().out.partition("wrote edgekit-baseline.json\n")[2])
    assert document["passes"]
    assert document["baseline"] == "edgekit-baseline.json"
    worse = artifact(b"rebuilt", value=0.5)
    folder(here / "dist/net/linux-arm64", manifest(worse), b"rebuilt")
    (here / "summary.md").write_text("# what came before\n")
    written = ["--junit", "gate.xml", "--markdown", "summary.md"]
    assert cli.run(["gate", "--without-device", *written]) == 1
    out = capfd.readouterr().out
    assert "missed   linux-arm64/model_int8.tflite  metric" in out
    assert JUnitXml.fromfile("gate.xml").failures == 1
    assert (here / "summary.md").read_text().startswith("# what came before\n### edgekit gate failed: 1 of ")


def test_a_budget_alone_is_judged(here: Path) -> None:
    assert cli.run(["gate", "--no-baseline"]) == 0
    (here / "edgekit.toml").write_text('model = "net.onnx"\ntargets = ["linux-arm64"]\n[budget]\nmax_size = "3"\n')
    assert cli.run(["gate"]) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["gate", "--baseline", "none.json"], "There is no file or folder none.json"),
        (["gate", "nowhere"], "There is no file or folder nowhere"),
        (["gate", "--junit", "no/such/gate.xml"], "cannot be written"),
        (["gate", "config"], "is no artifact folder"),
        (["baseline", "save", "-o", "edgekit.toml/base.json"], "cannot be written"),
    ],
)
def test_bad_input_is_exit_2(arguments: list[str], says: str, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "config").mkdir()
    assert cli.run(arguments) == 2
    complaint = capfd.readouterr().err
    assert says in complaint
    assert "fix: " in complaint


def test_a_folder_without_a_project_has_to_be_named(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "edgekit.toml").unlink()
    assert cli.run(["gate"]) == 2
    assert "name a folder" in capfd.readouterr().err
