import math
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import DeviceError, InputError
from edgekit.measure.energy import RANK, by_block, choose, comparable, energy, idle_power, ratio, systematic
from edgekit.nouns.profile import Block, Distribution, Energy, Estimate
from edgekit.nouns.sensing import Availability, PowerTrace, Probe, Series

RUNS = 1000


def power_trace(watts: float, *, seed: int = 0, noise: float = 0.0, **changes: Any) -> PowerTrace:
    """12 s of power around a mean, sampled at 10 Hz."""
    draw = random.Random(seed)
    fields = {
        "meter": "ina3221",
        "provenance": "measured_rail",
        "quantity": "power",
        "resolution": 0.001,
        "period_s": 0.01,
    } | changes
    times = tuple(i * 0.1 for i in range(121))
    values = tuple(watts + draw.gauss(0, noise) for _ in times)
    if fields["quantity"] == "energy":
        values = tuple(watts * t for t in times)
    return PowerTrace(rails={"VDD_IN": Series(t_s=times, values=values)}, **fields)


def block(index: int, runs: int = RUNS, **changes: Any) -> Block:
    latency = Distribution(runs=runs, mean_ms=1, min_ms=1, max_ms=1)
    return Block(**({"index": index, "begin_s": 1.0, "end_s": 11.0, "latency": latency} | changes))


def course(watts: list[float], runs: int = RUNS, **changes: Any) -> list[tuple[Block, PowerTrace | None]]:
    return [(block(i, runs), power_trace(w, seed=i, **changes)) for i, w in enumerate(watts)]


def idle(before: float, after: float, **changes: Any) -> list[tuple[Block, PowerTrace | None]]:
    bare = block(0, latency=None)
    return [(bare, power_trace(before, seed=91, **changes)), (bare, power_trace(after, seed=92, **changes))]


STEADY = [4.9, 5.0, 5.1, 5.0, 4.95, 5.05, 5.0, 5.0, 4.9, 5.1]


def test_gross_and_net_are_what_the_protocol_says() -> None:
    told = energy(course(STEADY), idle(1.95, 2.05))
    assert told.gross_mj.value == pytest.approx(5.0 * 10 / RUNS * 1e3)
    assert told.net_mj.value == pytest.approx((5.0 - 2.0) * 10 / RUNS * 1e3)
    assert (told.average_power_w, told.idle_power_w) == (pytest.approx(5.0), pytest.approx(2.0))
    assert (told.provenance, told.meter, told.rails) == ("measured_rail", "ina3221", ("VDD_IN",))
    assert told.gross_mj.n == 10
    for estimate in (told.gross_mj, told.net_mj):
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low < estimate.value < estimate.high


def test_the_terms_are_those_of_the_protocol() -> None:
    told = energy(course(STEADY, gain_error=0.01), idle(1.9, 2.1, gain_error=0.01))
    assert told.terms_mj["baseline"] == pytest.approx(0.1 * 10 / RUNS * 1e3, rel=0.01)  # half the difference
    assert told.terms_mj["resolution"] == pytest.approx(0.0005 * 10 / RUNS * 1e3)  # half a step, in every block alike
    assert told.terms_mj["gain"] == pytest.approx(0.01 * told.net_mj.value)
    assert {"blocks", "edges", "sampling"} >= set(told.terms_mj) - {"baseline", "resolution", "gain"}
    width = (told.net_mj.high - told.net_mj.low) / 2
    assert width == pytest.approx(math.hypot(*told.terms_mj.values()), rel=0.02)


def test_an_unknown_gain_is_said_and_not_taken_for_zero() -> None:
    told = energy(course(STEADY), idle(2, 2))
    assert "gain unknown: ratios only" in told.notes
    assert "gain" not in told.terms_mj
    assert "gain unknown: ratios only" not in energy(course(STEADY, gain_error=0.0), idle(2, 2)).notes


def test_half_steps_of_a_counter_do_not_add_up_like_those_of_power() -> None:
    told = energy(course(STEADY, quantity="energy", resolution=0.1), idle(2, 2, quantity="energy"))
    assert told.terms_mj["resolution"] == pytest.approx(0.1 * math.sqrt(10) / (10 * RUNS) * 1e3)


def test_a_drift_above_a_tenth_of_net_power_takes_net_away_and_leaves_gross() -> None:
    fits, drifts = (energy(course(STEADY), idle(2.0, 2.0 + by)) for by in (0.25, 0.35))
    assert fits.net_mj.value is not None
    assert drifts.net_mj == Estimate(value=None, n=10, reason=drifts.net_mj.reason)
    assert "drifted by +0.35 W" in drifts.net_mj.reason
    assert drifts.gross_mj.value == fits.gross_mj.value
    assert "baseline" not in drifts.terms_mj


def test_a_load_that_is_not_above_idle_has_no_net() -> None:
    told = energy(course([1.9] * 10), idle(2, 2))
    assert "does not raise the power" in told.net_mj.reason
    assert told.gross_mj.value == pytest.approx(19)


def test_without_both_baselines_there_is_no_net() -> None:
    for given_idle in ([], idle(2, 2)[:1]):
        told = energy(course(STEADY), given_idle)
        assert "before and after" in told.net_mj.reason
        assert told.idle_power_w is None
    told = energy(course(STEADY), idle(2, 2, invalid="charging"))
    assert told.net_mj.reason == "the idle baseline before the blocks: charging"


def test_blocks_that_do_not_count_or_were_not_seen_are_left_out_and_named() -> None:
    rows = course([*STEADY, 50.0, 60.0])
    rows[10] = (msgspec.structs.replace(rows[10][0], counted=False), rows[10][1])
    rows[11] = (rows[11][0], power_trace(60, invalid="a charger was connected"))
    told = energy(rows, idle(2, 2))
    assert told.gross_mj.value == pytest.approx(50)
    assert told.gross_mj.n == 10
    assert "block 11: not counted: the device throttled" in told.notes
    assert "block 12: a charger was connected" in told.notes


def test_nothing_usable_is_no_zero() -> None:
    told = energy(course(STEADY, invalid="the sensor vanished"), idle(2, 2))
    assert told.gross_mj == told.net_mj == Estimate(value=None, reason="the sensor vanished")
    assert told.average_power_w is None
    with pytest.raises(ValueError, match="metered"):
        energy([(block(0), None)], [])


def test_few_blocks_have_a_figure_but_no_interval() -> None:
    told = energy(course(STEADY[:5]), idle(2, 2))
    assert told.gross_mj.value == pytest.approx(49.9, rel=0.01)
    assert told.gross_mj.low is None
    assert told.gross_mj.reason == "5 blocks give no 95 % interval; that needs 6"


def test_a_short_block_for_a_slow_meter_is_remarked() -> None:
    told = energy(course(STEADY, provenance="battery_gauge"), idle(2, 2))
    assert any("shorter than the 300 s" in note for note in told.notes)
    assert not any("shorter" in note for note in energy(course(STEADY), idle(2, 2)).notes)


def test_only_an_instrument_on_the_desk_has_a_clock_of_its_own() -> None:
    edges = {}
    for provenance in ("external_meter", "measured_rail"):
        rows = course(STEADY, provenance=provenance)
        rows = [(msgspec.structs.replace(b, host_offset_error_s=0.1), t) for b, t in rows]
        edges[provenance] = energy(rows, idle(2, 2)).terms_mj.get("edges", 0.0)
    assert edges["external_meter"] > edges["measured_rail"] + 2 * 0.1 * 4.9 * math.sqrt(10) / (10 * RUNS) * 1e3 - 1e-9


@settings(max_examples=25)
@given(st.floats(2.5, 40), st.floats(0.2, 2), st.integers(1, 10**6), st.integers(0, 100))
def test_steady_power_is_told_exactly(load_w: float, idle_w: float, runs: int, seed: int) -> None:
    told = energy(course([load_w] * 8, runs), idle(idle_w, idle_w), seed=seed)
    assert told.gross_mj.value == pytest.approx(load_w * 10 / runs * 1e3)
    assert told.net_mj.value == pytest.approx((load_w - idle_w) * 10 / runs * 1e3)
    assert told.net_mj.low <= told.net_mj.value <= told.net_mj.high


@pytest.mark.slow
@pytest.mark.parametrize("count", [6, pytest.param(10, marks=[pytest.mark.study, pytest.mark.long])])
def test_the_interval_holds_the_truth_as_often_as_it_says(count: int) -> None:
    inside = 0
    for trial in range(400):
        draw = random.Random(trial)
        watts = [draw.gauss(5, 0.5) for _ in range(count)]
        told = energy(course(watts, noise=0.05, resolution=1e-9, period_s=1e-4), idle(2, 2), seed=trial)
        inside += told.net_mj.low <= 30 <= told.net_mj.high
    assert 0.92 <= inside / 400 <= 0.995


def test_idle_power_is_the_mean_and_half_the_difference_its_doubt() -> None:
    seen = idle_power(idle(1.5, 2.5))
    assert (seen.watts, seen.drift_w) == (pytest.approx(2.0), pytest.approx(1.0))
    assert seen.half_width_w == pytest.approx(0.5, rel=0.01)


def test_blocks_are_told_one_by_one() -> None:
    rows = course([5.0, 6.0])
    assert by_block(rows) == (pytest.approx(50), pytest.approx(60))
    assert by_block(rows, idle_w=2.0) == (pytest.approx(30), pytest.approx(40))
    assert by_block([(rows[0][0], None), (block(1, runs=0), rows[1][1])]) == (None, None)


def test_a_ratio_is_of_pairs() -> None:
    first = [50 * (1 + 0.1 * math.sin(i)) for i in range(10)]
    half = ratio(first, [a / 2 for a in first])
    assert half.value == pytest.approx(2)
    assert half.low == pytest.approx(2)  # what both share cancels
    same = ratio(first, list(reversed(first)))
    assert same.low < 1 < same.high
    wide = ratio(first, [a / 2 for a in first], shared=0.1)
    assert (wide.low, wide.high) == (pytest.approx(2 * math.exp(-0.1)), pytest.approx(2 * math.exp(0.1)))


def test_a_ratio_without_enough_or_positive_pairs_is_none() -> None:
    few = ratio([1.0] * 6, [1.0] * 5 + [None])
    assert (few.value, few.low) == (1.0, None)
    assert "5 pairs" in few.reason
    assert "no ratio" in ratio([1.0] * 6, [1.0] * 5 + [-0.1]).reason


def test_the_gain_cancels_in_a_ratio() -> None:
    bare, known = (energy(course(STEADY, gain_error=gain), idle(1.9, 2.1)) for gain in (None, 0.2))
    assert systematic(bare) == pytest.approx(systematic(known))
    assert systematic(bare) == pytest.approx(0.1 / 3, rel=0.05)


def told_by(**changes: Any) -> Energy:
    return msgspec.structs.replace(energy(course(STEADY), idle(2, 2)), **changes)


def test_what_must_not_be_compared_says_why() -> None:
    own = told_by()
    assert comparable(own, told_by()) == ""
    for first in RANK:
        for second in RANK:
            assert bool(comparable(told_by(provenance=first), told_by(provenance=second))) == (first != second)
    assert "ina3221 is not compared with energy by odpm" in comparable(own, told_by(meter="odpm"))
    assert "VDD_IN against VDD_SOC" in comparable(own, told_by(rails=("VDD_SOC",)))


FOUND = {
    "battery": Availability(probe=Probe(meter="battery"), provenance="battery_gauge"),
    "joulescope": Availability(reason="none is attached", fix="plug it in", provenance="external_meter"),
    "odpm": Availability(probe=Probe(meter="odpm"), provenance="measured_rail"),
    "own_meter": Availability(probe=Probe(meter="own_meter"), provenance="measured_rail"),
    "rapl": Availability(reason="only root", fix="sudo chmod a+r /e", provenance="rapl_package"),
    "tegrastats": Availability(probe=Probe(meter="tegrastats"), provenance="measured_rail"),
}


def test_the_best_provenance_is_chosen_or_the_one_that_is_named() -> None:
    assert choose(FOUND) == "odpm"
    assert choose(FOUND, "battery") == "battery"
    assert choose({name: FOUND[name] for name in ("own_meter", "battery")}) == "own_meter"
    assert choose({name: FOUND[name] for name in ("own_meter", "tegrastats")}) == "tegrastats"


def test_a_meter_that_cannot_be_had_says_why() -> None:
    with pytest.raises(DeviceError, match="only root") as error:
        choose(FOUND, "rapl")
    assert error.value.fix == "sudo chmod a+r /e"
    with pytest.raises(InputError, match="no meter sundial"):
        choose(FOUND, "sundial")
    with pytest.raises(DeviceError, match="joulescope: none is attached; rapl: only root") as error:
        choose({name: FOUND[name] for name in ("joulescope", "rapl")})
    assert error.value.fix == "sudo chmod a+r /e"
    with pytest.raises(DeviceError) as error:
        choose({"joulescope": FOUND["joulescope"]})
    assert "--model-energy" in error.value.fix
