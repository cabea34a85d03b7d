"""The bundled example: its data is what the manifests say, and its network is as good as its script says."""

import hashlib
import tomllib
from pathlib import Path

import numpy as np
import pytest

from edgekit import config
from edgekit.engine.worker import Worker
from edgekit.nouns.model import SourceOptions

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "digits"
DATA = ROOT / "calibration_data"


@pytest.mark.parametrize("name", ["digits", "digits_test"])
def test_manifests_describe_their_files(name: str) -> None:
    manifest = tomllib.loads((DATA / f"{name}.toml").read_text(encoding="utf8"))
    content = (DATA / manifest["file"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == manifest["sha256"]
    assert all(manifest[key] for key in ("licence", "origin", "split", "preprocessing"))
    with np.load(DATA / manifest["file"]) as held:
        assert {key: (list(held[key].shape), str(held[key].dtype)) for key in held} == {
            key: (entry["shape"], entry["dtype"]) for key, entry in manifest["arrays"].items()
        }


def test_calibration_and_evaluation_share_no_image() -> None:
    seen = {image.tobytes() for image in np.load(DATA / "digits.npz")["image"]}
    held_out = {image.tobytes() for image in np.load(DATA / "digits_test.npz")["image"]}
    assert len(seen) == 256
    assert not seen & held_out


def test_every_image_is_preprocessed_as_the_network_wants_it() -> None:
    images = np.load(DATA / "digits.npz")["image"]
    assert images.min() == 0.0
    assert images.max() == 1.0
    assert np.array_equal(images * 16, np.rint(images * 16))


def test_the_project_file_names_files_that_exist() -> None:
    project = config.project(EXAMPLE)
    assert project.targets
    assert project.metric == "top1"
    for path in (project.model, project.calibration, project.eval):
        assert path is not None
        assert Path(path).is_file()


def test_the_network_is_small_and_reads_the_held_out_digits(worker: Worker, tmp_path: Path) -> None:
    assert (EXAMPLE / "model.keras").stat().st_size < 300_000
    with np.load(DATA / "digits_test.npz") as held:
        images, labels = held["image"], held["y"]
    np.savez(tmp_path / "in.npz", image=images[:, None])
    worker.call(
        "sources", "keras", "run",
        path=EXAMPLE / "model.keras", options=SourceOptions(),
        inputs=tmp_path / "in.npz", outputs=tmp_path / "out.npz",
    )  # fmt: skip
    found = np.load(tmp_path / "out.npz")["digit"][:, 0]
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-5)
    assert np.mean(found.argmax(axis=1) == labels) >= 0.99
