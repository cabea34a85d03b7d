"""The table of the cross-check, from tools whose answers are known."""

from itertools import cycle

import pytest

from tests.measure.crosscheck import Pair, rows


def pair(ours: list[float], theirs: list[float]) -> Pair:
    mine, others = cycle(ours), cycle(theirs)
    return Pair("net, .tflite", "other-tool", lambda: next(mine), lambda: next(others))


@pytest.mark.parametrize(
    ("factor", "verdict"),
    [(1.0, "yes"), (1.003, "yes"), (1.5, "no"), (0.5, "no")],
    ids=["same", "near", "slow", "fast"],
)
def test_tools_agree_within_the_interval(factor: float, verdict: str) -> None:
    ours = [1.00, 1.02, 0.99, 1.01, 1.03, 0.98, 1.00, 1.02]
    first, second = rows(pair(ours, [value * factor for value in reversed(ours)]), 8).splitlines()
    assert first == "| net, .tflite | edgekit | 1.005 | 0.980–1.030 | | |"
    assert second.startswith("| | other-tool | ")
    assert second.endswith(f" | {verdict} |")


def test_too_few_rounds_give_no_interval() -> None:
    first, second = rows(pair([1.0, 2.0], [1.0, 2.0]), 2).splitlines()
    assert "| 1.500 | – |" in first
    assert second.endswith(" | – |")


def test_both_go_first_in_turns() -> None:
    order: list[str] = []

    def tell(name: str) -> float:
        order.append(name)
        return 1.0

    rows(Pair("n", "t", lambda: tell("ours"), lambda: tell("theirs")), 4)
    assert order == ["theirs", "ours", "ours", "theirs", "theirs", "ours", "ours", "theirs"]
