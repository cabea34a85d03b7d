"""Reports as files: where they go, what they take from folders, and folders that are none."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgekit import cli
from edgekit.config import Project
from edgekit.engine.session import Session
from edgekit.engine.store import Store
from edgekit.errors import InputError
from edgekit.nouns import manifest as manifests
from edgekit.verbs.build import build
from edgekit.verbs.report import report
from tests import networks
from tests.measure.gated_folders import artifact, folder, manifest, profile

pytestmark = pytest.mark.usefixtures("kept_workers")


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with Session(Store(tmp_path / "cache"), tmp_path / "log.txt") as running:
        yield running


def test_a_report_stands_in_the_folder_and_is_listed(tmp_path: Path, session: Session) -> None:
    file = artifact()
    made = folder(tmp_path / "out", manifest(file, profiles=[profile(file, [1.0] * 6, raw="gone.npz")]))
    assert report(session, [made]) == made / "report.html"
    listed = manifests.read(made / "manifest.json").extras["report.html"]
    assert (listed.by, listed.bytes) == ("report", (made / "report.html").stat().st_size)
    assert "test.npz is not there" not in (made / "report.html").read_text()  # evaluation data are not shown
    assert report(session, [made]) == made / "report.html"  # again, in its place


def test_several_stand_side_by_side(tmp_path: Path, session: Session) -> None:
    a, b = (folder(tmp_path / name, manifest(artifact(), target=name)) for name in ("android", "edgetpu"))
    with pytest.raises(InputError, match="none of them"):
        report(session, [a, b])
    page = report(session, [a, b], tmp_path / "both.html").read_text()
    assert page.count("<article") == 2
    assert page.index("net.onnx for android") < page.index("net.onnx for edgetpu")
    assert not (a / "report.html").exists()


def test_the_users_own_file_of_that_name_stays(tmp_path: Path, session: Session) -> None:
    made = folder(tmp_path / "out", manifest(artifact()))
    (made / "report.html").write_text("mine")
    with pytest.raises(InputError, match=r"holds report\.html"):
        report(session, [made])
    assert (made / "report.html").read_text() == "mine"


def test_samples_are_shown_if_they_are_still_the_same(tmp_path: Path, session: Session) -> None:
    model = networks.classifier(tmp_path / "model.tflite")
    data = tmp_path / "data.npz"
    np.savez(data, image=np.random.default_rng(0).normal(0, 1, (8, 8, 8, 3)).astype(np.float32))
    wanted = Project(
        targets=("linux-arm64",),
        precision="int8",
        calibration=str(data),
        output_folder=str(tmp_path / "o"),
        allow_loss=True,
    )
    (result,) = build(session, wanted, model)
    assert result.error is None
    assert "data:image/png" in report(session, [result.folder]).read_text()
    np.savez(data, image=np.zeros((8, 8, 8, 3), np.float32))
    changed = report(session, [result.folder]).read_text()
    assert "data:image/png" not in changed
    assert "has changed since" in changed
    data.unlink()
    assert "is not there" in report(session, [result.folder]).read_text()


@pytest.mark.parametrize("content", [None, b"{", b'{"schema_version": 4}'])
def test_a_folder_that_is_no_artifact_is_exit_2(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "photos").mkdir()
    if content is not None:
        (tmp_path / "photos" / "manifest.json").write_bytes(content)
    assert cli.run(["report", str(tmp_path / "photos")]) == 2
    assert "fix: " in capfd.readouterr().err
    assert not (tmp_path / "photos" / "report.html").exists()
