"""Budgets of latency: predicted from operators alone, held by the file that is measured."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.channels import budget, cutting, dependencies, latency, pruning
from edgekit.channels.budget import Goal
from edgekit.channels.cutting import Rest
from edgekit.channels.dependencies import Dependencies
from edgekit.errors import InputError
from edgekit.waist import cost, graph, run
from tests.channels.generated import Layers, drawn, network
from tests.channels.test_pruning import looped, residual

Clock = Callable[[int], None]

_ = looped  # a fixture of the same networks


@pytest.fixture
def tiled(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Kernels that compute whole tiles of output channels, a thousand products in 1 ms, beside 1 ms of their own."""
    size = 8

    def alone_ms(tree: Any, operator: int) -> float:
        main = graph.describe(tree)[0]
        found = main.operators[operator]
        made = main.tensors[found.outputs[0]].shape[-1]
        return 1 + cost.macs(main, found) / 1000 * (-(-made // size) * size / made)

    def whole_ms(content: bytes) -> float:
        tree = graph.parse(content, Path("cut.tflite"))
        return sum(alone_ms(tree, one.index) for one in graph.describe(tree)[0].operators)

    def of(channels: int) -> None:
        nonlocal size
        size = channels

    monkeypatch.setattr(latency, "alone_ms", alone_ms)
    monkeypatch.setattr(latency, "whole_ms", whole_ms)
    monkeypatch.setitem(pruning.WRITTEN, "latency", whole_ms)
    return of


def several(net: Layers, x: int) -> int:
    """Channels of two layers joined, and shared out again."""
    x = net.concat(net.conv(x, 32), net.conv(x, 24, 1))
    x = net.conv(net.depthwise(x), 40)
    return net.dense(net.mean(x, 1, 2), 5)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Dependencies:
    def build(net: Layers, x: int) -> int:
        x = net.conv(net.conv(net.conv(x, 32), 64), 48)
        x = net.two("ADD", x, net.conv(net.conv(x, 64, 1), 48, 1, activation=0))
        x = net.conv(net.conv(x, 256, 1), 24, 1)
        return net.dense(net.mean(x, 1, 2), 5)

    return network(build, tmp_path_factory.mktemp("wide"), 1, 8, 8, 3)


def _written(found: Dependencies, gone: Any) -> bytes:
    return cutting.packed(cutting.cut(found, gone))


def _goal(found: Dependencies, remove: float) -> Goal:
    whole = latency.whole_ms(graph.pack(found.tree))
    return Goal("latency", whole, whole * (1 - remove), 0.1, 1)


@pytest.mark.usefixtures("tiled")
@pytest.mark.parametrize("build", [residual, several])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.5])
def test_a_prediction_is_what_is_measured(build: Any, share: float, tmp_path: Path) -> None:
    found = network(build, tmp_path, 1, 8, 8, 3)
    gone = drawn(found, share) if share else set()
    assert latency.table(found)(Rest(found, gone)) == pytest.approx(latency.whole_ms(_written(found, gone)), rel=0.1)


@pytest.mark.parametrize("size", [8, pytest.param(16, marks=pytest.mark.study), 32])
def test_times_fall_in_stairs(tiled: Clock, wide: Dependencies, size: int) -> None:
    tiled(size)
    predicted = latency.table(wide)
    for family in wide.families:
        for left in range(len(family.channels), 7, -5):
            gone = set(family.channels[left:])
            assert predicted(Rest(wide, gone)) == pytest.approx(latency.whole_ms(_written(wide, gone)), rel=0.05)


@pytest.mark.parametrize(
    ("size", "remove"),
    [
        (16, 0.2),
        (32, 0.4),
        (16, 0.6),
        *(pytest.param(*both, marks=pytest.mark.study) for both in ((32, 0.2), (16, 0.4), (32, 0.6))),
    ],
)
def test_what_is_cut_ends_tiles(tiled: Clock, wide: Dependencies, size: int, remove: float) -> None:
    """A budget is met as it is measured, and with no more multiply-adds gone than if tiles were not known."""
    tiled(size)
    goal, rankings = _goal(wide, remove), pruning.ranked(wide, {}, "l2", 0)
    gone = pruning.chosen(wide, rankings, latency.table(wide), goal)
    assert latency.whole_ms(_written(wide, gone)) <= goal.most
    macs = budget.spend(wide, "macs")
    whole = macs(Rest(wide, ()))
    unaware = pruning.chosen(wide, rankings, lambda rest: goal.whole * macs(rest) / whole, goal)
    assert macs(Rest(wide, gone)) >= macs(Rest(wide, unaware))


@pytest.mark.usefixtures("tiled")
@pytest.mark.parametrize("wrong", [0.5, 0.8, 1.3])
def test_a_wrong_prediction_is_measured_away(wide: Dependencies, wrong: float) -> None:
    """What is left of a network seems to take less than it does, or more."""
    exact, goal = latency.table(wide), _goal(wide, 0.3)

    def spend(rest: Rest) -> float:
        return goal.whole - (goal.whole - exact(rest)) / wrong

    gone = pruning.chosen(wide, pruning.ranked(wide, {}, "l2", 0), spend, goal)
    assert latency.whole_ms(_written(wide, gone)) <= goal.most


@pytest.mark.usefixtures("tiled")
def test_latency_that_cannot_go_is_told(tiled: Clock, wide: Dependencies, monkeypatch: pytest.MonkeyPatch) -> None:
    goal, spend = _goal(wide, 0.3), latency.table(wide)
    monkeypatch.setitem(pruning.WRITTEN, "latency", lambda content: goal.whole)  # whatever is cut, it takes as long
    with pytest.raises(InputError, match="30% of the latency cannot go"):
        pruning.chosen(wide, pruning.ranked(wide, {}, "l2", 0), spend, goal)


def test_a_loop_has_a_latency(looped: Path) -> None:
    found = dependencies.find(looped)
    assert latency.table(found)(Rest(found, ())) > 0


@pytest.mark.study
def test_real_kernels_are_as_fast_as_was_asked_for(tmp_path: Path) -> None:
    def build(net: Layers, x: int) -> int:
        return net.dense(net.mean(net.conv(net.conv(net.conv(x, 64), 64), 64), 1, 2), 5)

    found = network(build, tmp_path, 1, 24, 24, 16)
    goal = _goal(found, 0.5)
    gone = pruning.chosen(found, pruning.ranked(found, {}, "l2", 0), latency.table(found), goal)
    path = tmp_path / "cut.tflite"
    path.write_bytes(_written(found, gone))
    assert run.best_ms(path) <= goal.most * 1.15  # as far as two measurements of one file may differ here
