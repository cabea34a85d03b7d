"""What every meter must do, whatever it reads. A new leaf adds a probe to `PROBES` and must pass."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgekit.engine import registry
from edgekit.engine.worker import Worker
from edgekit.measure.energy import RANK
from edgekit.nouns.profile import Device, Output
from edgekit.nouns.sensing import Availability, PowerTrace, Probe
from tests.meters.sensor_trees import DEVICES, OUTPUTS, execute, sensed, shells

NAMES = registry.names("meters")

PROBES = {
    "battery": Probe(
        meter="battery",
        files=("/c", "/v", "/s"),
        settings={"sign": -1, "amperes": 1e-6, "volts": 1e-6},
    ),
    "hwmon": Probe(meter="hwmon", files=("/p",), settings={"rail": "x", "period_s": 0.1}),
    "ina3221": Probe(
        meter="ina3221", files=("/v", "/c"), settings={"rail /c": "VDD_IN", "resolution_w": 0.04, "period_s": 0.1}
    ),
    "joulescope": Probe(meter="joulescope", settings={"path": "u/js220/1"}),
    "odpm": Probe(
        meter="odpm",
        commands=("dumpsys android.hardware.power.stats.IPowerStats/default delta",),
        settings={"rails": "[S10M_VDD_TPU]:TPU"},
    ),
    "pmic": Probe(meter="pmic", commands=("vcgencmd pmic_read_adc",), settings={"rails": "VDD_CORE"}),
    "ppk2": Probe(meter="ppk2", settings={"ports": "/dev/null", "supply_mv": 3300}),
    "rapl": Probe(meter="rapl", files=("/e",), settings={"name /e": "package-0", "limit /e": 1000}),
    "tegrastats": Probe(meter="tegrastats", stream="tegrastats --interval 100", settings={"rails": "VDD_IN,VDD_SOC"}),
}

RECORDED = tuple(path.read_text(encoding="utf8") for path in sorted(OUTPUTS.glob("*.txt")))

texts = st.one_of(
    st.text(max_size=300),
    st.lists(st.text(st.characters(codec="ascii"), max_size=12), max_size=40).map("|".join),
    st.lists(st.integers(-(10**25), 10**25).map(str), max_size=40).map("|".join),
    st.tuples(st.sampled_from(RECORDED), st.integers(0, 4000), st.text(max_size=5)).map(
        lambda cut: cut[0][: cut[1]] + cut[2] + cut[0][cut[1] + 1 :]
    ),
)
outputs = st.lists(st.builds(Output, code=st.integers(-9, 255), stdout=texts, stderr=texts), max_size=4).map(tuple)


@pytest.fixture(params=NAMES)
def meter(request: pytest.FixtureRequest) -> Any:
    return registry.leaf("meters", request.param)


def _name(meter: Any) -> str:
    return str(type(meter).__module__.rpartition(".")[2])


def _judged(meter: Any, seen: Availability) -> None:
    assert seen.provenance == meter.provenance
    assert seen.attached == meter.attached
    if seen.probe is None:
        assert seen.reason
        assert seen.fix
        assert not seen.reason.endswith(".")
    else:
        assert not seen.reason
        assert seen.probe.meter == _name(meter)
        assert seen.probe.interval_s is None or seen.probe.interval_s >= 0.01


def test_every_leaf_has_a_probe_here() -> None:
    assert set(PROBES) == set(NAMES)


def test_its_provenance_is_one_of_a_measurement(meter: Any) -> None:
    assert meter.provenance in RANK
    assert meter.provenance != "modelled_estimate"
    assert meter.attached in {"device", "host"}


def test_its_lines_are_valid_in_every_shell(meter: Any, tmp_path: Path) -> None:
    for device in DEVICES:
        lines = [*meter.look(device), *meter.calibration(device, PROBES[_name(meter)])]
        for shell, path in shells(tmp_path / "bin").values():
            for line in lines:
                done = subprocess.run([*shell, "-n", "-c", line], env={"PATH": path}, capture_output=True, check=False)
                assert done.returncode == 0, done.stderr


def test_an_instrument_on_the_desk_asks_the_device_nothing(meter: Any) -> None:
    if meter.attached == "host":
        assert not any(meter.look(device) for device in DEVICES)
    else:
        assert any(meter.look(device) for device in DEVICES)


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.kind)
def test_a_bare_device_has_a_reason_and_a_fix(meter: Any, device: Device, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    for name, shell in shells(tmp_path / "bin").items():
        seen = execute(meter.look(device), tmp_path / "root", shell=shell)
        found = meter.available(device, seen)
        _judged(meter, found)
        assert found.probe is None, name


@settings(max_examples=60)
@example(seen=(Output(code=0, stdout=".", stderr=""),), device=DEVICES[0])
@given(seen=outputs, device=st.sampled_from(DEVICES))
def test_no_output_makes_it_raise(meter: Any, seen: tuple[Output, ...], device: Device) -> None:
    if _name(meter) == "joulescope" and seen:
        return  # it asks its driver, which takes a while, and never looks at the output
    found = meter.available(device, seen)
    _judged(meter, found)
    if found.probe is not None:
        assert meter.stop(found.probe, None).invalid or meter.attached == "host"
        _judged(meter, meter.calibrated(device, found.probe, seen))


def test_an_empty_trace_is_invalid(meter: Any, tmp_path: Path) -> None:
    probe = PROBES[_name(meter)]
    for given_file in (None, sensed(tmp_path / "empty.jsonl", []), tmp_path / "vanished.jsonl"):
        trace = meter.stop(probe, given_file)
        assert isinstance(trace, PowerTrace)
        assert trace.invalid
        assert trace.provenance == meter.provenance
        assert trace.meter == _name(meter)


@settings(max_examples=60)
@given(
    rows=st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 3), st.one_of(st.none(), texts)), max_size=20),
    junk=st.binary(max_size=50),
)
def test_garbage_makes_neither_an_error_nor_a_negative_figure(
    meter: Any, rows: list[tuple[float, int, str | None]], junk: bytes, tmp_path: Path
) -> None:
    probe = PROBES[_name(meter)]
    sources = [*probe.files, *probe.commands, *([probe.stream] if probe.stream else []), "?"]
    path = sensed(tmp_path / "samples.jsonl", [(t, sources[i % len(sources)], text) for t, i, text in rows])
    path.write_bytes(path.read_bytes() + junk)
    trace = meter.stop(probe, path)
    for series in trace.rails.values():
        assert list(series.t_s) == sorted(set(series.t_s))
        assert all(value >= 0 for value in series.values)
        if trace.quantity == "energy":
            assert list(series.values) == sorted(series.values)


def test_words_are_no_figures(meter: Any, tmp_path: Path) -> None:
    probe = PROBES[_name(meter)]
    sources = [*probe.files, *probe.commands, *([probe.stream] if probe.stream else [])]
    for word in ("", "nan", "inf", "1e9", "0x10", "12,5", "１２", "No such device", "1 2 3"):
        rows = [(float(t), source, word) for t in range(9) for source in sources]
        assert meter.stop(probe, sensed(tmp_path / "s.jsonl", rows)).invalid


def test_it_crosses_the_worker(meter: Any, worker: Worker, tmp_path: Path) -> None:
    name = _name(meter)
    found: Availability = worker.call("meters", name, "available", device=DEVICES[0], seen=())
    _judged(meter, found)
    for given_file in (None, sensed(tmp_path / "empty.jsonl", [])):
        trace: PowerTrace = worker.call("meters", name, "stop", probe=PROBES[name], sensed=given_file)
        assert trace.invalid
    assert worker.call("meters", name, "calibration", device=DEVICES[3], probe=PROBES[name]) == meter.calibration(
        DEVICES[3], PROBES[name]
    )


def test_the_shells_of_boards_and_phones_are_tried(tmp_path: Path) -> None:
    installed = {name for name in ("busybox", "mksh") if shutil.which(name)}
    assert set(shells(tmp_path / "bin")) == {"sh"} | installed
