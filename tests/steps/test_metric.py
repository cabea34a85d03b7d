"""The user's own metric: how it is known, where it is called, what it must say, and how it fails."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.engine.session import Session
from edgekit.engine.store import Store
from edgekit.errors import InputError
from edgekit.nouns.description import Description
from edgekit.nouns.verification import MetricScore
from edgekit.steps.metric import wanted
from edgekit.waist.tensors import write_npz

MODULE = """
import os, pathlib

def score(outputs, labels):
    print("chatter")
    pathlib.Path("called").write_text(str(os.getpid()))
    return float(abs(outputs["y"].reshape(len(labels), -1).mean(1) - labels).mean())

score.higher_is_better = False
"""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # two contents within a second
    return tmp_path / "own_metric.py"


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with Session(Store(tmp_path / "cache"), tmp_path / "log.txt") as session:
        yield session


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Outputs of zeros, and labels of ones."""
    np.save(tmp_path / "labels.npy", np.ones(4))
    return write_npz(tmp_path / "zeros.npz", {"y": np.zeros((4, 1, 2), np.float32)}), tmp_path / "labels.npy"


def test_a_function_in_a_file_is_known_by_its_content_and_called_in_a_worker(
    desk: Path, session: Session, files: tuple[Path, Path]
) -> None:
    desk.write_text(MODULE)
    first = wanted(session, "own_metric:score", Description())
    assert wanted(session, "own_metric:score", Description()).question == first.question
    assert first.load().score(*files) == MetricScore(1.0, higher_is_better=False)
    assert int(Path("called").read_text()) != os.getpid()
    assert "own_metric" not in sys.modules
    desk.write_text(MODULE.replace("return ", "return 2 * "))
    with pytest.raises(InputError, match="changed"):
        first.load().score(*files)
    with Session(session.store, session.log) as later:
        second = wanted(later, "own_metric:score", Description())
        assert second.question != first.question
        assert second.load().score(*files).value == 2.0


def test_a_held_function_is_called_here_and_computed_anew_in_each_build(
    session: Session, files: tuple[Path, Path]
) -> None:
    def recall(outputs: dict[str, Any], labels: Any) -> float:
        return float((outputs["y"].mean(axis=(1, 2)) != labels).mean())

    recall.higher_is_better = True  # type: ignore[attr-defined]
    first, second = (wanted(session, recall, Description()) for _ in range(2))
    assert first.name == "recall"
    assert first.question != second.question
    assert first.load().score(*files) == MetricScore(1.0, higher_is_better=True)


def test_a_metric_may_change_what_it_is_given(desk: Path, session: Session, files: tuple[Path, Path]) -> None:
    body = "    outputs['y'] += labels[:, None, None]; labels *= 3\n    return outputs['y'].sum() + labels.sum()"
    desk.write_text(f"def score(outputs, labels):\n{body}\n\nscore.higher_is_better = True\n")
    before = [file.read_bytes() for file in files]
    named: dict[str, Any] = {}
    exec(desk.read_text(), named)
    for given in ("own_metric:score", named["score"]):
        assert wanted(session, given, Description()).load().score(*files) == MetricScore(
            8.0 + 12.0, higher_is_better=True
        )
    assert [file.read_bytes() for file in files] == before


def test_a_built_in_metric_is_its_name(session: Session, files: tuple[Path, Path]) -> None:
    found = wanted(session, "mae", Description())
    assert found.question == "mae"
    np.save(files[1], np.ones((4, 2)))
    assert found.load().score(*files) == MetricScore(1.0, higher_is_better=False)
    np.save(files[1], np.ones(4))
    assert wanted(session, "top1", Description()).load().score(*files) == MetricScore(0.0, higher_is_better=True)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("return 1.0", "does not say which way is better"),
        ("return 1 / 0", "failed: ZeroDivisionError"),
        ("import sys; sys.exit(3)", "failed: SystemExit"),
        ("return float('nan')", "is nan"),
        ("return 'many'", "failed: ValueError"),
        ("return outputs['z']", "failed: KeyError"),
    ],
)
def test_a_faulty_metric_is_a_complaint(
    body: str, problem: str, desk: Path, session: Session, files: tuple[Path, Path]
) -> None:
    declared = "" if "better" in problem else "score.higher_is_better = True"
    desk.write_text(f"def score(outputs, labels):\n    {body}\n\n{declared}\n")
    with pytest.raises(InputError, match=problem) as error:
        wanted(session, "own_metric:score", Description()).load().score(*files)
    where = f", {desk}:2" if "Zero" in problem or "Key" in problem or "Exit" in problem else ""
    assert error.value.place == f"--metric{where}"


def test_a_crash_in_a_metric_is_a_complaint(desk: Path, session: Session, files: tuple[Path, Path]) -> None:
    desk.write_text("import os\ndef score(outputs, labels):\n    os.abort()\nscore.higher_is_better = True\n")
    with pytest.raises(InputError, match="the process died while computing the metric") as error:
        wanted(session, "own_metric:score", Description()).load().score(*files)
    assert error.value.place == "own_metric:score"


@pytest.mark.parametrize("line", ["raise SystemExit(1)", "raise type('OwnError', (Exception,), {})('no')"])
def test_a_module_that_fails_is_a_complaint(line: str, desk: Path, session: Session, files: tuple[Path, Path]) -> None:
    desk.write_text(f"{line}\n")
    with pytest.raises(InputError, match="own_metric:score cannot be imported"):
        wanted(session, "own_metric:score", Description()).load().score(*files)


@pytest.mark.usefixtures("desk")
def test_a_missing_module_is_a_complaint(session: Session, files: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match="nowhere:score cannot be imported: ModuleNotFoundError"):
        wanted(session, "nowhere:score", Description()).load().score(*files)
