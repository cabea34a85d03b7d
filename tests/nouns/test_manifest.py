"""The manifest: what it names lies in its folder."""

import json
from pathlib import Path
from typing import Any

import pytest

from edgekit import cli
from edgekit.config import Project
from edgekit.engine.session import Session
from edgekit.engine.store import Store, file_digest
from edgekit.errors import InputError
from edgekit.nouns import manifest
from edgekit.verbs.build import build
from tests import networks


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that edgekit made."""
    folder = tmp_path_factory.mktemp("built")
    networks.classifier(folder / "model.tflite")
    with Session(Store(folder / "cache"), folder / "log.txt") as session:
        wanted = Project(targets=("linux-arm64",), precision="float32", output_folder=str(folder / "out"))
        (result,) = build(session, wanted, folder / "model.tflite")
    assert result.error is None
    return folder


@pytest.fixture
def document(built: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((built / "out" / "manifest.json").read_text())
    return found


def write(document: dict[str, Any], folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(document))
    return folder / "manifest.json"


@pytest.mark.parametrize(
    "name", ["../secret.tflite", "/etc/passwd", "a/../../secret.tflite", "link.tflite", "deep/x", "", "."]
)
@pytest.mark.parametrize("key", ["file", "files"])
def test_a_name_that_leads_outside_is_refused(
    name: str, key: str, document: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    secret = networks.classifier(tmp_path / "secret.tflite")
    (artifact,) = document["artifacts"]
    digest = {"sha256": file_digest(secret).sha256, "bytes": secret.stat().st_size}
    artifact[key] = name if key == "file" else artifact["files"] | {name: digest}
    path = write(document, tmp_path / "out")
    (path.parent / "link.tflite").symlink_to(secret)
    (path.parent / "deep").symlink_to(tmp_path)
    with pytest.raises(InputError, match="outside of its folder"):
        manifest.read(path)
    assert cli.run(["profile", str(path.parent), "--quick"]) == 2
    assert "outside of its folder" in capfd.readouterr().err


def test_a_name_inside_is_read(built: Path, document: dict[str, Any], tmp_path: Path) -> None:
    assert manifest.read(built / "out" / "manifest.json").artifacts[0].file in document["artifacts"][0]["files"]
    document["artifacts"][0]["files"] |= {"deep/..name": {"sha256": "0", "bytes": 0}}
    manifest.read(write(document, tmp_path))
    (tmp_path / "inside").symlink_to("manifest.json")
    document["artifacts"][0]["file"] = "inside"
    manifest.read(write(document, tmp_path))


def test_nothing_is_carried_over_from_a_manifest_that_leads_outside(
    built: Path, document: dict[str, Any], tmp_path: Path
) -> None:
    fresh = manifest.read(built / "out" / "manifest.json")
    document["artifacts"][0]["file"] = "../secret"
    assert manifest.carried(write(document, tmp_path), fresh) is fresh
