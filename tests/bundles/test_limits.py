"""Networks for which there is no code."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgekit import cli
from edgekit.steps import bundling
from tests import networks

pytestmark = pytest.mark.bundles


def test_very_large_samples_are_no_golden_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(bundling, "MOST_VALUES", 10)
    networks.classifier(tmp_path / "model.tflite")
    words = ["build", "model.tflite", "-t", "android", "--precision", "float32", "-o", "out"]
    done = CliRunner().invoke(cli.edgekit, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "out/manifest.json").read_text())["unavailable"]
    assert "over 10." in told["integration/"]
    assert not (tmp_path / "out/integration").exists()
