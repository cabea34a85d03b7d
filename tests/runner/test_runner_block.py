"""The timed loop, warm-up and what surrounds them, with calls of known length."""

import os
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.runner.board import block, litert, onnx_files
from edgekit.runner.board.refusal import Refusal


class Clock:
    """Time that passes only in calls: they take these lengths one after the other, the last one ever after."""

    def __init__(self, *lengths_ms: float) -> None:
        self.lengths_ms, self.calls, self.now_ns = lengths_ms, 0, 0

    def perf_counter_ns(self) -> int:
        return self.now_ns

    def perf_counter(self) -> float:
        return self.now_ns / 1e9

    def invoke(self) -> None:
        self.now_ns += int(self.lengths_ms[min(self.calls, len(self.lengths_ms) - 1)] * 1e6)
        self.calls += 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Clock]:
    def made(*lengths_ms: float) -> Clock:
        running = Clock(*lengths_ms)
        monkeypatch.setattr(block, "time", running)
        return running

    return made


def test_the_loop_wants_both_runs_and_seconds(clock: Callable[..., Clock]) -> None:
    running = clock(2)
    taken = block.timed(running.invoke, min_runs=3, max_runs=10**6, min_s=0.05, max_s=5)
    assert list(taken) == [2_000_000] * 25  # the seconds decide
    assert running.calls == 25
    assert len(block.timed(running.invoke, min_runs=30, max_runs=10**6, min_s=0, max_s=5)) == 30  # the runs decide


def test_the_loop_ends_in_any_case(clock: Callable[..., Clock]) -> None:
    running = clock(10)
    assert len(block.timed(running.invoke, min_runs=1000, max_runs=10**6, min_s=0, max_s=0.05)) == 5
    assert len(block.timed(running.invoke, min_runs=1000, max_runs=7, min_s=10, max_s=10)) == 7
    assert len(block.timed(running.invoke, min_runs=1, max_runs=7, min_s=0, max_s=0)) == 1


@given(st.lists(st.floats(0.001, 50), min_size=1, max_size=30), st.integers(1, 3000), st.floats(0, 2), st.floats(0, 3))
def test_the_loop_keeps_its_limits(lengths_ms: list[float], runs: int, min_s: float, max_s: float) -> None:
    running = Clock(*lengths_ms)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block, "time", running)
        taken = block.timed(running.invoke, min_runs=runs, max_runs=4000, min_s=min_s, max_s=max_s)
    spent_s = running.perf_counter()
    assert len(taken) == running.calls <= 4000
    assert sum(taken) == running.now_ns
    assert (len(taken) >= runs and spent_s >= min_s) or spent_s >= max_s or len(taken) == 4000


def test_warm_up_of_flat_latencies_is_the_shortest(clock: Callable[..., Clock]) -> None:
    running = clock(4)
    assert len(block.warm_up(running.invoke, 5, 0.1)) == running.calls == 25


def test_warm_up_lasts_while_latencies_fall(clock: Callable[..., Clock]) -> None:
    running = clock(*(4 * 0.99**i for i in range(50)), 2)
    assert len(block.warm_up(running.invoke, 5, 0.1)) > 50
    assert 0.1 < running.perf_counter() < 0.3


def test_warm_up_ends_although_latencies_fall_forever(clock: Callable[..., Clock]) -> None:
    running = clock(*(4 * 0.99**i for i in range(2000)))
    block.warm_up(running.invoke, 5, 0.1)
    assert 0.3 <= running.perf_counter() < 0.45


def test_warm_up_makes_its_runs_even_where_seconds_are_few(clock: Callable[..., Clock]) -> None:
    running = clock(1)
    assert len(block.warm_up(running.invoke, 12, 0)) == running.calls == 12


@given(st.lists(st.integers(1000, 10**9), min_size=8, max_size=200))
def test_sorted_upwards_nothing_falls(taken: list[int]) -> None:
    assert not block.falling(array("q", sorted(taken)))


def test_falling_is_judged_by_the_last_half() -> None:
    assert not block.falling(array("q", [10] * 7))  # too few to tell
    assert block.falling(array("q", [100] * 50 + [100] * 25 + [90] * 25))
    assert not block.falling(array("q", [1000] * 50 + [100] * 50))
    assert not block.falling(array("q", [100, 101, 99, 100] * 25))


def test_the_harness_share_is_a_share() -> None:
    share = block.harness_share(1, 1e6)
    assert 0 < share < 0.05  # of one millisecond


@pytest.mark.parametrize(("inference_ns", "each"), [(40_000, 1), (26_000, 4), (13_000, 8), (4_000, 32), (1_000, 128)])
def test_a_reading_of_the_clock_is_shared_where_it_would_cost_too_much(
    monkeypatch: pytest.MonkeyPatch, inference_ns: int, each: int
) -> None:
    monkeypatch.setattr(block, "loop_ns", lambda _: 200.0)
    assert block.per_reading(inference_ns) == each


@given(st.floats(1, 1e4), st.floats(1, 1e9))
def test_a_shared_reading_costs_little_of_each(empty_ns: float, inference_ns: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block, "loop_ns", lambda _: empty_ns)
        each = block.per_reading(inference_ns)
    assert empty_ns / each <= block.LARGE_SHARE * inference_ns
    assert each == 1 or block.SMALL_SHARE / 2 < empty_ns / each / inference_ns <= block.SMALL_SHARE


def test_inferences_that_share_a_reading_are_all_run(clock: Callable[..., Clock]) -> None:
    running = clock(1)
    assert list(block.timed(block.grouped(running.invoke, 8), min_runs=3, max_runs=9, min_s=0, max_s=9)) == [8e6] * 3
    assert running.calls == 24


def test_samples_must_be_there_and_as_many_of_each(tmp_path: Path) -> None:
    np.savez(tmp_path / "none.npz")
    np.savez(tmp_path / "empty.npz", a=np.zeros((0, 3)))
    np.savez(tmp_path / "uneven.npz", a=np.zeros((2, 3)), b=np.zeros((3, 3)))
    for name in ("empty", "uneven"):
        with pytest.raises(Refusal, match="no samples, or not as many"):
            block.samples(str(tmp_path / f"{name}.npz"))
    assert block.samples(str(tmp_path / "none.npz")) == {}  # a network without inputs


def test_no_core_no_pinning_and_a_wrong_core_is_named() -> None:
    before = os.sched_getaffinity(0)
    block.pin([])
    assert os.sched_getaffinity(0) == before
    with pytest.raises(Refusal, match="no such cores"):
        block.pin([4000])
    try:
        block.pin([min(before)])
        assert os.sched_getaffinity(0) == {min(before)}
    finally:
        os.sched_setaffinity(0, before)


def node(name: str, inputs: list[int], outputs: list[int]) -> dict[str, Any]:
    return {"op_name": name, "inputs": np.array(inputs, np.int32), "outputs": np.array(outputs, np.int32)}


CHAIN = [node("CONV_2D", [0, 9], [1]), node("CUSTOM", [1], [2]), node("ADD", [2, 1], [3]), node("SOFTMAX", [3], [4])]


@pytest.mark.parametrize(
    ("partitions", "stayed"),
    [
        ([], ["CONV_2D", "CUSTOM", "ADD", "SOFTMAX"]),
        ([([0, 9], [4])], []),
        ([([0, 9], [1]), ([2, 1], [4])], ["CUSTOM"]),
        ([([2, 1], [3])], ["CONV_2D", "CUSTOM", "SOFTMAX"]),
    ],
)
def test_what_a_delegate_left(partitions: list[tuple[list[int], list[int]]], stayed: list[str]) -> None:
    nodes = CHAIN + [node("DELEGATE", *partition) for partition in partitions]
    assert litert.split(nodes) == (stayed, len(partitions))
    named = CHAIN + [node("EdgeTpuDelegateForCustomOp", *partition) for partition in partitions]
    assert litert.split(named) == (stayed, len(partitions))


def test_a_span_joins_what_lies_together() -> None:
    far = 10 * litert.GAP
    assert litert.span([]) == 0
    assert litert.span([(100, 200), (150, 180), (300, 400)]) == 300
    assert litert.span([(far, far + 50), (100, 200)]) == 150


def test_a_profile_of_onnx_runtime_counts_the_last_runs() -> None:
    def kernel(name: str, ts: int, dur: int) -> dict[str, Any]:
        args = {"op_name": "Conv", "provider": "CPUExecutionProvider"}
        return {"cat": "Node", "name": f"{name}_kernel_time", "ts": ts, "dur": dur, "args": args}

    events = [{"cat": "Session", "name": "model_run", "ts": ts, "dur": 90} for ts in (0, 100, 200)]
    events += [kernel("a", 10, 9999), kernel("a", 110, 20), kernel("a", 210, 40)]
    events += [kernel("loop", 220, 10), kernel("loop", 240, 10), kernel("loop", 120, 10), kernel("loop", 140, 10)]
    rows = {row["name"]: row for row in onnx_files.read_profile(events, 2)}
    assert rows["a"]["mean_ms"] == pytest.approx(0.03)
    assert rows["a"] | {"mean_ms": 0} == {"name": "a", "kind": "Conv", "mean_ms": 0, "calls": 1, "runs_on": "CPU"}
    assert rows["loop"]["calls"] == 2
    assert rows["loop"]["mean_ms"] == pytest.approx(0.02)
