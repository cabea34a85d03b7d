from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.backends.edgetpu import log


def test_a_whole_log(logs: Path) -> None:
    report = log.parse((logs / "yolov5s.log").read_text())
    assert report.version == "16.0.384591198"
    assert (report.subgraphs, report.on_edge_tpu, report.on_cpu) == (2, 289, 5)
    assert sum(row.count for row in report.statuses) == 294
    assert sum(row.count for row in report.statuses if row.status == log.MAPPED) == 289
    assert log.Status(operator="TRANSPOSE", count=2, status="Mapped to Edge TPU") in report.statuses
    assert report.memory[0] == "On-chip memory used for caching model parameters: 6.08MiB"
    assert len(report.memory) == 3


def test_every_status_of_a_kind_is_kept(logs: Path) -> None:
    report = log.parse((logs / "yolov3_tiny.log").read_text())
    quantize = {row.status: row.count for row in report.statuses if row.operator == "QUANTIZE"}
    assert quantize == {
        "Operation is otherwise supported, but not mapped due to some unspecified limitation": 2,
        "Mapped to Edge TPU": 1,
        "More than one subgraph is not supported": 1,
    }
    assert sum(row.count for row in report.statuses) == report.on_edge_tpu + report.on_cpu


def test_the_operation_log_alone(logs: Path) -> None:
    report = log.parse((logs / "mnist.log").read_text())
    assert report.version == "15.0.340273435"
    assert report.on_edge_tpu is None
    assert len(report.statuses) == 7


def test_screen_and_operation_log_together_count_once(logs: Path) -> None:
    text = (logs / "yolov5s.log").read_text()
    assert log.parse(text + text) == log.parse(text)


def test_nothing_is_an_empty_report() -> None:
    assert log.parse("") == log.Report()


@given(st.text())
def test_any_text_is_a_report(text: str) -> None:
    assert isinstance(log.parse(text), log.Report)
    assert log.failure(text).problem


@pytest.mark.parametrize(
    ("name", "problem", "fix"),
    [
        ("internal_error", "internal error", "run again"),
        ("new_version", "does not know version 4 of the operator TRANSPOSE_CONV", "replace TRANSPOSE_CONV"),
        ("large_activations", "activations do not fit", "smaller input"),
    ],
)
def test_a_failure_is_explained(logs: Path, name: str, problem: str, fix: str) -> None:
    found = log.failure((logs / f"{name}.log").read_text())
    assert problem in found.problem
    assert fix in found.fix


def test_unknown_words_are_passed_on() -> None:
    found = log.failure("Edge TPU Compiler version 17.0\n\nThe moon is in the wrong phase.\n")
    assert found.problem == "edgetpu_compiler failed: The moon is in the wrong phase."


def test_silence_is_named() -> None:
    assert "it said nothing" in log.failure("").problem
