"""The waist is rewritten for the files that gain by it, the manifest says how, and a project can switch it off."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.config import Project
from edgekit.engine.session import Session
from edgekit.engine.store import Store
from edgekit.errors import Unsupported
from edgekit.nouns.manifest import ArtifactFile
from edgekit.rewrites import Optimizer
from edgekit.verbs.build import build
from edgekit.waist.tensors import write_npz
from tests.rewrites import rewriting
from tests.rewrites.test_padding import padded_convolution

pytestmark = pytest.mark.usefixtures("kept_workers")

FOLDED = 'rewritten: 1 PAD folded into "same" padding'


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with Session(Store(tmp_path / "cache"), tmp_path / "log.txt") as running:
        yield running


def built(folder: Path, session: Session, target: str, **options: Any) -> tuple[ArtifactFile, Path]:
    model = padded_convolution(folder / "padded.tflite")
    values = np.random.default_rng(0).standard_normal((100, 1, 9, 8, 2)).astype(np.float32)
    calibration = str(write_npz(folder / "calibration.npz", {"x": values}))
    project = Project(targets=(target,), calibration=calibration, output_folder=str(folder / "out"), **options)
    (result,) = build(session, project, model)
    assert result.manifest is not None, result.error
    file = result.manifest.artifacts[0]
    return file, folder / "out" / file.file


@pytest.mark.parametrize(("target", "precision"), [("linux-arm64", "float32"), ("android", "int8"), ("edgetpu", None)])
def test_the_manifest_lists_what_was_rewritten(
    tmp_path: Path, session: Session, target: str, precision: str | None
) -> None:
    file, path = built(tmp_path, session, target, precision=precision)
    assert FOLDED in file.conversion
    assert [step.what for step in file.lineage].count("optimize") == 1
    assert file.cost is not None
    assert file.cost.operators == {"CONV_2D": 1}
    assert rewriting.operators(path) == {"CONV_2D": 1}


def test_a_project_can_switch_it_off(tmp_path: Path, session: Session) -> None:
    file, path = built(tmp_path, session, "android", precision="float32", optimize_graph=False)
    assert not file.conversion
    assert "optimize" not in [step.what for step in file.lineage]
    assert rewriting.operators(path) == {"PAD": 1, "CONV_2D": 1}


def test_a_process_that_dies_costs_the_rewrites_and_not_the_build(
    tmp_path: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def died() -> Optimizer:
        raise Unsupported("LiteRT dies of the file.", place="waist.tflite", fix="none")

    monkeypatch.setattr(session, "optimizer", died)
    _, path = built(tmp_path, session, "android", precision="float32")
    assert rewriting.operators(path) == {"PAD": 1, "CONV_2D": 1}
