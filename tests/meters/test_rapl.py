from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.measure.integral import window
from edgekit.meters.rapl import Rapl
from edgekit.nouns.sensing import Probe
from tests.meters.sensor_trees import LOCAL, execute, probe_of, rapl, sensed, shells, tree

LIMIT = 262_143_328_850
ZONE = "sys/class/powercap/intel-rapl:0"


def looked(root: Path) -> Probe:
    return probe_of(Rapl().available(LOCAL, execute(Rapl().look(LOCAL), root)))


def test_packages_and_dram_add_up_and_nothing_is_counted_twice(tmp_path: Path) -> None:
    for name, shell in shells(tmp_path / "bin").items():
        root = rapl(tmp_path / "root with space")
        probe = probe_of(Rapl().available(LOCAL, execute(Rapl().look(LOCAL), root, shell=shell)))
        assert set(probe.files) == {f"{root}/{ZONE}/energy_uj", f"{root}/{ZONE}:2/energy_uj"}, name
        assert {value for key, value in probe.settings.items() if key.startswith("name")} == {"package-0", "dram-0"}
        assert probe.interval_s == pytest.approx(0.1)  # 10 Hz at most


def test_two_packages_are_two_rails(tmp_path: Path) -> None:
    second = "sys/class/powercap/intel-rapl:2"
    root = tree(
        rapl(tmp_path),
        {f"{second}/name": "package-1", f"{second}/energy_uj": 5, f"{second}/max_energy_range_uj": LIMIT},
    )
    assert f"{root}/{second}/energy_uj" in looked(root).files


def test_a_package_seen_through_memory_alone_is_taken(tmp_path: Path) -> None:
    here = "sys/class/powercap/intel-rapl-mmio:0"
    root = tree(tmp_path, {f"{here}/name": "package-0", f"{here}/energy_uj": 5, f"{here}/max_energy_range_uj": LIMIT})
    assert looked(root).files == (f"{root}/{here}/energy_uj",)


def test_counters_that_only_root_reads_name_the_chmod(tmp_path: Path) -> None:
    root = rapl(tmp_path)
    locked = root / ZONE / "energy_uj"
    locked.unlink()
    locked.mkdir()  # cannot be read, not even by root, who runs tests in a container
    found = Rapl().available(LOCAL, execute(Rapl().look(LOCAL), root))
    assert found.probe is None
    assert "root" in found.reason
    assert found.fix.startswith(f"sudo chmod a+r {locked}")


@settings(max_examples=100)
@given(
    watts=st.lists(st.floats(0.5, 260), min_size=20, max_size=60),
    start=st.integers(0, 99_000_000),
    jitter=st.lists(st.floats(-0.04, 0.04), min_size=61, max_size=61),
    lost=st.sets(st.integers(2, 18), max_size=2),
)
def test_wraps_jitter_and_lost_samples_leave_the_energy_right(
    tmp_path: Path, watts: list[float], start: int, jitter: list[float], lost: set[int]
) -> None:
    limit = 100_000_000  # at 260 W it wraps after 0.385 s: more than the longest gap, of two samples and their jitter
    rows, joules = [], start * 1e-6
    times = [i * 0.1 + jitter[i] for i in range(len(watts) + 1)]
    for i, t_s in enumerate(times):
        if i:
            joules += watts[i - 1] * (t_s - times[i - 1])
        if i not in lost:
            rows.append((t_s, "/e", str(int(joules * 1e6) % limit)))
    probe = Probe(meter="rapl", files=("/e",), settings={"name /e": "package-0", "limit /e": limit})
    trace = Rapl().stop(probe, sensed(tmp_path / "s.jsonl", rows))
    assert not trace.invalid
    total = trace.rails["package-0"].values[-1]
    assert total == pytest.approx(joules - start * 1e-6, abs=2e-6)
    begin_s, end_s = times[0] + 0.03, times[-1] - 0.03
    truth = total - watts[0] * 0.03 - watts[-1] * 0.03
    if not {1, len(times) - 2} & lost:
        seen = window(trace, begin_s, end_s)
        assert abs(seen.joules - truth) <= seen.half_width_j


def _trace(tmp_path: Path, texts: list[str | None], limit: int = LIMIT):
    probe = Probe(meter="rapl", files=("/e",), settings={"name /e": "package-0", "limit /e": limit})
    rows = [(i * 0.1, "/e", text) for i, text in enumerate(texts)]
    return Rapl().stop(probe, sensed(tmp_path / "s.jsonl", rows))


def test_one_absurd_value_is_left_out(tmp_path: Path) -> None:
    steps: list[str | None] = [str(1_000_000 * i) for i in range(20)]
    steps[7] = str(LIMIT - 1)
    trace = _trace(tmp_path, steps)
    assert not trace.invalid
    assert trace.rails["package-0"].values[-1] == pytest.approx(19.0)


def test_a_counter_that_starts_anew_is_no_wrap(tmp_path: Path) -> None:
    trace = _trace(tmp_path, [str(50_000_000 + 1_000_000 * i) for i in range(10)] + [str(1_000 * i) for i in range(10)])
    assert "package-0" in trace.invalid
    assert trace.rails["package-0"].values[-1] == pytest.approx(9.0)


def test_files_that_vanish_in_the_middle_invalidate(tmp_path: Path) -> None:
    trace = _trace(tmp_path, [str(1_000_000 * i) for i in range(10)] + [None] * 10)
    assert "10 of 20" in trace.invalid


def test_a_slow_reading_makes_the_edges_uncertain(tmp_path: Path) -> None:
    rows = "".join(
        f'{{"t_s": {i / 10}, "source": "/e", "took_s": 0.03, "text": "{i * 1_000_000}"}}\n' for i in range(100)
    )
    (tmp_path / "s.jsonl").write_text(rows)
    probe = Probe(meter="rapl", files=("/e",), settings={"name /e": "package-0", "limit /e": LIMIT})
    trace = Rapl().stop(probe, tmp_path / "s.jsonl")
    assert trace.period_s == pytest.approx(0.031)
    assert window(trace, 1, 9).edges_j == pytest.approx(0.031 * 10)
