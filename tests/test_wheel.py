"""The built wheel, installed alone with its base dependencies only, does its work from an empty folder."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests import networks

ROOT = Path(__file__).resolve().parent.parent

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("uv") is None, reason="needs uv: pip install uv"),
]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program ``edgekit`` of a clean environment that holds the wheel and its base dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    environment = folder / "environment"
    uv("build", "--wheel", "--quiet", "--out-dir", str(folder), str(ROOT))
    uv("venv", "--quiet", "--python", "3.12", str(environment))
    (wheel,) = folder.glob("*.whl")
    uv("pip", "install", "--quiet", "--python", str(environment), "-c", str(ROOT / "constraints.txt"), str(wheel))
    return environment / "bin" / "edgekit"


def uv(*arguments: str) -> None:
    done = subprocess.run(["uv", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def edgekit(program: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it in a folder, with a cache there and without this repository on its path."""
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    environment = kept | {"EDGEKIT_CACHE": str(folder / "cache"), "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.run(
        [program, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_it_brings_its_targets_and_samples(installed: Path, tmp_path: Path) -> None:
    listed = edgekit(installed, tmp_path, "targets", "--json")
    assert listed.returncode == 0, listed.stderr
    names = [target["name"] for target in json.loads(listed.stdout)["targets"]]
    assert names == sorted(path.stem for path in (ROOT / "targets").glob("*.toml"))
    data = {path.name for path in installed.parent.parent.rglob("edgekit/_data/calibration_data/*")}
    assert {"digits.npz", "digits_test.npz"} <= data


def test_it_builds_from_tflite(installed: Path, tmp_path: Path) -> None:
    model = networks.classifier(tmp_path / "model.tflite")
    np.savez(tmp_path / "x.npz", **networks.samples(networks.signature(model), 100))
    built = edgekit(installed, tmp_path, "build", "model.tflite", "-t", "linux-arm64", "--calibration", "x.npz")
    assert built.returncode == 0, built.stderr
    out = tmp_path / "dist" / "model" / "linux-arm64"
    manifest = json.loads((out / "manifest.json").read_text())
    assert {file["file"]: file["verification"]["verdict"] for file in manifest["artifacts"]} == {
        "model_int8.tflite": "pass",
        "model_float32.tflite": "pass",
    }
    assert all((out / file["file"]).stat().st_size for file in manifest["artifacts"])


@pytest.mark.study
def test_it_profiles_a_tflite_file(installed: Path, tmp_path: Path) -> None:
    networks.classifier(tmp_path / "model.tflite")
    measured = edgekit(installed, tmp_path, "profile", "model.tflite", "--quick", "--json")
    assert measured.returncode == 0, measured.stderr
    [profile] = json.loads(measured.stdout)["profiles"]
    assert 6 <= profile["latency"]["blocks"] <= 10  # fewer on a busy machine
    assert Path(tmp_path, profile["raw"]).is_file()
    phones = edgekit(installed, tmp_path, "devices", "--json")
    assert "pip install '.[android]'" in phones.stdout  # what it cannot reach it says how to


def test_without_the_extra_it_names_the_line_to_install(installed: Path, tmp_path: Path) -> None:
    shutil.copy(ROOT / "docs/examples/digits/model.keras", tmp_path)
    refused = edgekit(installed, tmp_path, "build", "model.keras", "-t", "android", "--precision", "float16")
    assert refused.returncode == 3, refused.stderr
    assert "pip install '.[keras]'" in refused.stderr
    assert not (tmp_path / "dist").exists()
