"""The timed loop and warm-up, with calls of known length, and what the loop costs."""

from array import array
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgekit.runner.board import loop


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
        monkeypatch.setattr(loop, "time", running)
        return running

    return made


def test_the_loop_wants_both_runs_and_seconds(clock: Callable[..., Clock]) -> None:
    running = clock(2)
    taken = loop.timed(running.invoke, min_runs=3, max_runs=10**6, min_s=0.05, max_s=5)
    assert list(taken) == [2_000_000] * 25  # the seconds decide
    assert running.calls == 25
    assert len(loop.timed(running.invoke, min_runs=30, max_runs=10**6, min_s=0, max_s=5)) == 30  # the runs decide


def test_the_loop_ends_in_any_case(clock: Callable[..., Clock]) -> None:
    running = clock(10)
    assert len(loop.timed(running.invoke, min_runs=1000, max_runs=10**6, min_s=0, max_s=0.05)) == 5
    assert len(loop.timed(running.invoke, min_runs=1000, max_runs=7, min_s=10, max_s=10)) == 7
    assert len(loop.timed(running.invoke, min_runs=1, max_runs=7, min_s=0, max_s=0)) == 1


@example([1.0], 1, 1.0, 0.0010000000000000002)
@given(st.lists(st.floats(0.001, 50), min_size=1, max_size=30), st.integers(1, 3000), st.floats(0, 2), st.floats(0, 3))
def test_the_loop_keeps_its_limits(lengths_ms: list[float], runs: int, min_s: float, max_s: float) -> None:
    running = Clock(*lengths_ms)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "time", running)
        taken = loop.timed(running.invoke, min_runs=runs, max_runs=4000, min_s=min_s, max_s=max_s)
    spent_s = running.perf_counter() + 1e-9  # limits are kept to the clock's last digit
    assert len(taken) == running.calls <= 4000
    assert sum(taken) == running.now_ns
    assert (len(taken) >= runs and spent_s >= min_s) or spent_s >= max_s or len(taken) == 4000


def test_warm_up_of_flat_latencies_is_the_shortest(clock: Callable[..., Clock]) -> None:
    running = clock(4)
    assert len(loop.warm_up(running.invoke, 5, 0.1)) == running.calls == 25


def test_warm_up_lasts_while_latencies_fall(clock: Callable[..., Clock]) -> None:
    running = clock(*(4 * 0.99**i for i in range(50)), 2)
    assert len(loop.warm_up(running.invoke, 5, 0.1)) > 50
    assert 0.1 < running.perf_counter() < 0.3


def test_warm_up_ends_although_latencies_fall_forever(clock: Callable[..., Clock]) -> None:
    running = clock(*(4 * 0.99**i for i in range(2000)))
    loop.warm_up(running.invoke, 5, 0.1)
    assert 0.3 <= running.perf_counter() < 0.45


def test_warm_up_makes_its_runs_even_where_seconds_are_few(clock: Callable[..., Clock]) -> None:
    running = clock(1)
    assert len(loop.warm_up(running.invoke, 12, 0)) == running.calls == 12


@given(st.lists(st.integers(1000, 10**9), min_size=8, max_size=200))
def test_sorted_upwards_nothing_falls(taken: list[int]) -> None:
    assert not loop.falling(array("q", sorted(taken)))


def test_falling_is_judged_by_the_last_half() -> None:
    assert not loop.falling(array("q", [10] * 7))  # too few to tell
    assert loop.falling(array("q", [100] * 50 + [100] * 25 + [90] * 25))
    assert not loop.falling(array("q", [1000] * 50 + [100] * 50))
    assert not loop.falling(array("q", [100, 101, 99, 100] * 25))


def test_the_harness_share_is_a_share() -> None:
    share = loop.harness_share(1, 1e6)
    assert 0 < share < 0.05  # of one millisecond


@pytest.mark.parametrize(("inference_ns", "each"), [(40_000, 1), (26_000, 4), (13_000, 8), (4_000, 32), (1_000, 128)])
def test_a_reading_of_the_clock_is_shared_where_it_would_cost_too_much(
    monkeypatch: pytest.MonkeyPatch, inference_ns: int, each: int
) -> None:
    monkeypatch.setattr(loop, "loop_ns", lambda _: 200.0)
    assert loop.per_reading(inference_ns) == each


@given(st.floats(1, 1e4), st.floats(0, 1e9))
def test_a_shared_reading_costs_little_of_each(empty_ns: float, inference_ns: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "loop_ns", lambda _: empty_ns)
        each = loop.per_reading(inference_ns)
    assert empty_ns / each <= loop.LARGE_SHARE * inference_ns or each == loop.MOST
    rounded = 1 + 1e-12
    share = empty_ns / each / max(inference_ns, 1e-300)
    assert each in (1, loop.MOST) or loop.SMALL_SHARE / 2 < share * rounded <= loop.SMALL_SHARE * rounded**2


def test_inferences_that_share_a_reading_are_all_run(clock: Callable[..., Clock]) -> None:
    running = clock(1)
    assert list(loop.timed(loop.grouped(running.invoke, 8), min_runs=3, max_runs=9, min_s=0, max_s=9)) == [8e6] * 3
    assert running.calls == 24
