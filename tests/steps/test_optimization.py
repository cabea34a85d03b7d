"""The waist is rewritten for the files that gain by it, the manifest says how, and a project can switch it off."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.config import Project
from edgekit.engine.session import Session
from edgekit.engine.store import Store
from edgekit.errors import Unsupported
from edgekit.nouns.manifest import ArtifactFile
from edgekit.rewrites import Optimized, Optimizer
from edgekit.verbs.build import build
from edgekit.waist.tensors import write_npz
from tests import networks
from tests.rewrites import rewriting
from tests.rewrites.test_padding import padded_convolution

pytestmark = pytest.mark.usefixtures("kept_workers")

FOLDED = 'rewritten: 1 PAD folded into "same" padding'


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with Session(Store(tmp_path / "cache"), tmp_path / "log.txt") as running:
        yield running


def built(
    folder: Path,
    session: Session,
    target: str,
    network: Callable[[Path], Path] = padded_convolution,
    **options: Any,
) -> tuple[ArtifactFile, Path]:
    model = network(folder / "padded.tflite")
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


def timed(session: Session, monkeypatch: pytest.MonkeyPatch, slower: Callable[[Path], bool]) -> None:
    """The optimizer as it is, but for what it says of files' speed: the second one's, by what it holds."""
    plain = session.optimizer()

    class Timed:
        def optimize(self, *given: Any, **named: Any) -> Optimized:
            return plain.optimize(*given, **named)

        def is_slower(self, _: Path, after: Path) -> bool:
            return slower(after)

    monkeypatch.setattr(session, "optimizer", Timed)


@pytest.mark.parametrize("precision", ["int8", "int16x8"])
def test_a_rewrite_that_makes_integers_slower_is_left_out(
    tmp_path: Path, session: Session, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    timed(session, monkeypatch, lambda after: "PAD" not in rewriting.operators(after))
    file, path = built(tmp_path, session, "android", precision=precision)
    assert rewriting.operators(path)["PAD"] == 1
    assert file.conversion == (f"not rewritten by any rule: {file.file} took longer on this host",)


def padded_and_reshaped(path: Path) -> Path:
    """PAD before a convolution, and two RESHAPEs behind it."""
    net = networks.Network()
    x = net.input("x", (1, 9, 8, 2))
    amounts = net.constant("amounts", np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
    padded = net.operator("PAD", [x, amounts], (1, 11, 10, 2), kind="PadOptions")
    held = [net.constant("k", networks.weights(3, 3, 3, 2)), net.constant("b", np.ones(3, np.float32))]
    options = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1, "padding": networks.VALID}
    made = net.operator("CONV_2D", [padded, *held], (1, 9, 8, 3), kind="Conv2DOptions", **options)
    for shape in ((1, 72, 3), (1, 216)):
        wanted = net.constant(f"to {shape}", np.array(shape, np.int32))
        made = net.operator("RESHAPE", [made, wanted], shape, kind="ReshapeOptions", newShape=list(shape))
    return net.save(path, made)


def test_one_rule_that_makes_integers_slower_costs_no_other(
    tmp_path: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed(session, monkeypatch, lambda after: rewriting.operators(after)["RESHAPE"] < 2)
    file, path = built(tmp_path, session, "android", precision="int8", network=padded_and_reshaped)
    assert rewriting.operators(path)["RESHAPE"] == 2
    assert "PAD" not in rewriting.operators(path)
    assert FOLDED in file.conversion
    assert f"not rewritten by moves: {file.file} took longer on this host" in file.conversion


def test_integers_of_a_rewritten_network_are_timed_beside_those_of_the_original(
    tmp_path: Path, session: Session
) -> None:
    file, _ = built(tmp_path, session, "android", precision="int8")
    assert FOLDED in file.conversion
    assert [step.what for step in file.lineage].count("build") == 1  # drafts are no part of it
