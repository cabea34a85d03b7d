"""The study's page, from rows that different revisions measured."""

from pathlib import Path

import pytest

from tests.studies.coverage.cases import Case
from tests.studies.graphs import __main__ as study


def test_rows_are_kept_and_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "OUTCOMES", tmp_path / "outcomes.jsonl")
    cells = ["9", "8", "", "2.000", "1.000", "0.50", "0.10", "1 PAD folded"]
    study.keep(study.Row(table="floats", name="onnx/a.onnx", cells=cells))
    study.keep(study.Row(table="floats", name="onnx/nothing.onnx"))
    study.keep(study.Row(table="floats", name="onnx/a.onnx", cells=[*cells[:5], "0.75", *cells[6:]]))
    study.keep(study.Row(table="int8", name="onnx/mel_frontend.onnx", target="android", cells=["1", "2", "1.00"]))
    names = ("a.onnx", "nothing.onnx", "mel_frontend.onnx", "later.onnx")
    told = study.page([Case("onnx", Path(name)) for name in names])
    (row,) = (line for line in told.splitlines() if line.startswith("| onnx/a.onnx"))
    assert "| 0.75 | 0.10 | 1 PAD folded | " in row
    assert not any(line.startswith("| onnx/nothing.onnx") for line in told.splitlines())
    assert "Not measured yet: onnx/mel_frontend.onnx, onnx/later.onnx." in told, "one of its rows is there, two are not"


@pytest.mark.parametrize(("after", "slower"), [(1.0, False), (2.0, True)])
def test_a_slower_file_is_told(after: float, *, slower: bool) -> None:
    assert study.compared(1.0, after) == (f"{after:.2f}", slower)
