"""The phone's driver against a phone that is none: real adb, a real model on this host's LiteRT."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgekit.drivers.adb import AdbDriver
from edgekit.errors import DeviceError, Unsupported
from edgekit.meters.battery import Battery
from edgekit.meters.odpm import Odpm
from edgekit.nouns.profile import Deployment, Device, DeviceConfig, Run
from edgekit.nouns.sensing import Probe, Sample
from edgekit.waist import run as waist
from tests.drivers.adb.conftest import PLACE, QUICK, config, found
from tests.drivers.adb.standin import RECORDINGS, Standin

DRIVER = AdbDriver()
CURRENT = "/sys/class/power_supply/battery/current_now"


@pytest.fixture
def deployment(phone: Standin, device: Device, model: Path, inputs: Path) -> Deployment:
    return DRIVER.open(device, model, inputs, QUICK, PLACE)


def replaced(run: Run, **fields: object) -> Run:
    return msgspec.structs.replace(run, **fields)


def test_a_phone_is_found_with_what_it_is(phone: Standin) -> None:
    device = found(phone)
    assert device.title == "Google Pixel 6"
    assert device.os == "Android 14 (API 34), UQ1A.240205.002"
    assert (device.cpu, device.abi, device.cores) == ("Google GS101", "arm64-v8a", 4)
    assert device.runs == (".tflite",)
    assert device.delegates == ("xnnpack", "gpu", "nnapi", "none")
    assert device.runtimes == {"benchmark_model": "/data/local/tmp/benchmark_model"}
    assert device.usable
    assert device.times
    assert device.problems == ()


def test_what_is_wrong_is_said_in_plain_words_with_the_fix(phones: Callable[..., Standin]) -> None:
    phone = phones(tool=False)
    phone.var("usb_powered", "true")
    phone.var("thermal_status", "2")
    warm, charging, missing = found(phone).problems
    assert "thermal status 2 (moderate)" in warm
    assert "charging" in charging
    assert "unplug the charger" in charging
    assert "--benchmark-binary" in missing


def test_an_emulator_is_said_to_measure_no_time(phone: Standin) -> None:
    phone.prop("ro.boot.qemu", "1")
    device = found(phone)
    assert not device.times
    assert "emulator" in device.problems[0]


def test_stopped_battery_updates_are_not_believed(phone: Standin) -> None:
    phone.var("updates_stopped", "true")
    device = found(phone)
    assert device.state is not None
    assert device.state.charging is None
    assert device.state.battery_percent is None
    assert "dumpsys battery reset" in device.problems[0]


def test_a_phone_that_was_not_allowed_says_what_to_do(phone: Standin, model: Path, inputs: Path) -> None:
    phone.faults.authorize = False
    device = found(phone)
    assert not device.usable
    assert "accept 'Allow USB debugging?'" in device.problems[0]
    with pytest.raises(DeviceError, match="not allowed this computer"):
        DRIVER.open(device, model, inputs, QUICK, PLACE)


def test_a_phone_that_is_not_there_is_listed_as_such(phone: Standin) -> None:
    gone = config(phone)
    phone.close()
    (device,) = (device for device in DRIVER.find({"gone": gone}) if device.id == "gone")
    assert not device.usable
    assert "adb does not see it" in device.problems[0]


def test_a_table_without_a_host_tells_of_the_phone_with_that_serial(
    phone: Standin, model: Path, inputs: Path, out: Path
) -> None:
    found(phone)  # adb knows it now, as it knows one at a cable
    serial, fed = f"127.0.0.1:{phone.port}", DeviceConfig(kind="adb", supply_mv=3850)
    devices = {device.id: device for device in DRIVER.find({serial: fed, "NOT-PLUGGED-IN": fed})}
    assert devices[serial].title == "Google Pixel 6"
    assert devices[serial].config == fed
    assert not devices["NOT-PLUGGED-IN"].usable
    assert "adb does not see it" in devices["NOT-PLUGGED-IN"].problems[0]
    deployment = DRIVER.open(devices[serial], model, inputs, QUICK, PLACE)
    assert DRIVER.run(devices[serial], deployment, QUICK, out).latency is not None
    DRIVER.close(devices[serial], deployment)


@pytest.mark.slow
def test_two_phones_are_kept_apart(phones: Callable[..., Standin], model: Path, inputs: Path, out: Path) -> None:
    first, second = phones("oriole"), phones("raven")
    second.prop("ro.product.model", "Pixel 6 Pro")
    devices = {device.id: device for device in DRIVER.find({"a": config(first), "b": config(second)})}
    assert devices["a"].title == "Google Pixel 6"
    assert devices["b"].title == "Google Pixel 6 Pro"
    deployment = DRIVER.open(devices["b"], model, inputs, QUICK, PLACE)
    assert not (first.root / deployment.place.lstrip("/")).exists()
    assert (second.root / deployment.place.lstrip("/")).is_dir()
    assert DRIVER.run(devices["b"], deployment, QUICK, out).latency is not None
    DRIVER.close(devices["b"], deployment)


def test_a_block_brings_the_tools_own_figures(
    phone: Standin, device: Device, deployment: Deployment, out: Path
) -> None:
    block = DRIVER.run(device, deployment, QUICK, out)
    assert block.latency is not None
    assert block.latency.runs >= 20
    assert 0 < block.latency.min_ms <= block.latency.median_ms <= block.latency.p95_ms <= block.latency.max_ms
    assert block.init_ms > 0
    assert block.first_ms > 0
    assert block.warm_up_runs >= 2
    assert block.memory.loaded_bytes > 0
    assert block.memory.peak_bytes >= block.memory.loaded_bytes
    assert block.runtime.startswith("benchmark_model (classic, ")
    assert block.end_s - block.begin_s == pytest.approx(0.1, abs=0.3)
    assert block.host_offset_error_s < 1
    assert block.before.screen_on is True
    assert block.latencies is None
    assert not (phone.root / deployment.place.lstrip("/") / "block").exists()


def test_outputs_are_this_hosts_bit_for_bit(
    device: Device, deployment: Deployment, model: Path, inputs: Path, out: Path
) -> None:
    block = DRIVER.run(device, deployment, replaced(QUICK, mode="outputs"), out)
    with np.load(out / block.outputs) as there, np.load(inputs) as fed:
        here = waist.run(model, dict(fed))
        assert set(there) == {"probabilities"}
        assert there["probabilities"].shape == (3, 1, 5)
        np.testing.assert_array_equal(there["probabilities"], here["probabilities"])


def test_operators_come_from_the_tools_table(device: Device, deployment: Deployment, out: Path) -> None:
    rows = DRIVER.run(device, deployment, replaced(QUICK, mode="operators"), out).operators
    assert rows[0].kind == "CONV_2D"
    assert rows[0].mean_ms == 60.957
    assert rows[-1].kind == "SOFTMAX"


def test_a_probe_is_sampled_on_the_phones_clock(
    phone: Standin, device: Device, deployment: Deployment, out: Path
) -> None:
    probe = Probe(meter="x", files=(CURRENT, "/sys/none"), commands=("dumpsys battery",), interval_s=0.05)
    block = DRIVER.run(device, deployment, replaced(QUICK, mode="idle", idle_s=0.4, probe=probe), out)
    samples = [msgspec.json.decode(line, type=Sample) for line in (out / block.sensed).read_bytes().splitlines()]
    current = [sample for sample in samples if sample.source == CURRENT]
    assert len(current) >= 4
    assert all(sample.text == "-412500\n" for sample in current)
    assert current[0].t_s <= block.begin_s
    assert current[-1].t_s >= block.end_s
    missing = next(sample for sample in samples if sample.source == "/sys/none")
    assert missing.text is None
    assert "No such file" in missing.error
    assert "level: 81" in next(sample for sample in samples if sample.source == "dumpsys battery").text
    assert block.end_s - block.begin_s == pytest.approx(0.4, abs=0.2)


def test_a_probe_at_the_edges_is_read_twice(device: Device, deployment: Deployment, out: Path) -> None:
    probe = Probe(meter="x", files=(CURRENT,), interval_s=None)
    block = DRIVER.run(device, deployment, replaced(QUICK, probe=probe), out)
    samples = [msgspec.json.decode(line, type=Sample) for line in (out / block.sensed).read_bytes().splitlines()]
    assert len(samples) == 2
    assert samples[0].t_s <= block.begin_s < block.end_s <= samples[1].t_s + 0.01


@pytest.mark.slow
def test_power_rails_are_read_through_a_block(device: Device, deployment: Deployment, out: Path) -> None:
    meter = Odpm()
    offer = meter.available(device, DRIVER.execute(device, meter.look(device)))
    probe = replaced(offer.probe, interval_s=0.1)
    block = DRIVER.run(device, deployment, replaced(QUICK, mode="idle", idle_s=1.0, probe=probe), out)
    trace = meter.stop(probe, out / block.sensed)
    assert not trace.invalid
    watts = {
        name: (rail.values[-1] - rail.values[0]) / (rail.t_s[-1] - rail.t_s[0]) for name, rail in trace.rails.items()
    }
    assert watts == {
        "[S2M_VDD_CPUCL2]:CPU(BIG)": pytest.approx(1.5, rel=0.1),
        "[S1M_VDD_MIF]:MIF": pytest.approx(0.25, rel=0.1),
    }


def test_the_battery_gauge_is_read_through_a_block(device: Device, deployment: Deployment, out: Path) -> None:
    meter = Battery()
    offer = meter.available(device, DRIVER.execute(device, meter.look(device)))
    learnt = {"sign": -1, "amperes": 1e-6, "volts": 1e-6}
    probe = replaced(offer.probe, interval_s=0.1, settings=learnt)
    block = DRIVER.run(device, deployment, replaced(QUICK, mode="idle", idle_s=2.0, probe=probe), out)
    trace = meter.stop(probe, out / block.sensed)
    assert not trace.invalid
    assert trace.rails["battery"].values[0] == pytest.approx(0.4125 * 4.12)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("takes", "share", "partitions"), [("all", "all", 1), ("part", "part", 2), ("none", "none", None)]
)
def test_a_silent_fall_back_to_the_cpu_is_seen(
    phone: Standin, device: Device, deployment: Deployment, out: Path, takes: str, share: str, partitions: int | None
) -> None:
    phone.var("takes", takes)
    run = replaced(QUICK, delegate="gpu")
    delegation = DRIVER.run(device, deployment, run, out).delegation
    assert (delegation.delegate, delegation.share, delegation.partitions) == ("gpu", share, partitions)
    strict = replaced(run, require_full_delegation=True)
    if share == "all":
        assert DRIVER.run(device, deployment, strict, out).latency is not None
    else:
        with pytest.raises(Unsupported, match="all of it was required"):
            DRIVER.run(device, deployment, strict, out)


def test_an_older_build_without_outputs_says_so(
    phone: Standin, device: Device, deployment: Deployment, out: Path
) -> None:
    phone.var("lacks", "output_filepath result_file_path")
    block = DRIVER.run(device, deployment, QUICK, out)
    assert block.latency.median_ms is not None
    with pytest.raises(Unsupported, match="does not know --output_filepath"):
        DRIVER.run(device, deployment, replaced(QUICK, mode="outputs"), out)


@pytest.mark.slow
def test_litert_own_tool_measures_but_shows_nothing_else(
    phone: Standin, device: Device, model: Path, inputs: Path, out: Path
) -> None:
    phone.var("generation", "litert")
    deployment = DRIVER.open(device, model, inputs, QUICK, PLACE)
    block = DRIVER.run(device, deployment, QUICK, out)
    assert block.runtime.startswith("benchmark_model (litert, ")
    assert block.latency.runs >= 20
    assert "this benchmark_model makes up its own inputs" in block.notes
    for mode in ("outputs", "operators"):
        with pytest.raises(Unsupported, match="--benchmark-binary download"):
            DRIVER.run(device, deployment, replaced(QUICK, mode=mode), out)
    with pytest.raises(Unsupported, match="no delegate nnapi"):
        DRIVER.run(device, deployment, replaced(QUICK, delegate="nnapi"), out)


def test_a_recording_of_an_old_build_is_a_block(
    phone: Standin, device: Device, deployment: Deployment, out: Path
) -> None:
    phone.var("replay", str(RECORDINGS / "classic_2022_riscv.txt"))
    block = DRIVER.run(device, deployment, QUICK, out)
    assert (block.init_ms, block.first_ms, block.warm_up_runs) == (17.187, 3512.391, 1)
    assert block.latency.mean_ms == pytest.approx(2950.34)
    assert block.latency.median_ms is None
    assert "reckoned" in block.notes[0]  # all its lines came at once


def test_a_tool_that_dies_is_no_bug_of_ours(phone: Standin, device: Device, deployment: Deployment, out: Path) -> None:
    phone.var("dies", "11")
    with pytest.raises(Unsupported, match=r"died \(signal 11\)"):
        DRIVER.run(device, deployment, QUICK, out)


@pytest.mark.slow
def test_an_android_that_tells_output_and_error_not_apart(phone: Standin, model: Path, inputs: Path, out: Path) -> None:
    phone.features = "cmd"
    phone.prop("ro.build.version.sdk", "23")
    device = found(phone)
    (said,) = DRIVER.execute(device, ("echo a; echo b >&2; exit 3",))
    assert (said.code, said.stdout) == (3, "a\nb\n")
    deployment = DRIVER.open(device, model, inputs, QUICK, PLACE)
    assert DRIVER.run(device, deployment, QUICK, out).latency.runs >= 20
    DRIVER.close(device, deployment)
    assert not (phone.root / deployment.place.lstrip("/")).exists()


def test_a_file_that_is_no_network_is_refused(device: Device, tmp_path: Path, inputs: Path) -> None:
    with pytest.raises(Unsupported, match=r"runs \.tflite files, not \.onnx"):
        DRIVER.open(device, tmp_path / "model.onnx", inputs, QUICK, PLACE)


def test_cores_become_a_mask(device: Device, deployment: Deployment, out: Path) -> None:
    block = DRIVER.run(device, deployment, replaced(QUICK, cores=(0,)), out)
    assert block.latency.runs >= 20


def test_the_state_is_read_from_the_sensors_not_the_cache(phone: Standin, device: Device) -> None:
    state = DRIVER.state(device)
    assert state.temperature_c == 38.5
    assert state.throttled == ()
    assert (state.battery_percent, state.charging, state.screen_on) == (81.0, False, True)
    assert (state.governor, state.frequencies_khz) == ("sched_pixel", (1803000, 1803000, 2253000, 2802000))
    phone.var("thermal_status", "3")
    assert DRIVER.state(device).throttled == ("thermal status 3 (severe)",)
    phone.var("no_thermal", "")
    state = DRIVER.state(device)
    assert state.throttled is None
    assert state.temperature_c == 27.4  # the battery's


def test_lines_are_run_one_by_one(device: Device) -> None:
    said = DRIVER.execute(device, ("echo a; echo b >&2; exit 3", "cat $EDGEKIT_SENSORS" + CURRENT))
    assert [(output.code, output.stdout, output.stderr) for output in said] == [(3, "a\n", "b\n"), (0, "-412500\n", "")]
