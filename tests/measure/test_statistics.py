"""Intervals against distributions with known answers, and what must hold of any figures."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgekit.measure.statistics import (
    Array,
    binomial,
    compare,
    estimate_mean,
    estimate_median,
    fewest,
    latency,
    percentile,
    ranks,
    student,
    told,
)
from tests.studies.measurement.coverage import NOISES, bootstrap, covers, log_ratios, processes, signed_rank

TIMES = st.floats(1e-3, 1e4)
PAIRS = st.lists(st.tuples(TIMES, TIMES), min_size=6, max_size=24)


def columns(pairs: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [a for a, _ in pairs], [b for _, b in pairs]


@pytest.mark.parametrize(("q", "n"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368), (0.1, 36)])
def test_the_fewest_inferences_of_a_percentile_are_those_that_can_enclose_it(q: float, n: int) -> None:
    assert fewest(q) == n
    assert None not in ranks(n, q)
    assert None in ranks(n - 1, q)


def test_ranks_are_the_published_ones() -> None:
    # Conover 1999, Practical Nonparametric Statistics, §3.2: the median of 10 and of 20 values.
    assert ranks(10, 0.5) == (2, 9)
    assert ranks(20, 0.5) == (6, 15)


@given(st.integers(1, 400), st.floats(0.01, 0.99))
def test_binomial_chances_add_up(n: int, p: float) -> None:
    chances = binomial(n, p)
    assert chances.sum() == pytest.approx(1)
    assert chances @ np.arange(n + 1) == pytest.approx(n * p)


@given(st.integers(6, 400), st.floats(0.05, 0.95))
def test_ranks_enclose_the_quantile_in_95_percent(n: int, q: float) -> None:
    low, high = ranks(n, q)
    chances = binomial(n, q)  # of how many of n lie below the quantile
    inside = chances[(low or 0) : (high or n + 1)].sum()
    assert inside >= 0.95 - 1e-9


@pytest.mark.parametrize(("df", "t"), [(5, 2.5706), (9, 2.2622), (19, 2.0930), (99, 1.9842)])
def test_student_is_that_of_the_tables(df: int, t: float) -> None:
    assert student(df) == pytest.approx(t, rel=1e-3)


@example([1.0] * 5 + [2.0], 1.7846826683513948)  # whose mean is rounded, so that equal blocks have a spread
@given(st.lists(TIMES, min_size=1, max_size=30), st.floats(0.01, 100))
def test_estimates_scale_with_the_unit(values: list[float], factor: float) -> None:
    for estimate in (estimate_median, estimate_mean):
        one, other = estimate(values), estimate([factor * value for value in values])
        assert one.value is not None
        assert other.value == pytest.approx(factor * one.value)
        assert (one.low is None) == (other.low is None) == bool(one.reason)
        assert one.low is None or len(values) >= 6
        if one.low is not None and one.high is not None:
            assert other.low == pytest.approx(factor * one.low, abs=1e-6 * factor * max(values))
            assert other.high == pytest.approx(factor * one.high, abs=1e-6 * factor * max(values))
            assert one.low <= one.value * (1 + 1e-12)
            assert one.value <= one.high * (1 + 1e-12)


def test_too_few_blocks_have_a_value_and_a_reason() -> None:
    found = estimate_median([1.0, 2.0, 3.0, 4.0, 9.0])
    assert (found.value, found.low, found.high, found.n) == (3.0, None, None, 5)
    assert found.reason == "5 blocks give no 95 % interval; that needs 6"
    assert estimate_mean([1.0, 3.0]).value == 2.0
    assert estimate_mean([1.0, 3.0]).low is None
    for empty in (estimate_median([]), estimate_mean([])):
        assert (empty.value, empty.reason) == (None, "there are no blocks")


def test_the_median_of_ten_blocks_lies_between_the_second_and_the_ninth() -> None:
    found = estimate_median([10.0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    assert (found.value, found.low, found.high) == (5.5, 2.0, 9.0)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("n", [6, 10])
def test_the_interval_of_the_median_covers_it(noise: str, n: int) -> None:
    rng = np.random.default_rng(3)
    truth = float(np.median(NOISES[noise](rng, (200_000,))))
    found = [estimate_median(row.tolist()) for row in NOISES[noise](rng, (600, n))]
    inside = np.mean([(f.low or -9) <= truth <= (f.high or 9) for f in found])
    assert inside >= 0.95  # 96.9 % for 6, 97.9 % for 10, less 2 standard errors of the simulation


@pytest.mark.parametrize("noise", ["normal, sd 17 %", "heavy tails (t, 2 degrees)"])
def test_the_interval_of_the_mean_covers_it(noise: str) -> None:
    rows = NOISES[noise](np.random.default_rng(4), (300, 10))
    found = [estimate_mean(row.tolist()) for row in rows]
    assert np.mean([(f.low or 0) <= 0 <= (f.high or 0) for f in found]) >= 0.93


def test_equal_blocks_have_an_interval_without_width() -> None:
    for found in (estimate_mean([2.0] * 8), estimate_median([2.0] * 8)):
        assert (found.value, found.low, found.high) == (2.0, 2.0, 2.0)


@pytest.mark.parametrize(("q", "runs"), [(0.9, 35), (0.99, 367)])
def test_a_percentile_of_too_few_inferences_is_no_number(q: float, runs: int) -> None:
    found = percentile([np.ones(runs)], q)
    assert found.value is None
    assert found.reason == f"n too small: {runs} inferences, p{100 * q:g} needs {runs + 1}"
    assert percentile([np.ones(runs + 1)], q).value == 1


@given(st.integers(0, 10**6), st.lists(st.integers(6, 60), min_size=6, max_size=10), st.floats(0.01, 100))
def test_percentiles_rise_and_scale_with_the_unit(seed: int, sizes: list[int], factor: float) -> None:
    rng = np.random.default_rng(seed)
    rows = [rng.lognormal(0.2 * rng.standard_normal(), rng.random(), size) for size in sizes]
    found = [percentile(rows, q) for q in (0.5, 0.75, 0.9)]
    values = [one.value or 0 for one in found]
    assert values == sorted(values)
    for one in found:
        assert one.value is not None
        assert one.low is None or one.low <= one.value
        assert one.high is None or one.value <= one.high
    scaled = percentile([factor * row for row in rows], 0.9)
    assert scaled.value == pytest.approx(factor * values[-1])


def test_every_block_weighs_alike_in_a_percentile() -> None:
    # A fast process does more inferences in its time; it is one process all the same.
    fast, slow = [np.full(900, 1.0)] * 3, [np.full(100, 9.0)] * 3
    assert percentile([*fast, *slow], 0.6).value == 9.0


def test_equal_blocks_are_worth_all_their_inferences() -> None:
    block = np.arange(1.0, 101.0)
    found = percentile([block] * 10, 0.9)
    low, high = ranks(1000, 0.9)
    assert low is not None
    assert high is not None
    assert (found.value, found.low, found.high) == (90.0, math.ceil(low / 10.01), math.ceil(high / 10.01))
    assert found.reason == ""


def test_ten_processes_that_differ_cannot_say_how_slow_one_in_a_hundred_is() -> None:
    blocks = processes(0.17, 0.01, 10, 200, np.random.default_rng(0))
    found = percentile(blocks, 0.99)
    assert found.value is not None
    assert found.low is not None
    assert found.high is None
    assert "p99 has no upper limit below 368" in found.reason


@pytest.mark.parametrize(("between", "within", "q"), [(0.0, 0.05, 0.9), (0.0, 0.05, 0.99), (0.02, 0.05, 0.9), (0.17, 0.3, 0.9)])  # fmt: skip
def test_the_interval_of_a_percentile_covers_that_of_all_processes(between: float, within: float, q: float) -> None:
    rng = np.random.default_rng(5)
    truth = float(np.quantile(np.concatenate(processes(between, within, 200_000, 1, rng)), q))
    found = [percentile(processes(between, within, 10, 103, rng), q) for _ in range(200)]
    inside = np.mean([(f.low or 0) <= truth <= (f.high or math.inf) for f in found])
    assert inside >= 0.91  # 95 % less 2.5 standard errors of the simulation


@given(PAIRS)
def test_swapping_both_sides_of_a_comparison_inverts_it(pairs: list[tuple[float, float]]) -> None:
    a, b = columns(pairs)
    one, other = compare(a, b), compare(b, a)
    assert one.ratio is not None
    assert one.low is not None
    assert one.high is not None
    assert (other.ratio, other.low, other.high) == pytest.approx((1 / one.ratio, 1 / one.high, 1 / one.low))
    opposite = {"faster": "slower", "slower": "faster", "no difference shown": "no difference shown"}
    assert other.verdict == opposite[one.verdict]
    assert one.low <= one.ratio * (1 + 1e-12)
    assert one.ratio <= one.high * (1 + 1e-12)


@given(PAIRS, st.floats(0.01, 100))
def test_a_ratio_has_no_unit_and_scales_with_one_side(pairs: list[tuple[float, float]], factor: float) -> None:
    a, b = columns(pairs)
    plain = compare(a, b)
    both = compare([factor * x for x in a], [factor * x for x in b])
    one = compare([factor * x for x in a], b)
    assert plain.ratio is not None
    assert both.ratio == pytest.approx(plain.ratio)
    assert one.ratio == pytest.approx(factor * plain.ratio)


@given(PAIRS, st.randoms())
def test_the_order_of_pairs_does_not_matter(pairs: list[tuple[float, float]], shuffler: object) -> None:
    mixed = list(pairs)
    shuffler.shuffle(mixed)  # type: ignore[attr-defined]
    one, other = compare(*columns(pairs)), compare(*columns(mixed))
    assert (one.ratio, one.low, one.high) == pytest.approx((other.ratio, other.low, other.high))


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("pairs", [6, 10])
def test_the_same_artifact_twice_differs_in_at_most_5_percent(noise: str, pairs: int) -> None:
    rows = np.exp(log_ratios(noise, pairs, 1000, seed=6))
    called = np.mean([compare(row.tolist(), [1.0] * pairs).verdict != "no difference shown" for row in rows])
    assert called <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / 1000)


@pytest.mark.parametrize("noise", NOISES)
def test_the_interval_covers_a_true_ratio(noise: str) -> None:
    share, _ = covers(signed_rank, log_ratios(noise, 10, 1000, seed=7), shift=math.log(1.3))
    assert share >= 0.95 - 2.5 * math.sqrt(0.05 * 0.95 / 1000)


def test_the_percentile_bootstrap_that_was_rejected_covers_too_little() -> None:
    share, _ = covers(bootstrap, log_ratios("normal, sd 17 %", 10, 600, seed=8))
    assert share < 0.93


@pytest.mark.parametrize("noise", ["normal, sd 17 %", "heavy tails (t, 2 degrees)", "skewed (exponential)"])
def test_three_times_as_fast_is_found(noise: str) -> None:
    rows = np.exp(log_ratios(noise, 10, 300, seed=9) - math.log(3))
    assert np.mean([compare(row.tolist(), [1.0] * 10).verdict == "faster" for row in rows]) > 0.97


@pytest.mark.parametrize(("pairs", "verdict"), [(10, "no difference shown"), (12, "faster")])
def test_one_wild_block_is_outweighed_from_twelve_pairs_on(pairs: int, verdict: str) -> None:
    a = [0.8 + 0.01 * i for i in range(pairs)]
    a[3] = 60.0
    found = compare(a, [1.0] * pairs)
    assert found.verdict == verdict
    assert found.ratio == pytest.approx(0.86, abs=0.05)
    assert ("pair 4 lies far from the others" in found.reason) == (verdict != "faster")


def test_too_few_pairs_show_no_difference() -> None:
    found = compare([1.0] * 5, [9.0] * 5)
    assert (found.verdict, found.low, found.pairs) == ("no difference shown", None, 5)
    assert found.ratio == pytest.approx(1 / 9)
    assert found.reason == "5 pairs give no 95 % interval; that needs 6"
    assert compare([], []).ratio is None


@pytest.mark.parametrize(("a", "b"), [([1.0], [1.0, 2.0]), ([0.0], [1.0]), ([math.nan], [1.0]), ([math.inf], [1.0])])
def test_what_are_no_pairs_of_times_is_refused(a: list[float], b: list[float]) -> None:
    with pytest.raises(ValueError, match="pairs of finite times"):
        compare(a, b)


def test_latency_gathers_every_figure() -> None:
    rng = np.random.default_rng(10)
    blocks: list[Array] = [rng.uniform(0.9, 1.1, 200) for _ in range(8)]
    found = latency([*blocks, np.zeros(0)], [5.0] * 8, [None, 7.0])
    assert (found.blocks, found.runs) == (8, 1600)
    assert found.seconds == pytest.approx(1.6, rel=0.05)
    assert (found.init_ms.value, found.init_ms.low) == (5.0, 5.0)
    assert (found.first_ms.value, found.first_ms.low, found.first_ms.n) == (7.0, None, 1)
    assert found.median_ms.value == pytest.approx(1.0, abs=0.01)
    assert found.p90_ms.value == pytest.approx(1.08, abs=0.01)
    assert found.p99_ms.value == pytest.approx(1.098, abs=0.005)
    assert found.mean_ms.value == pytest.approx(1.0, abs=0.01)


def test_a_device_that_tells_nothing_has_a_reason() -> None:
    assert told([None, None]).reason == "the device does not tell"
