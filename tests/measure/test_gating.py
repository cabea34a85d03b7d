"""What a gate says of figures: against a budget, and against a baseline within its noise."""

import math
from itertools import combinations
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import InputError
from edgekit.measure import baseline, figures, gating, regressions, statistics
from edgekit.measure.gated import GatedFile
from edgekit.nouns.budget import Demands
from edgekit.nouns.gating import Finding
from edgekit.nouns.model import Signature
from edgekit.nouns.profile import DeviceVerification, OperatorTime, Run
from tests.measure.gated_folders import PI, artifact, manifest, profile, spec

DRAW = np.random.default_rng(7)


def blocks(ms: float, n: int = 10, sd: float = 0.01) -> list[float]:
    return list(ms * np.exp(DRAW.normal(0, sd, n)))


def found(findings: Any) -> dict[str, Finding]:
    return {row.figure: row for row in findings}


def budget(demands: Demands, *profiles: Any, file: Any = None, **more: Any) -> dict[str, Finding]:
    file = file or artifact(mapped=0.8)
    return found(gating.by_budget(GatedFile(manifest(file, profiles=profiles), file, demands, **more)))


EVERYTHING = Demands(
    max_drop=0.01, min_agreement=0.97, min_sqnr=30.0, min_mapped=0.75, max_size="8", max_latency_ms=2.0,
    max_energy_mj=5.0, max_peak_memory="4K", min_delegate_time=0.5,
)  # fmt: skip


def test_all_that_holds_is_met() -> None:
    times = (OperatorTime(name="a", kind="CONV", mean_ms=3.0, runs_on="xnnpack"),)
    seen = profile(artifact(), blocks(1.5), energy_mj=blocks(4.0), peak_bytes=4000, operators=times)
    judged = budget(EVERYTHING, seen)
    assert len(judged) == 9
    assert {row.verdict for row in judged.values()} == {"met"}


@pytest.mark.parametrize(
    ("figure", "demands"),
    [
        ("drop", Demands(max_drop=0.003)),
        ("agreement", Demands(min_agreement=0.99)),
        ("sqnr", Demands(min_sqnr=32.0)),
        ("mapped", Demands(min_mapped=0.9)),
        ("size", Demands(max_size="6")),
        ("latency", Demands(max_latency_ms=1.0)),
        ("energy", Demands(max_energy_mj=3.0)),
        ("peak memory", Demands(max_peak_memory="3K")),
        ("delegate time", Demands(min_delegate_time=0.8)),
    ],
)
def test_each_limit_can_be_missed(figure: str, demands: Demands) -> None:
    times = tuple(OperatorTime(name=on, kind="CONV", mean_ms=1.0, runs_on=on) for on in ("xnnpack", "litert"))
    seen = profile(artifact(), blocks(1.5), energy_mj=blocks(4.0), peak_bytes=4000, operators=times)
    judged = budget(demands, seen)
    assert {name: row.verdict for name, row in judged.items()} == {figure: "missed"}
    assert judged[figure].value is not None
    assert judged[figure].fails


def test_a_limit_within_the_interval_is_no_miss() -> None:
    seen = profile(artifact(), [1.01, 0.98, 1.03, 0.97, 1.02, 0.99, 1.04, 1.0, 1.02, 1.01])
    (row,) = budget(Demands(max_latency_ms=1.005), seen).values()
    assert row.value is not None
    assert row.value > 1.005
    assert (row.verdict, row.reason) == ("met", "its 95 % interval holds the limit")


def test_what_was_not_measured_is_not_met_unless_devices_are_left_out() -> None:
    wanted = Demands(max_latency_ms=1.0, max_energy_mj=1.0, min_delegate_time=0.5)
    assert {row.verdict for row in budget(wanted).values()} == {"unknown"}
    assert {row.verdict for row in budget(wanted, without_device=True).values()} == {"skipped"}
    assert not any(row.fails for row in budget(wanted, without_device=True).values())
    seen = budget(wanted, profile(artifact(), blocks(0.5)))
    assert (seen["latency"].verdict, seen["energy"].verdict, seen["delegate time"].verdict) == (
        "met", "unknown", "unknown",
    )  # fmt: skip
    assert "--ops" in seen["delegate time"].reason


def test_a_file_that_is_wrong_on_a_device_fails_any_gate() -> None:
    wrong = DeviceVerification(
        device="pi5", runtime="r", samples=4, identical=False, sqnr_db=3.0, max_abs_error=1.0, verdict="fail"
    )
    file = msgspec.structs.replace(artifact(), device_verifications=(wrong,))
    assert budget(Demands(), file=file)["verification"].fails


def test_the_newest_profile_of_each_device_counts() -> None:
    slow = profile(artifact(), blocks(3.0), at="2026-01-01T00:00:00+00:00")
    fast = profile(artifact(), blocks(1.0), at="2026-01-02T00:00:00+00:00")
    other = profile(artifact(b"another"), blocks(9.0), at="2026-01-03T00:00:00+00:00")
    assert budget(Demands(max_latency_ms=2.0), fast, slow, other)["latency"].verdict == "met"


def compared(
    old: Any, new: Any, *, before: Any = (), after: Any = (), paired: bool = False, demands: Demands | None = None
) -> dict[str, Finding]:
    was = baseline.kept(manifest(old, profiles=before), old)
    gated = GatedFile(manifest(new, profiles=after), new, demands or Demands())
    return found(gating.by_baseline(gated, was, paired=paired))


def test_the_same_again_is_met() -> None:
    file = artifact()
    judged = compared(file, file, before=[profile(file, blocks(1.0))], after=[profile(file, blocks(2.0))])
    assert {row.verdict for row in judged.values()} == {"met"}
    assert judged["latency"].reason == "file and runtime are the same"


@pytest.mark.parametrize(
    ("new", "missed"),
    [
        ({"value": 0.905}, set()),  # 5 of 1,000 samples more are wrong: noise
        ({"value": 0.85}, {"metric"}),
        ({"agreement": 0.975}, set()),
        ({"agreement": 0.9}, {"agreement"}),
        ({"sqnr_db": 30.5}, set()),
        ({"sqnr_db": 27.0}, {"sqnr"}),
    ],
)
def test_accuracy_is_compared_within_its_noise(new: dict[str, float], missed: set[str]) -> None:
    judged = compared(artifact(), artifact(b"rebuilt", **new))
    assert {name for name, row in judged.items() if row.fails} == missed


def test_an_error_is_better_if_lower() -> None:
    old = artifact(metric="mae", value=0.5, drop=0.01)  # the source's is 0.51: a loss though the error fell
    better = artifact(b"b", metric="mae", value=0.4, drop=0.01)
    assert compared(old, better)["metric"].verdict == "missed"  # the sign of the drop says: higher is better

    def error(content: bytes, value: float) -> Any:
        file = artifact(content, metric="mae")
        assert file.verification is not None
        assert file.verification.metric is not None
        metric = msgspec.structs.replace(file.verification.metric, source=0.4, artifact=value, drop=value - 0.4)
        return msgspec.structs.replace(file, verification=msgspec.structs.replace(file.verification, metric=metric))

    assert compared(error(b"a", 0.5), error(b"b", 0.45))["metric"].verdict == "met"
    assert compared(error(b"a", 0.5), error(b"b", 0.55))["metric"].verdict == "missed"


def test_size_may_grow_by_the_tolerance() -> None:
    old = artifact(b"x" * 1000)
    assert compared(old, artifact(b"y" * 1009))["size"].verdict == "met"
    assert compared(old, artifact(b"y" * 1020))["size"].verdict == "missed"
    assert compared(old, artifact(b"y" * 1020), demands=Demands(tolerance=0.05))["size"].verdict == "met"
    assert compared(old, artifact(b"y" * 500))["size"].verdict == "met"


def test_a_slowdown_beyond_the_noise_of_sessions_is_suspected() -> None:
    old, new = artifact(), artifact(b"rebuilt")
    before = [profile(old, blocks(1.0))]
    assert compared(old, new, before=before, after=[profile(new, blocks(1.2))])["latency"].verdict == "suspected"
    within = compared(old, new, before=before, after=[profile(new, blocks(1.03))])["latency"]
    assert within.verdict == "met"
    assert "no regression is shown" in within.reason
    paired = compared(old, new, before=before, after=[profile(new, blocks(1.03))], paired=True)
    assert paired["latency"].verdict == "suspected"
    assert compared(old, new, before=before, after=[profile(new, blocks(0.9))])["latency"].verdict == "met"


def test_energy_and_memory_are_compared_too() -> None:
    old, new = artifact(), artifact(b"rebuilt")
    before = [profile(old, blocks(1.0), energy_mj=blocks(4.0), peak_bytes=1000)]
    judged = compared(old, new, before=before, after=[
        profile(new, blocks(1.0), energy_mj=blocks(5.0), peak_bytes=1500),
    ])  # fmt: skip
    assert (judged["energy"].verdict, judged["peak memory"].verdict) == ("suspected", "suspected")
    without = compared(old, new, before=before, after=[profile(new, blocks(1.0), peak_bytes=1000)])
    assert (without["energy"].verdict, without["peak memory"].verdict) == ("unknown", "met")


def test_sessions_that_differ_widen_the_noise() -> None:
    old, new = artifact(), artifact(b"rebuilt")
    before = [
        profile(old, blocks(ms), at=f"2026-01-0{i}T00:00:00+00:00") for i, ms in enumerate((1, 1.1, 0.9, 1.05), 1)
    ]
    assert compared(old, new, before=before, after=[profile(new, blocks(1.2))])["latency"].verdict == "met"
    steady = [profile(old, blocks(1.0), at=f"2026-01-0{i}T00:00:00+00:00") for i in range(1, 5)]
    assert compared(old, new, before=steady, after=[profile(new, blocks(1.06))])["latency"].verdict == "suspected"


def test_another_model_or_device_is_refused() -> None:
    old, new = artifact(), artifact(b"rebuilt")
    was = baseline.kept(manifest(old, profiles=[profile(old, blocks(1.0))]), old)
    with pytest.raises(InputError, match="another model"):
        list(gating.by_baseline(GatedFile(manifest(new, model="other"), new, Demands()), was, paired=False))
    for device in (
        msgspec.structs.replace(PI, id="phone"),
        msgspec.structs.replace(PI, cpu="Cortex-A72", title="Raspberry Pi 4"),
    ):
        there = manifest(new, profiles=[profile(new, blocks(1.0), device=device)])
        with pytest.raises(InputError, match="measured on"):
            list(gating.by_baseline(GatedFile(there, new, Demands()), was, paired=False))


def test_a_network_whose_tensors_were_named_anew_is_still_the_same() -> None:
    old, new = artifact(), artifact(b"rebuilt")
    renamed = msgspec.structs.replace(
        new, signature=Signature(inputs=(spec("x_1", 1, 4),), outputs=(spec("dense_7", 1, 3),))
    )
    assert compared(old, renamed)["size"].verdict == "met"
    wider = msgspec.structs.replace(new, signature=Signature(inputs=(spec("x", 1, 4),), outputs=(spec("y", 1, 5),)))
    with pytest.raises(InputError, match="another model: outputs"):
        compared(old, wider)


def test_other_settings_are_not_compared() -> None:
    old, new = artifact(), artifact(b"rebuilt")
    after = [profile(new, blocks(9.0), run=Run(threads=4))]
    judged = compared(old, new, before=[profile(old, blocks(1.0))], after=after)
    assert judged["latency"].verdict == "unknown"
    assert "threads" in judged["latency"].reason


def test_blocks_without_a_figure_are_in_no_pair() -> None:
    first = profile(artifact(), [1.0, 2.0, 3.0], energy_mj=[1.0, -0.1, 2.0])
    second = profile(artifact(), [1.5, 2.5], energy_mj=[1.0, 1.0, 3.0])
    assert figures.pairs(first, second, "latency") == [(1.0, 1.5), (2.0, 2.5)]
    assert figures.pairs(first, second, "energy") == [(1.0, 1.0), (2.0, 3.0)]
    assert figures.pairs(first, second, "peak memory") == []


def test_pairs_decide() -> None:
    same = [(ms := 1.0 + 0.001 * i, ms * 1.0005) for i in range(10)]
    a, b = [x for x, _ in same], [y for _, y in same]
    assert regressions.judged_pairs(a, b, 0.01, last=False)[0] == "met"
    assert regressions.judged_pairs([1.1 * x for x in a], b, 0.01, last=False)[0] == "missed"
    assert (
        regressions.judged_pairs([1.005 * x for x in a], b, 0.01, last=False)[0] == "met"
    )  # shown, and within the tolerance
    wild = list(np.exp(DRAW.normal(0.04, 0.2, 10)))
    assert regressions.judged_pairs(wild, b, 0.01, last=False)[0] == "suspected"
    assert regressions.judged_pairs(wild, b, 0.01, last=True)[0] == "met"


@given(st.integers(1, 6), st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_the_rank_sum_distribution_is_that_of_all_orders(n: int, m: int) -> None:
    counts = np.zeros(n * m + 1)
    for chosen in combinations(range(n + m), n):
        counts[sum(place - i for i, place in enumerate(chosen))] += 1
    assert np.allclose(statistics._rank_sums(n, m), counts / counts.sum())


@given(st.floats(0.1, 10), st.lists(st.floats(0.5, 2), min_size=6, max_size=12))
@settings(max_examples=30, deadline=None)
def test_ratios_of_blocks_apart_scale_and_invert(factor: float, values: list[float]) -> None:
    other = list(np.linspace(0.9, 1.1, 8))
    plain, scaled = statistics.apart(values, other), statistics.apart([factor * v for v in values], other)
    inverse = statistics.apart(other, values)
    for row in (plain, scaled, inverse):
        assert row.value is not None
        assert row.low is not None
        assert row.high is not None
        assert row.low <= row.value <= row.high
    assert math.isclose(scaled.value or 0, factor * (plain.value or 0), rel_tol=1e-9)
    assert math.isclose((inverse.low or 0) * (plain.high or 0), 1, rel_tol=1e-9)


def test_blocks_apart_of_one_kind_are_rarely_told_apart() -> None:
    draw = np.random.default_rng(1)
    pairs = [np.exp(draw.normal(0, 0.1, (2, 10))) for _ in range(400)]
    wrong = sum(not (e.low or 0) < 1 < (e.high or 0) for e in (statistics.apart(a, b) for a, b in pairs))
    assert wrong <= 0.08 * 400
