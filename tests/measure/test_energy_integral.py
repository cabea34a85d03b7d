"""Synthetic traces with known energy integrate to the truth within the stated uncertainty."""

import itertools
import random
import statistics

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgekit.measure.integral import GAP, MISSING, window
from edgekit.nouns.sensing import PowerTrace, Series


class Load:
    """Power that is constant between times: the truth."""

    def __init__(self, edges_s: list[float], watts: list[float]) -> None:
        self.edges_s, self.watts = edges_s, watts

    def power(self, t_s: float) -> float:
        return next(
            (w for (a, b), w in zip(itertools.pairwise(self.edges_s), self.watts, strict=True) if a <= t_s < b), 0.0
        )

    def energy(self, begin_s: float, end_s: float) -> float:
        pieces = zip(itertools.pairwise(self.edges_s), self.watts, strict=True)
        return sum(w * max(min(b, end_s) - max(a, begin_s), 0.0) for (a, b), w in pieces)


def trace(quantity: str, times: list[float], values: list[float], **changes: float | str) -> PowerTrace:
    fields = {"resolution": 1e-6, "period_s": 1e-3} | changes
    series = {"rail": Series(t_s=tuple(times), values=tuple(values))}
    return PowerTrace(meter="m", provenance="measured_rail", quantity=quantity, rails=series, **fields)


def jittered(length_s: float, interval_s: float, seed: int, lost: float = 0.0) -> list[float]:
    draw = random.Random(seed)
    count = int(length_s / interval_s) + 1
    every = [max(i + draw.uniform(-0.3, 0.3), 0) * interval_s for i in range(count)]
    return [t for i, t in enumerate(every) if i in {0, count - 1} or draw.random() >= lost]


@example(watts=1.0, begin_s=0.5, lasts_s=5.0, seed=16, quantity="power")  # 1.13 of 5 s were lost
@given(
    st.floats(0.1, 50),
    st.floats(0.5, 3.0),
    st.floats(5.0, 25.0),
    st.integers(0, 1000),
    st.sampled_from(["energy", "power"]),
)
def test_a_constant_is_exact_whatever_the_sampling(
    watts: float, begin_s: float, lasts_s: float, seed: int, quantity: str
) -> None:
    times = jittered(30, 0.1, seed, lost=0.1)
    values = [watts * t for t in times] if quantity == "energy" else [watts for _ in times]
    end_s = begin_s + min(lasts_s, 26 - begin_s)
    seen = window(trace(quantity, times, values), begin_s, end_s)
    if quantity == "power":  # a counter forgets nothing
        usual_s = statistics.median(b - a for a, b in itertools.pairwise(times))
        knots = [begin_s, *(t for t in times if begin_s < t < end_s), end_s]
        gaps_s = sum(b - a for a, b in itertools.pairwise(knots) if b - a > GAP * usual_s)
        if gaps_s > MISSING * (end_s - begin_s):
            assert seen.problem == f"rail: readings are missing for {gaps_s:.2f} of {end_s - begin_s:.2f} s"
            return
    assert not seen.problem
    assert seen.joules == pytest.approx(watts * seen.seconds, rel=1e-9)
    assert seen.half_width_j < 0.02 * seen.joules + 1e-5


@given(st.floats(1, 5), st.floats(0, 3), st.integers(0, 1000), st.sampled_from(["energy", "power"]))
def test_a_ramp_is_within_its_uncertainty_and_that_is_small(
    start_w: float, slope: float, seed: int, quantity: str
) -> None:
    times = jittered(12, 0.1, seed)
    values = [start_w * t + slope * t * t / 2 if quantity == "energy" else start_w + slope * t for t in times]
    seen = window(trace(quantity, times, values), 1.0, 11.0)
    truth = start_w * 10 + slope * (11**2 - 1) / 2
    assert abs(seen.joules - truth) <= seen.half_width_j
    assert seen.half_width_j < 0.05 * truth


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.05, 0.15]))
def test_a_counter_gives_bursts_right_even_with_samples_missing(seed: int, lost: float) -> None:
    draw = random.Random(seed)
    edges = [0.0]
    while edges[-1] < 20:
        edges.append(edges[-1] + draw.expovariate(8))
    load = Load(edges, [draw.choice([0.5, 9.0]) for _ in edges[1:]])
    times = jittered(20, 0.1, seed, lost)
    step = 0.001
    values = [round(load.energy(0, t) / step) * step for t in times]
    begin_s, end_s = draw.uniform(0.3, 4), draw.uniform(14, 19)
    seen = window(trace("energy", times, values, resolution=step), begin_s, end_s)
    assert abs(seen.joules - load.energy(begin_s, end_s)) <= seen.half_width_j
    assert seen.half_width_j < 0.1 * seen.joules


def test_sampled_bursts_are_within_their_interval_as_often_as_it_says() -> None:
    inside = 0
    for seed in range(300):
        draw = random.Random(seed)
        edges = [0.0]
        while edges[-1] < 20:
            edges.append(edges[-1] + draw.expovariate(8))
        load = Load(edges, [draw.choice([0.5, 9.0]) for _ in edges[1:]])
        times = jittered(20, 0.1, seed, lost=0.05)
        seen = window(trace("power", times, [load.power(t) for t in times]), 2.0, 18.0)
        inside += abs(seen.joules - load.energy(2, 18)) <= seen.half_width_j
    assert inside >= 0.94 * 300


@given(st.floats(1, 9), st.floats(0.05, 2.0), st.floats(0, 1))
def test_a_coarse_sensor_is_wrong_by_half_a_step_at_most(watts: float, step: float, phase: float) -> None:
    times = [i * 0.1 + phase * 0.1 for i in range(120)]
    values = [round(watts / step) * step for _ in times]
    seen = window(trace("power", times, values, resolution=step), 1.0, 11.0)
    assert abs(seen.joules - watts * 10) <= seen.half_width_j * (1 + 1e-9)


@given(st.floats(0.0, 0.5), st.floats(0.05, 0.5), st.integers(0, 1000))
def test_a_counter_that_is_renewed_late_is_wrong_at_the_edges_only(phase: float, period_s: float, seed: int) -> None:
    times = jittered(14, 0.05, seed)
    values = [5 * max((t - phase) // period_s * period_s + phase, 0) for t in times]
    seen = window(trace("energy", times, values, period_s=period_s), 1.0, 11.0)
    assert abs(seen.joules - 50) <= seen.half_width_j


def test_rails_add_up_and_so_do_their_steps() -> None:
    times = [i * 0.1 for i in range(100)]
    rails = {name: Series(t_s=tuple(times), values=tuple(w for _ in times)) for name, w in (("a", 1.0), ("b", 2.5))}
    both = PowerTrace(meter="m", provenance="pmic_sum", quantity="power", rails=rails, resolution=0.1, period_s=0.1)
    seen = window(both, 1, 9)
    assert seen.joules == pytest.approx(28)
    assert seen.resolution_j == pytest.approx(2 * 0.05 * 8)


def test_a_clock_that_is_not_known_well_widens_the_edges() -> None:
    times = [i * 0.1 for i in range(100)]
    seen = [window(trace("power", times, [3.0] * 100), 1, 9, error_s).edges_j for error_s in (0.0, 0.05)]
    assert seen[1] - seen[0] == pytest.approx(2 * 0.05 * 3)


@pytest.mark.parametrize(
    ("begin_s", "end_s", "kept", "problem"),
    [
        (1, 9, lambda t: t > 3, "leave 2.10 s of the block out"),
        (1, 9, lambda t: t < 7, "leave 2.10 s of the block out"),
        (1, 9, lambda t: not 3 < t < 6, "missing for 3."),
        (1, 9, lambda t: False, "fewer than two"),
        (5, 5, lambda t: True, "no length"),
        (9, 1, lambda t: True, "no length"),
        (50, 60, lambda t: True, "leave"),
    ],
)
def test_a_window_that_was_not_seen_has_no_energy(begin_s: float, end_s: float, kept, problem: str) -> None:
    times = [i * 0.1 for i in range(100) if kept(i * 0.1)]
    seen = window(trace("power", times, [3.0 for _ in times]), begin_s, end_s)
    assert problem in seen.problem
    assert seen.joules == 0


def test_a_gap_does_not_matter_to_a_counter() -> None:
    times = [i * 0.1 for i in range(100) if not 30 < i < 60]
    seen = window(trace("energy", times, [3 * t for t in times]), 1, 9)
    assert not seen.problem
    assert seen.joules == pytest.approx(24)


def test_a_small_gap_widens_the_interval() -> None:
    draw = random.Random(1)
    full = [i * 0.1 for i in range(100)]
    watts = {t: draw.uniform(1, 9) for t in full}
    gap = [t for t in full if not 4.05 < t < 4.55]
    whole, holed = (window(trace("power", times, [watts[t] for t in times]), 1, 9) for times in (full, gap))
    assert holed.edges_j > whole.edges_j + 0.2 * 8 / 2


def test_an_invalid_trace_says_why() -> None:
    times = [i * 0.1 for i in range(100)]
    assert window(trace("power", times, [1.0] * 100, invalid="charging"), 1, 9).problem == "charging"
    bare = PowerTrace(meter="m", provenance="pmic_sum", quantity="power", rails={}, resolution=1, period_s=1)
    assert window(bare, 1, 9).problem == "the trace has no rail"
