"""The table of the cross-check, from tools whose answers are known."""

from itertools import cycle
from pathlib import Path

import pytest

from tests import networks
from tests.studies.measurement import crosscheck
from tests.studies.measurement.crosscheck import Pair, openvino_pair, rows


def pair(ours: list[float], theirs: list[float], tool: str = "litert-benchmark") -> Pair:
    mine, others = cycle(ours), cycle(theirs)
    return Pair("net, .tflite", tool, "median", lambda: next(mine), lambda: next(others))


@pytest.mark.parametrize(
    ("factor", "verdict"),
    # Ratios lie within 3 % of the factor; then what is rounded away is 0.5 %.
    [(1.0, "yes"), (1.003, "yes"), (1.023, "yes"), (1.05, "no"), (1.5, "no"), (0.5, "no")],
    ids=["same", "near", "rounded", "beyond", "slow", "fast"],
)
def test_tools_agree_within_the_interval(factor: float, verdict: str) -> None:
    ours = [1.00, 1.02, 0.99, 1.01, 1.03, 0.98, 1.00, 1.02]
    first, second = rows(pair(ours, [value * factor for value in reversed(ours)]), 8).splitlines()
    assert first == "| net, .tflite | edgekit | median | 1.005 | 0.980–1.030 | | |"
    assert second.startswith("| | litert-benchmark | median | ")
    assert second.endswith(f" | {verdict} |")


def test_a_tool_that_does_not_round_is_given_no_room() -> None:
    ours = [1.00, 1.02, 0.99, 1.01, 1.03, 0.98, 1.00, 1.02]
    theirs = [value * 1.023 for value in reversed(ours)]
    assert rows(pair(ours, theirs, "benchmark_app"), 8).endswith(" | no |\n")


def test_too_few_rounds_give_no_interval() -> None:
    first, second = rows(pair([1.0, 2.0], [1.0, 2.0]), 2).splitlines()
    assert "| 1.500 | – |" in first
    assert second.endswith(" | – |")


def test_both_go_first_in_turns() -> None:
    order: list[str] = []

    def tell(name: str) -> float:
        order.append(name)
        return 1.0

    rows(Pair("n", "benchmark_app", "mean", lambda: tell("ours"), lambda: tell("theirs")), 4)
    assert order == ["theirs", "ours", "ours", "theirs", "theirs", "ours", "ours", "theirs"]


def test_a_tflite_file_is_timed_by_openvinos_tool_and_by_edgekit_in_openvino(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crosscheck, "SECONDS", 1.0)
    made = openvino_pair("net", networks.classifier(tmp_path / "net.tflite"), tmp_path)
    assert 0 < made.ours() < 100
    assert 0 < made.theirs() < 100
    answer = tmp_path / "net-openvino/block1/answer.json"
    assert '"runtime": "openvino ' in answer.read_text()
