import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.measure.integral import window
from edgekit.meters.odpm import COMMAND, Odpm, table
from edgekit.nouns.sensing import Probe
from tests.meters.sensor_trees import LOCAL, PHONE, probe_of, recorded, said, sensed

DUMP = recorded("odpm_pixel6.txt")
RAIL = "[S4M_VDD_CPUCL0]:CPU(LITTLE)"


def single(number: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", number))[0])


def dump(micro: int, before: int | None, elapsed_ms: int = 1000) -> str:
    """As the HAL prints one channel: both figures through float32 (``PowerStatsAidl.cpp``)."""
    delta = 0 if before is None else micro - before
    return (
        "\n============= PowerStats HAL 2.0 energy meter ==============\n"
        + f"Elapsed time: {elapsed_ms} ms\n"
        + f"  {'Channel':>32}   {'Cumulative Energy':>18} ({'Delta   ':>14})\n"
        + f"  {RAIL:>32}   {single(micro) / 1000:14.2f} mWs ({single(delta) / 1000:14.2f})\n"
        + "========== End of PowerStats HAL 2.0 energy meter ==========\n"
    )


def test_compute_and_memory_rails_are_taken_and_nothing_is_counted_twice() -> None:
    probe = probe_of(Odpm().available(PHONE, said(DUMP)))
    names = [name.partition("]")[0][1:] for name in str(probe.settings["rails"]).split("\n")]
    assert names == [
        "S1M_VDD_MIF",
        "S2M_VDD_CPUCL2",
        "S3M_VDD_CPUCL1",
        "S4M_VDD_CPUCL0",
        "S5M_VDD_INT",
        "S10M_VDD_TPU",
        "S2S_VDD_G3D",
        "S4S_VDD2H_MEM",
    ]


def test_consumers_and_residencies_are_no_rails() -> None:
    assert "CPUCluster" not in table(DUMP).channels
    assert len(table(DUMP).channels) == 12
    assert table(DUMP).elapsed_s == pytest.approx(1.002)


def test_rails_without_a_subsystem_are_known_by_name() -> None:
    probe = probe_of(Odpm().available(PHONE, said(dump(1, None).replace(RAIL, "S4M_VDD_CPUCL0"))))
    assert probe.settings["rails"] == "S4M_VDD_CPUCL0"


def test_rails_of_no_known_use_are_refused() -> None:
    found = Odpm().available(PHONE, said(dump(1, None).replace(RAIL, "[VBAT]:Battery")))
    assert "[VBAT]:Battery" in found.reason


def test_another_phone_or_a_board_has_none() -> None:
    missing = "Can't find service: android.hardware.power.stats.IPowerStats/default\n"
    assert "Pixel 6" in Odpm().available(PHONE, said(missing)).fix
    assert Odpm().look(LOCAL) == ()


@settings(max_examples=60)
@given(
    since_boot=st.integers(0, 10**13),
    milliwatts=st.lists(st.integers(5, 8000), min_size=12, max_size=25),
    disturbed=st.booleans(),
)
def test_float32_since_boot_does_not_spoil_a_block(
    tmp_path: Path, since_boot: int, milliwatts: list[int], disturbed: bool
) -> None:
    counter, before, rows = since_boot, None, []
    for i, power in enumerate(milliwatts):
        rows.append((float(i), COMMAND, dump(counter, before, 500 if disturbed and i == 6 else 1000)))
        # Somebody else's dump in between takes part of the next difference away.
        before = counter + (power * 500 if disturbed and i == 5 else 0)
        counter += power * 1000
    probe = Probe(meter="odpm", commands=(COMMAND,), settings={"rails": RAIL})
    trace = Odpm().stop(probe, sensed(tmp_path / "s.jsonl", rows))
    if trace.invalid:  # the counters since boot are too coarse to rise at every step; falling steps are refused
        assert disturbed
        return
    seen = window(trace, 0.0, float(len(milliwatts) - 1))
    truth = sum(milliwatts[:-1]) / 1000
    assert abs(seen.joules - truth) <= seen.half_width_j
    if not disturbed:
        assert trace.resolution == pytest.approx(1e-5)
        assert seen.joules == pytest.approx(truth, abs=1e-5 * len(rows))


def test_a_hal_that_starts_anew_is_refused(tmp_path: Path) -> None:
    rows = [(float(i), COMMAND, dump(10**9 + i * 10**6, None)) for i in range(5)]
    rows += [(5.0 + i, COMMAND, dump(i * 10**6, None)) for i in range(5)]
    probe = Probe(meter="odpm", commands=(COMMAND,), settings={"rails": RAIL})
    assert Odpm().stop(probe, sensed(tmp_path / "s.jsonl", rows)).invalid
