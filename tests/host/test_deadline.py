"""How long something may take: decided by the seconds that it computes, and by what is known of its work."""

import math
import time
from collections.abc import Callable, Iterator

import pytest

from edgekit.errors import EndlessError
from edgekit.host import deadline
from edgekit.host.deadline import Effort


class Clock:
    """Seconds that passed, and those of them in which this process computed."""

    def __init__(self) -> None:
        self.passed = self.computed = 0.0

    def go(self, seconds: float, share: float = 1.0) -> None:
        self.passed += seconds
        self.computed += seconds * share


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    made = Clock()
    monkeypatch.setattr(time, "monotonic", lambda: made.passed)
    monkeypatch.setattr(time, "process_time", lambda: made.computed)
    monkeypatch.setattr(deadline, "_looked", (0, -math.inf))
    deadline.about("somewhere/net.onnx")
    yield made
    deadline.about("")


def nothing() -> Effort:
    return Effort()


def test_an_inference_ends_in_the_seconds_that_all_have(clock: Clock) -> None:
    with deadline.inference(nothing):
        clock.go(deadline.BASE_S - 1)
        assert deadline.overdue() is None
        clock.go(2)
        assert isinstance(deadline.overdue(), EndlessError)
    assert deadline.overdue() is None


def test_work_that_is_known_gets_more(clock: Clock) -> None:
    heavy = Effort(macs=int(100 * deadline.MACS_PER_S), values=int(50 * deadline.VALUES_PER_S))
    with deadline.inference(lambda: heavy, runs=2):
        clock.go(300)
        assert deadline.overdue() is None
        clock.go(deadline.BASE_S + 1)
        late = deadline.overdue()
    assert late is not None
    assert "within 310 s" in late.problem
    assert "--max-seconds 3100" in late.fix


def test_work_is_asked_for_only_if_it_is_late(clock: Clock) -> None:
    asked = []

    def effort() -> Effort:
        asked.append(1)
        return Effort()

    with deadline.inference(effort):
        clock.go(1)
        deadline.overdue()
        assert not asked
        clock.go(60)
        deadline.overdue()
        deadline.overdue()
    assert asked == [1]


def test_declared_work_earns_no_more_than_an_hour(clock: Clock) -> None:
    with deadline.inference(lambda: Effort(macs=10**30)):
        clock.go(deadline.MOST_S + deadline.BASE_S + 1)
        assert deadline.overdue() is not None


def test_a_busy_machine_makes_nobody_late(clock: Clock) -> None:
    with deadline.inference(nothing):
        clock.go(3 * deadline.BASE_S, share=0.3)
        assert deadline.overdue() is None


def test_what_computes_nothing_is_late_in_the_end(clock: Clock) -> None:
    with deadline.inference(nothing):
        clock.go(deadline.PATIENCE * deadline.BASE_S + 1, share=0)
        assert deadline.overdue() is not None


def test_many_threads_make_nobody_late(clock: Clock) -> None:
    with deadline.inference(nothing):
        clock.go(deadline.BASE_S / 2, share=64)
        assert deadline.overdue() is None


def damaged() -> Effort:
    raise IndexError("no such tensor")


def too_large() -> Effort:
    raise MemoryError


@pytest.mark.parametrize(
    ("effort", "named"),
    [
        (nothing, "and what it computes needs less"),
        (damaged, "and what it computes needs less"),
        (too_large, "and what it computes needs less"),
        (lambda: Effort(loops=("WHILE w",)), "its loop WHILE w may never end"),
        (lambda: Effort(loops=("a", "b", "c", "d", "e")), "one of its loops a, b, c and 2 more may never end"),
    ],
)
def test_the_complaint_names_file_loop_and_remedy(effort: Callable[[], Effort], named: str, clock: Clock) -> None:
    with deadline.inference(effort):
        clock.go(11)
        late = deadline.overdue()
    assert late is not None
    assert late.problem.startswith("One inference of net.onnx did not end")
    assert named in late.problem
    assert late.place.startswith("somewhere/net.onnx")
    assert "--max-seconds 100" in late.fix


def test_the_limit_can_be_raised(clock: Clock) -> None:
    deadline.allow(50)
    try:
        with deadline.inference(nothing):
            clock.go(49)
            assert deadline.overdue() is None
    finally:
        deadline.allow(deadline.BASE_S)


def test_the_outermost_of_several_steps_may_be_late(clock: Clock) -> None:
    with deadline.step("Reading net.onnx", "net.onnx", 2):
        clock.go(15)
        with deadline.inference(nothing):
            clock.go(6)
            late = deadline.overdue()
    assert late is not None
    assert late.problem == "Reading net.onnx took longer than 20 s."


def test_a_stopped_process_is_not_late(clock: Clock) -> None:
    with deadline.inference(nothing):
        with deadline.looked_away():
            clock.go(3600, share=0)
        assert deadline.overdue() is None
        clock.go(deadline.BASE_S + 1)
        assert deadline.overdue() is not None


def test_native_code_that_lets_nobody_look_is_late(clock: Clock) -> None:
    with deadline.inference(nothing):
        with deadline.looked_away():
            clock.go(60)
        assert deadline.overdue() is not None


@pytest.mark.parametrize(
    ("effort", "allowed"),
    [
        (Effort(loops=("Loop f",)), 0),
        (Effort(loops=("Loop f",), values=1 << 28), deadline.VALUE_BYTES << 28),
        (Effort(values=1), None),
    ],
)
def test_what_a_loop_collects_has_a_bound(
    effort: Effort, allowed: int | None, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = [1 << 30]
    monkeypatch.setattr(deadline, "_private_bytes", lambda: taken[0])
    with deadline.inference(lambda: effort):
        taken[0] += int(deadline.LOOP_BYTES_PER_S * deadline.BASE_S) + (allowed or 0)
        assert deadline.overdue() is None
        taken[0] += 1
        late = deadline.overdue()
    assert (late is None) == (allowed is None)
    if late is not None:
        assert "GiB of memory: its loop Loop f may never end" in late.problem
        assert "--max-seconds 100" in late.fix


def test_memory_of_this_process_alone_is_known() -> None:
    before = deadline._private_bytes()
    taken = bytearray(64 << 20)
    taken[::4096] = b"x" * len(taken[::4096])
    assert deadline._private_bytes() - before > 60 << 20
