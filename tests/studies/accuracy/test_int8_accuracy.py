"""int8 on the device runtime against float, plain TFLiteConverter and published int8 files."""

from pathlib import Path

import pytest

from edgekit.engine.worker import Worker
from tests.studies.accuracy.rows import Column, Row, mcnemar, measure
from tests.studies.accuracy.table import markdown
from tests.studies.accuracy.tasks import PARAMETERS, Task

SIGNIFICANT = 0.05
"""A p-value below this is a difference that the samples prove."""


@pytest.mark.shared
@pytest.mark.parametrize("task", PARAMETERS)
def test_int8_keeps_the_accuracy(
    task: Task, worker: Worker, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = measure(worker, task, shared, tmp_path, {})
    with capsys.disabled():
        print(f"\n{markdown([row])}{task.split}; {'; '.join(row.notes)}")  # noqa: T201 - both figures are shown
    ours = row.columns["edgekit"].top1
    assert task.at_least is None or ours >= task.at_least
    assert task.within is None or ours >= row.float_top1 - task.within
    for name, column in row.columns.items():
        proven_worse = column.lost > column.won and (column.p_value or 1) < SIGNIFICANT
        assert not proven_worse, f"worse than {name}: {ours:.2f} against {column.top1:.2f} (p {column.p_value})"


@pytest.mark.parametrize(
    ("won", "lost", "p"), [(0, 0, 1), (5, 5, 1), (10, 0, 2 / 1024), (0, 10, 2 / 1024), (1, 4, 0.375), (12, 4, 0.0768)]
)
def test_the_paired_test(won: int, lost: int, p: float) -> None:
    assert mcnemar(won, lost) == pytest.approx(p, abs=1e-4)


def test_the_table_shows_only_columns_that_exist() -> None:
    row = Row(
        name="net",
        split="",
        samples=10,
        float_top1=90,
        columns={"edgekit": Column(top1=89, bytes=1), "reference": Column(top1=80, bytes=1, won=9, p_value=0.004)},
    )
    assert markdown([row]) == (
        "| model | samples | float32 | edgekit int8 | reference int8 |\n"
        "| --- | ---: | ---: | ---: | ---: |\n"
        "| net | 10 | 90.00 | **89.00** | 80.00 (p 0.004) |\n"
    )
