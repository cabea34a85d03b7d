"""The user's own metric: how it is known, what it must say, and how it fails."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit import verify
from edgekit.errors import InputError
from edgekit.steps.metric import wanted

ONES, ZEROS = {"y": np.ones((4, 1, 2))}, {"y": np.zeros((4, 1, 2))}
LABELS = np.ones(4)

MODULE = """
def score(outputs, labels):
    return float(abs(outputs["y"].reshape(len(labels), -1).mean(1) - labels).mean())

score.higher_is_better = False
"""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # two contents within a second
    return tmp_path / "own_metric.py"


def test_a_function_in_a_file_is_known_by_its_content(desk: Path) -> None:
    desk.write_text(MODULE)
    first = wanted("own_metric:score")
    assert wanted("own_metric:score").question == first.question
    measured = verify.task_metric(first.load(), ONES, ZEROS, LABELS)
    assert (measured.name, measured.source, measured.artifact, measured.drop) == ("own_metric:score", 0.0, 1.0, 1.0)
    assert measured.chance is None
    desk.write_text(MODULE.replace("return ", "return 2 * "))
    second = wanted("own_metric:score")
    assert second.question != first.question
    assert verify.task_metric(second.load(), ONES, ZEROS, LABELS).artifact == 2.0


def test_a_held_function_is_computed_anew_in_each_build() -> None:
    def recall(outputs: dict[str, Any], labels: Any) -> float:
        return float((outputs["y"].mean(axis=(1, 2)) == labels).mean())

    recall.higher_is_better = True  # type: ignore[attr-defined]
    first, second = wanted(recall), wanted(recall)
    assert first.name == "recall"
    assert first.question != second.question
    assert verify.task_metric(first.load(), ONES, ZEROS, LABELS).drop == 1.0


def test_a_built_in_metric_is_its_name() -> None:
    found = wanted("mae")
    assert found.question == "mae"
    assert not found.load().higher_is_better
    assert wanted("top1").load().higher_is_better


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("return 1.0", "does not say which way is better"),
        ("return 1 / 0", "failed: ZeroDivisionError"),
        ("return float('nan')", "is nan"),
        ("return 'many'", "failed: ValueError"),
        ("return outputs['z']", "failed: KeyError"),
    ],
)
def test_a_faulty_metric_is_a_complaint(body: str, problem: str, desk: Path) -> None:
    declared = "" if "better" in problem else "score.higher_is_better = True"
    desk.write_text(f"def score(outputs, labels):\n    {body}\n\n{declared}\n")
    with pytest.raises(InputError, match=problem) as error:
        wanted("own_metric:score").load().compute(ONES, LABELS)
    assert error.value.place == "--metric"


@pytest.mark.usefixtures("desk")
def test_a_missing_module_is_a_complaint() -> None:
    with pytest.raises(InputError, match="nowhere:score cannot be imported: ModuleNotFoundError"):
        wanted("nowhere:score").load()
