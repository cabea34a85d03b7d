"""Remarks: seen where they are true, silent where only noise is."""

import itertools

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgekit.measure.flags import (
    DIP_LIMITS,
    Array,
    crowded,
    dip,
    far_out,
    modes_within,
    outlying_blocks,
    outlying_inferences,
    remarks,
    several_modes,
    slower_blocks,
    spans,
    split,
    throttling,
    trend,
    trend_within,
)
from edgekit.nouns.profile import Block, Device, Distribution, Run, State

NAMES = range(1, 11)


def blocks(medians: list[float], seed: int = 0, runs: int = 200) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [median * rng.normal(1, 0.02, runs) for median in medians]


def seen(latencies: list[Array], throttled: tuple[int, ...] = ()) -> list[Block]:
    return [
        Block(
            index=i,
            latency=Distribution(
                runs=len(taken), mean_ms=float(taken.mean()), min_ms=0.0, max_ms=9.0, median_ms=float(np.median(taken))
            ),
            counted=i not in throttled,
            after=State(utc="2026-01-01", throttled=("thermal status 2",) if i in throttled else ()),
        )
        for i, taken in enumerate(latencies)
    ]


def test_quiet_blocks_have_no_remark() -> None:
    taken = blocks([1.0] * 10)
    assert remarks(seen(taken), taken) == ()


def test_a_slow_group_is_named_in_plain_words() -> None:
    taken = blocks([1.0, 1.0, 1.0, 1.12, 1.12, 1.12, 1.12, 1.0, 1.0, 1.0])
    assert remarks(seen(taken), taken) == ("blocks 4–7 were slower than the others by 12 %",)


def test_blocks_that_throttled_are_named_and_left_out_of_the_rest() -> None:
    taken = blocks([1.0, 1.0, 1.0, 5.0, 5.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    told = "the device throttled (thermal status 2) in blocks 4–5; they are not counted"
    assert remarks(seen(taken, throttled=(3, 4)), taken) == (told,)
    assert remarks(seen(taken[:1], throttled=(0,)), taken[:1])[0].endswith("in block 1; it is not counted")


HOT, COOL = State(utc="t", throttled=("thermal status 2",)), State(utc="t", throttled=())
OFTEN, ONCE = (State(utc="t", throttled=(), has_throttled=words) for words in (("capped", "throttled"), ("capped",)))
MUTE = State(utc="t")


@pytest.mark.parametrize(
    ("before", "after", "reasons"),
    [
        (COOL, COOL, ()),
        (COOL, HOT, ("thermal status 2",)),
        (HOT, COOL, ("thermal status 2",)),
        (HOT, HOT, ("thermal status 2",)),
        (ONCE, OFTEN, ("throttled",)),
        (OFTEN, OFTEN, ()),
        (OFTEN, ONCE, ()),  # somebody reset the firmware's memory
        (MUTE, OFTEN, ()),  # it is not known when
        (MUTE, MUTE, ()),
        (None, HOT, ("thermal status 2",)),
        (None, None, ()),
    ],
)
def test_a_block_throttled_before_after_or_between(
    before: State | None, after: State | None, reasons: tuple[str, ...]
) -> None:
    assert throttling(Block(before=before, after=after)) == reasons


def test_a_device_that_cannot_tell_anew_of_throttling_is_named() -> None:
    taken = blocks([1.0] * 10)
    rows = [msgspec.structs.replace(block, before=ONCE, after=ONCE) for block in seen(taken)]
    told = "the device has throttled since it started (capped): whether it did again within a block is not known"
    assert remarks(rows, taken) == (told,)


def test_a_device_without_single_latencies_has_remarks_on_blocks_all_the_same() -> None:
    rows = seen(blocks([1 + 0.02 * i for i in range(10)]))
    assert remarks(rows, [None] * 10) == ("latency rose by 16 % from the first block to the last",)
    assert remarks([], []) == ()


def test_times_that_several_inferences_share_are_said_to_be_means() -> None:
    rows = [np.append(row, row[0] * 9) for row in blocks([1.0] * 6)]
    shared = seen(rows)
    for i, block in enumerate(shared):
        assert block.latency is not None
        latency = msgspec.structs.replace(block.latency, inferences_per_reading=8)
        shared[i] = msgspec.structs.replace(block, latency=latency)
    remark = "an inference is too short to be timed alone: each time is the mean of 8 in a row; no percentiles"
    assert remarks(shared, rows) == (remark,)
    assert "lie far from" in remarks(seen(rows), rows)[0]  # which would count means as inferences


@pytest.mark.parametrize(("share", "said"), [(0.002, ()), (0.013, ("the timing loop itself is 1.3 % of each time",))])
def test_a_loop_that_takes_much_of_an_inference_is_said(share: float, said: tuple[str, ...]) -> None:
    rows = blocks([1.0] * 6)
    assert remarks([msgspec.structs.replace(block, harness_share=share) for block in seen(rows)], rows) == said


def test_outliers_are_counted_and_said() -> None:
    taken = blocks([1.0] * 6)
    taken[2][7] = 9.0
    assert outlying_inferences(taken) == (
        "1 of 1200 inferences lie far from their block's median, up to 9 ms; they are counted"
    )
    medians = np.array([1.0, 1.01, 0.99, 1.02, 3.1, 1.0])
    assert (
        outlying_blocks(medians, NAMES[:6])
        == "block 5 took 3.08 times as long as the median block; nothing is left out"
    )


@given(st.lists(st.floats(0.1, 10), min_size=3, max_size=40), st.floats(0.1, 100))
def test_being_far_out_has_no_unit(values: list[float], factor: float) -> None:
    away = np.abs(np.array(values) - np.median(values))
    mad = float(np.median(away))
    assume(mad > 1e-6)
    assume(not np.any(np.isclose(away, 14.8 * mad)))
    assert (far_out(np.array(values)) == far_out(factor * np.array(values))).all()
    assert far_out(np.array(values)).sum() < len(values) / 2


def test_a_clock_that_is_too_coarse_makes_no_outliers() -> None:
    assert not far_out(np.array([1.0] * 9 + [1.1])).any()


@pytest.mark.parametrize("n", [6, 10, 20])
def test_between_processes_that_differ_by_chance_a_trend_is_rarely_seen(n: int) -> None:
    rows = np.exp(0.17 * np.random.default_rng(1).standard_normal((600, n)))
    assert np.mean([bool(trend(row)) for row in rows]) <= 0.07
    # The last block by the first alone would nearly always be remarked on.
    assert np.mean(np.abs(rows[:, -1] / rows[:, 0] - 1) > 0.03) > 0.85


def test_a_trend_is_exact_for_six_blocks() -> None:
    # Of 720 orders only those with at most one inversion (1 + 5) come below 2.5 % at either end.
    base = np.array([1.0, 1.1, 1.2, 1.3, 1.4, 1.5])
    found = [trend(base[list(order)]) for order in itertools.permutations(range(6))]
    assert sum("rose" in words for words in found) == 6
    assert sum("fell" in words for words in found) == 6


def test_a_trend_too_small_to_matter_is_not_remarked_on() -> None:
    assert trend(1 + 0.002 * np.arange(10)) == ""
    assert trend(np.arange(1.0, 6.0)) == ""


def test_a_trend_within_blocks_is_seen() -> None:
    rising = [block * np.linspace(1, 1.1, len(block)) for block in blocks([1.0] * 10)]
    assert trend_within(rising) == "latency rose by 7 % within a block"
    assert trend_within(blocks([1.0] * 10)) == ""


def test_two_modes_within_blocks_are_seen() -> None:
    rng = np.random.default_rng(2)
    mixed = [block * np.where(rng.random(len(block)) < 0.3, 1.4, 1.0) for block in blocks([1.0] * 10)]
    assert modes_within(mixed) == "within blocks latency has two modes or more: 31 % are slower by 40 %"
    assert modes_within(blocks([1.0, 2.0] * 5)) == ""  # blocks differ, their inferences do not
    assert modes_within([]) == ""


@pytest.mark.parametrize("n", [6, 10, 20])
def test_blocks_of_one_mode_rarely_look_like_two(n: int) -> None:
    rng = np.random.default_rng(3)
    for rows in (rng.standard_normal((400, n)), rng.standard_t(2, (400, n)), rng.exponential(size=(400, n))):
        assert np.mean([several_modes(row) for row in rows]) <= 0.05


@pytest.mark.parametrize("slow", [4, 5])
def test_two_groups_of_ten_blocks_are_seen_from_four_on(slow: int) -> None:
    rng = np.random.default_rng(4)
    found = [slower_blocks(rng.normal(1, 0.01, 10) + 0.2 * (np.arange(10) < slow), NAMES) for _ in range(100)]
    assert np.mean([words.startswith(f"blocks 1–{slow} were slower") for words in found]) > 0.9


def test_a_smaller_slow_group_is_seen_as_far_out() -> None:
    taken = blocks([1.0, 1.2, 1.0, 1.0, 1.0, 1.0, 1.0, 1.2, 1.0, 1.0])
    told = "block 2 took 1.20 times as long, block 8 took 1.20 times as long as the median block; nothing is left out"
    assert remarks(seen(taken), taken) == (told,)


@pytest.mark.parametrize("n", [6, 10, 20])
def test_the_limits_of_the_dip_are_those_of_uniform_samples(n: int) -> None:
    rng = np.random.default_rng(5)
    found = np.quantile([np.sqrt(n) * dip(rng.random(n)) for _ in range(2000)], 0.95)
    assert found == pytest.approx(DIP_LIMITS[n], rel=0.04)


def test_the_dip_is_that_of_its_definition() -> None:
    # Evenly spaced values are as near to one mode as n values can be: 1 / (2 n).
    assert dip(np.arange(8.0)) == pytest.approx(1 / 16)
    # Two tight groups of half the values each: the largest dip there is, 1/4, but for the groups' own width.
    assert dip(np.concatenate([np.arange(50.0), 1e6 + np.arange(50.0)])) == pytest.approx(0.25, abs=0.01)
    # Hartigan's AS 217 as the package diptest 0.12 computes it.
    assert dip(np.array([0.1, 0.2, 0.25, 0.3, 2.0, 2.2, 2.25, 2.4, 2.5])) == pytest.approx(0.19883040935672514)


@settings(max_examples=50)
@given(st.lists(st.floats(-100, 100), min_size=4, max_size=60, unique=True), st.floats(0.1, 10), st.floats(-10, 10))
def test_the_dip_has_no_unit_and_no_origin(values: list[float], factor: float, shift: float) -> None:
    x = np.array(values)
    assume(np.diff(np.sort(x)).min() > 1e-6)
    assert dip(factor * x + shift) == pytest.approx(dip(x), abs=1e-6)
    assert dip(-x) == pytest.approx(dip(x), abs=1e-9)
    assert 1 / (2 * len(x)) - 1e-12 <= dip(x) <= 0.25 + 1e-12


def test_a_coarse_clock_makes_no_modes() -> None:
    rng = np.random.default_rng(6)
    rounded = [np.round(rng.normal(1, 0.1, 500), 2) for _ in range(50)]
    assert np.mean([several_modes(row) for row in rounded]) <= 0.05


@given(st.lists(st.floats(0, 10), min_size=2, max_size=30))
def test_the_split_has_the_least_squares_within(values: list[float]) -> None:
    ordered = np.sort(values)

    def within(k: int) -> float:
        return float(k * ordered[:k].var() + (len(ordered) - k) * ordered[k:].var())

    k = int(np.sum(ordered <= split(np.array(values))))
    best = min(within(i) for i in range(1, len(ordered)))
    assert k == len(ordered) or within(k) == pytest.approx(best, abs=1e-6)


@given(st.sets(st.integers(1, 60), min_size=1))
def test_spans_name_every_number_once(numbers: set[int]) -> None:
    named: list[int] = []
    for part in spans(sorted(numbers)).split(", "):
        first, _, last = part.partition("–")
        named += range(int(first), int(last or first) + 1)
    assert named == sorted(numbers)


@pytest.mark.parametrize(
    ("threads", "pinned", "cores", "said"),
    [
        (99, (), 2, "99 threads take turns, since pi5 has 2 CPU cores"),
        (2, (), 2, ""),
        (1, (), 1, ""),
        (2, (), 1, "pi5 has 1 CPU core:"),
        (4, (0, 1), 8, "the run is pinned to 2 cores"),
        (2, (0, 1), 8, ""),
        (99, (), None, ""),
    ],
)
def test_more_threads_than_cores_are_told(threads: int, pinned: tuple[int, ...], cores: int | None, said: str) -> None:
    told = crowded(Run(threads=threads, cores=pinned), Device(id="pi5", kind="ssh", title="", cores=cores))
    assert said in told
    assert bool(told) == bool(said)
