"""The order of blocks, which of them count, and that nothing stays on a device."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.engine.session import Session
from edgekit.errors import DeviceError
from edgekit.measure import protocol
from edgekit.measure.protocol import QUICK, Bench, Metering, turns
from edgekit.measure.statistics import compare
from edgekit.measure.subject import Measurable
from edgekit.nouns.model import Signature
from edgekit.nouns.profile import Comparison, State
from edgekit.nouns.sensing import Probe
from tests.measure.scripted import DEVICE, Scripted

SUBJECT = Measurable(Path("a.tflite"), "0" * 64, Signature(inputs=(), outputs=()))


def bench(session: Scripted) -> Bench:
    return Bench(cast("Session", session), DEVICE)


def run(session: Scripted, tmp_path: Path, subjects: int = 1, **more: Any) -> protocol.Observations:
    runs = [QUICK.run] * subjects
    with protocol.deployments(
        bench(session), [SUBJECT] * subjects, [tmp_path / "i.npz"] * subjects, runs
    ) as deployments:
        made = [protocol.Arm(deployment, QUICK.run) for deployment in deployments]
        return protocol.observe(
            bench(session), made, more.pop("settings", QUICK), more.pop("metering", None), tmp_path / "out"
        )


@given(st.integers(1, 30), st.integers(0, 1000))
def test_two_files_take_turns_in_pairs(blocks: int, seed: int) -> None:
    order = turns(2, blocks, seed)
    assert len(order) == 2 * blocks
    pairs = [tuple(order[i : i + 2]) for i in range(0, len(order), 2)]
    assert set(pairs) <= {(0, 1), (1, 0)}
    assert order == turns(2, blocks, seed)


def test_every_pair_draws_its_own_order() -> None:
    assert len({tuple(turns(2, 4, seed)) for seed in range(200)}) == 16


def bursts(rng: np.random.Generator, blocks: int) -> list[float]:
    """Block medians in ms while something else takes the machine for two blocks now and then."""
    logs = 0.03 * rng.standard_normal(blocks)
    i = int(rng.geometric(0.25))
    while i < blocks:
        logs[i : i + 2] += 0.35
        i += 2 + int(rng.geometric(0.25))
    return np.exp(logs).tolist()


def mirrored(subjects: int, blocks: int, seed: int) -> list[int]:
    """The order that was rejected: ABBA or BAAB, drawn for each four."""
    draw = np.random.default_rng(seed)
    return [which for _ in range(blocks // subjects) for which in ((0, 1, 1, 0), (1, 0, 0, 1))[draw.integers(2)]]


Order = Callable[[int, int, int], list[int]]


def against_itself(order: Order, seed: int, medians: list[float]) -> Comparison:
    """What is said of a file and itself, whose 20 blocks had these medians one after the other."""
    rows: tuple[list[float], list[float]] = ([], [])
    for which, median in zip(order(2, 10, seed), medians, strict=True):
        rows[which].append(median)
    return compare(*rows)


def false_alarms(order: Order, times: int = 1500) -> int:
    """How often a difference is called where both files are the same, and bursts strike."""
    rng = np.random.default_rng(0)
    found = [against_itself(order, seed, bursts(rng, 20)) for seed in range(times)]
    return sum(row.verdict != "no difference shown" for row in found)


def test_bursts_of_other_work_make_no_false_alarms() -> None:
    called = {"drawn": false_alarms(turns), "mirrored": false_alarms(mirrored)}
    assert called["drawn"] / 1500 <= 0.05 + 2.5 * (0.05 * 0.95 / 1500) ** 0.5
    assert called["mirrored"] > 1.4 * called["drawn"]
    print(f"called of 1,500: {called}")  # noqa: T201 - the figures of docs/explanation/measurement.md


def width(order: Order) -> float:
    """The median width of intervals, relative, where a machine slows down by 20 % over the run."""
    rng, slower = np.random.default_rng(0), np.linspace(1.0, 1.2, 20)
    found = [against_itself(order, seed, (slower * rng.lognormal(0, 0.01, 20)).tolist()) for seed in range(300)]
    return float(np.median([row.high / row.low - 1 for row in found if row.high and row.low]))


def test_a_steady_drift_makes_intervals_of_both_orders_equally_wide() -> None:
    seen = {"drawn": width(turns), "mirrored": width(mirrored)}
    print(f"median width: {seen}")  # noqa: T201 - what docs/explanation/measurement.md says of a drift
    assert seen["drawn"] == pytest.approx(seen["mirrored"], rel=0.1)


def test_the_same_inferences_timed_singly_and_in_groups_would_look_different() -> None:
    """Why all blocks of a measurement share readings alike: a median of means is not one of single times."""
    rng = np.random.default_rng(0)
    blocks = [rng.lognormal(0, 0.3, 4096) for _ in range(10)]
    singly = [float(np.median(block)) for block in blocks]
    grouped = [float(np.median(block.reshape(-1, 16).mean(1))) for block in blocks]
    assert compare(grouped, singly).verdict == "slower"


def test_one_file_has_its_blocks_one_after_the_other(tmp_path: Path) -> None:
    session = Scripted()
    seen = run(session, tmp_path)
    assert [block.index for block in seen.blocks[0]] == list(range(10))
    assert all(block.counted for block in seen.blocks[0])
    assert seen.order == "A" * 10
    assert session.open_places == []


def readings(course: protocol.Observations) -> list[list[int]]:
    return [[block.latency.inferences_per_reading for block in row if block.latency] for row in course.blocks]


def test_all_blocks_share_readings_as_the_first_one_does(tmp_path: Path) -> None:
    chosen = iter((8, 16, 4))
    session = Scripted(per_reading=lambda _: next(chosen))
    assert readings(run(session, tmp_path)) == [[8] * 10]
    assert blocks_run(session) == 10


@pytest.mark.parametrize("long_one", [0, 1])
def test_files_of_which_one_is_too_short_to_be_timed_alone_are_timed_alike(tmp_path: Path, long_one: int) -> None:
    """Medians of single times and of means differ by themselves (see below)."""
    session = Scripted(per_reading=lambda which: 1 if which == long_one else 16)
    seen = run(session, tmp_path, subjects=2)
    assert readings(seen) == [[16] * 10, [16] * 10]
    assert blocks_run(session) == 22  # the first pair again
    assert [sorted(block.index for block in row) for row in seen.blocks] == [
        [i for i, letter in enumerate(seen.order) if letter == side] for side in "AB"
    ]


def blocks_run(session: Scripted) -> int:
    return sum(method == "run" for _, method, _ in session.asked)


@pytest.mark.parametrize(("each_s", "subjects", "blocks"), [(0.6, 1, 10), (0.8, 1, 8), (3.0, 1, 6), (0.9, 2, 7)])
def test_a_quick_measurement_ends_in_time_but_with_enough_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, each_s: float, subjects: int, blocks: int
) -> None:
    session = Scripted()
    monkeypatch.setattr(protocol.time, "monotonic", lambda: session.now_s * each_s / QUICK.run.min_s)
    seen = run(session, tmp_path, subjects)
    assert [len(row) for row in seen.blocks] == [blocks] * subjects
    assert len(seen.order) == blocks * subjects
    fewer = f"{blocks} blocks instead of 10, and no plots, so that it stays quick"
    assert seen.flags == (() if blocks == 10 else (fewer,))


def test_what_was_put_on_a_device_is_taken_back_when_it_fails_half_way(tmp_path: Path) -> None:
    session = Scripted(dies_at=3)
    with pytest.raises(DeviceError, match="went away"):
        run(session, tmp_path, subjects=2)
    assert session.open_places == []


def test_what_was_put_on_a_device_is_taken_back_when_the_user_interrupts(tmp_path: Path) -> None:
    session = Scripted()

    class Impatient:
        def begin(self, step: str) -> None:
            if "block 3" in step:
                raise KeyboardInterrupt

        def plan(self, steps: int) -> None: ...
        def end(self, step: str, *, from_cache: bool) -> None: ...

    session.progress = cast("Any", Impatient())
    with pytest.raises(KeyboardInterrupt):
        run(session, tmp_path)
    assert session.open_places == []


def test_a_failed_opening_closes_its_place_and_those_before(tmp_path: Path) -> None:
    session = Scripted()
    real = session._drivers_open
    calls = iter(range(2))

    def fails_second(**arguments: Any) -> Any:
        made = real(**arguments)
        if next(calls) == 1:
            raise DeviceError("no room")
        return made

    session._drivers_open = fails_second  # type: ignore[method-assign]
    with pytest.raises(DeviceError, match="no room"):
        run(session, tmp_path, subjects=2)
    assert session.open_places == []


def test_a_block_in_which_the_device_throttled_does_not_count(tmp_path: Path) -> None:
    cool, hot = State(utc="t", throttled=()), State(utc="t", throttled=("throttled",))
    seen = run(Scripted(states=(cool, cool, hot, hot, cool)), tmp_path)
    assert [block.counted for block in seen.blocks[0]] == [True, False, False, False] + [True] * 6  # it began hot


def test_a_block_in_which_throttling_came_and_went_does_not_count(tmp_path: Path) -> None:
    states = [State(utc="t", throttled=(), has_throttled=words) for words in ((), (), ("throttled",), ("throttled",))]
    seen = run(Scripted(states=tuple(states)), tmp_path)
    assert [block.counted for block in seen.blocks[0]] == [True, False] + [True] * 8


def test_the_protocol_waits_until_the_device_is_cool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(protocol.time, "sleep", waited.append)
    warm = [State(utc="t", temperature_c=t) for t in (40.0, 50.0, 48.0, 44.0, 41.5, 41.0)]
    settings = protocol.replace(QUICK, protocol=protocol.FULL.protocol, limit_s=None)
    seen = run(Scripted(states=tuple(warm)), tmp_path, settings=settings)
    assert len(waited) == 3 - 1  # 50 was seen by the first block itself; then 48 and 44 are too warm
    assert seen.flags == ()


def test_a_device_that_stays_warm_is_flagged_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 100_000, 10))
    monkeypatch.setattr(protocol.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(protocol.time, "sleep", lambda s: None)
    settings = protocol.replace(QUICK, protocol=protocol.FULL.protocol, limit_s=None)
    states = (State(utc="t", temperature_c=40.0), State(utc="t", temperature_c=60.0))
    seen = run(Scripted(states=states), tmp_path, settings=settings)
    assert seen.flags == ("the device did not cool down to within 2 °C of its temperature at the start",)


def test_an_instrument_on_the_desk_is_read_on_the_devices_clock(tmp_path: Path) -> None:
    metering = Metering("desk", Probe(meter="desk"), "external_meter", at_host=True)
    seen = run(Scripted(), tmp_path, metering=metering)
    for block, trace in zip(seen.blocks[0], seen.traces[0], strict=True):
        assert trace is not None
        assert trace.rails["all"].t_s[0] == pytest.approx(block.begin_s)
        assert trace.rails["all"].t_s[-1] == pytest.approx(block.end_s)
    assert len(seen.idle) == 2


@pytest.mark.parametrize(("provenance", "least_s"), [("battery_gauge", 300.0), ("measured_rail", 10.0)])
def test_energy_needs_long_blocks(provenance: str, least_s: float) -> None:
    assert protocol.energy_settings(protocol.FULL, provenance).run.min_s == least_s
