"""OpenVINO's int8 on the CPU against the float network, on the rows that judge the device runtime."""

from pathlib import Path

import pytest

from edgekit.engine.worker import Worker
from tests.studies.accuracy.rows import edgekit_classes, mcnemar
from tests.studies.accuracy.tasks import PARAMETERS, Task

WITHIN = 0.5
"""Points of top-1 below the float network."""


@pytest.mark.shared
@pytest.mark.parametrize("task", PARAMETERS)
def test_int8_keeps_the_accuracy_on_openvino(
    task: Task, worker: Worker, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, labels = task.data(shared)
    floats, _, _ = edgekit_classes(worker, task, shared, tmp_path, "openvino", "float32", "model.xml")
    ours, size, notes = edgekit_classes(worker, task, shared, tmp_path, "openvino", "int8", "model.xml")
    before, after = (float((classes == labels).mean() * 100) for classes in (floats, ours))
    won = int(((ours == labels) & (floats != labels)).sum())
    lost = int(((ours != labels) & (floats == labels)).sum())
    with capsys.disabled():
        print(  # noqa: T201 - both figures are shown
            f"\n{task.name}: float {before:.2f} %, OpenVINO int8 {after:.2f} % of {len(labels)}, {size:,} bytes, "
            f"won {won}, lost {lost} (p {mcnemar(won, lost):.3f}); {'; '.join(notes)}"
        )
    assert after >= before - WITHIN
    if task.model.endswith(".onnx"):
        assert "OpenVINO read the source" in notes
