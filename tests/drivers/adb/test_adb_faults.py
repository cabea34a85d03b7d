"""What goes wrong between a host and a phone: it is said in plain words, and afterwards the phone is as it was."""

import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edgekit.drivers.adb import AdbDriver, bridge
from edgekit.engine.worker import Worker
from edgekit.errors import DeviceError, EdgekitError
from edgekit.nouns.profile import Deployment, Device
from edgekit.nouns.sensing import Probe
from tests.drivers.adb.conftest import PLACE, QUICK, found
from tests.drivers.adb.standin import Standin, running
from tests.waiting import until

DRIVER = AdbDriver()
PROBE = Probe(meter="x", commands=("dumpsys battery",), interval_s=0.1)
LONG = msgspec.structs.replace(QUICK, min_s=60.0, max_s=90.0, probe=PROBE)
"""A block that something will end before its time; it has a probe, so the screen goes off for it."""

IDLE = msgspec.structs.replace(QUICK, mode="idle", idle_s=0.1)


@pytest.fixture
def as_before(phone: Standin, device: Device) -> Callable[[], None]:
    """Says whether the phone's files and settings are as they were, and nothing runs there."""
    before = phone.tree()

    def check() -> None:
        until(lambda: not running(str(phone.root)))  # a process that was killed needs a moment to go
        assert phone.tree() == before

    return check


def opened(device: Device, model: Path, inputs: Path, *, place: str = PLACE) -> Deployment:
    return DRIVER.open(device, model, inputs, LONG, place)


def test_a_run_that_goes_well_leaves_nothing(
    phone: Standin, device: Device, model: Path, inputs: Path, out: Path, as_before: Callable[[], None]
) -> None:
    deployment = opened(device, model, inputs)
    assert phone.var("fixed_performance") == "true"
    DRIVER.run(device, deployment, QUICK, out)
    assert phone.var("wakefulness") == "Awake", "a screen is left alone where no energy is measured"
    assert DRIVER.run(device, deployment, IDLE, out).before.screen_on is False
    assert phone.var("wakefulness") == "Asleep"
    DRIVER.close(device, deployment)
    as_before()
    DRIVER.close(device, deployment)
    as_before()
    assert "fixed-performance-mode-enabled false" in phone.var("calls")


def test_what_is_to_be_restored_is_written_before_anything_is_changed(
    phone: Standin, device: Device, model: Path, inputs: Path, as_before: Callable[[], None]
) -> None:
    phone.faults.drop_when_running = "fixed-performance-mode-enabled true"
    with pytest.raises(DeviceError):
        opened(device, model, inputs)
    as_before()


@pytest.mark.parametrize("after", [0, 60, 2000, 6000])
def test_a_disconnect_in_the_middle_of_a_push(
    phone: Standin, device: Device, model: Path, inputs: Path, as_before: Callable[[], None], after: int
) -> None:
    phone.faults.drop_after_pushed = after
    with pytest.raises(DeviceError, match=r"went away while [\w.]+ was sent") as caught:
        opened(device, model, inputs)
    assert "adb devices -l" in caught.value.fix
    as_before()


def test_a_disconnect_in_the_middle_of_a_run(
    phone: Standin, device: Device, model: Path, inputs: Path, out: Path, as_before: Callable[[], None]
) -> None:
    deployment = opened(device, model, inputs)
    phone.faults.drop_when_running = "--num_runs"
    with pytest.raises(DeviceError, match="went away in the middle of a block"):
        DRIVER.run(device, deployment, LONG, out)
    assert running(str(phone.root)), "what runs there goes on, as on a phone"
    DRIVER.close(device, deployment)
    as_before()


@pytest.mark.slow
def test_a_disconnect_in_the_middle_of_a_pull(
    phone: Standin, device: Device, model: Path, inputs: Path, out: Path, as_before: Callable[[], None]
) -> None:
    deployment = opened(device, model, inputs)
    phone.faults.drop_after_pulled = 700
    with pytest.raises(DeviceError, match=r"went away while log was fetched"):
        DRIVER.run(device, deployment, QUICK, out)
    DRIVER.close(device, deployment)
    as_before()


@pytest.mark.parametrize("full_after", [0, 100, 2500])
def test_a_full_disk(
    phone: Standin, device: Device, model: Path, inputs: Path, as_before: Callable[[], None], full_after: int
) -> None:
    phone.faults.full_after = full_after
    with pytest.raises(DeviceError, match="no space left on the phone") as caught:
        opened(device, model, inputs)
    assert "df -h /data" in caught.value.fix
    as_before()


def test_a_disk_that_is_too_full_is_noticed_before_anything_is_sent(
    phone: Standin, device: Device, model: Path, inputs: Path
) -> None:
    phone.var("free_kib", "9000")
    with pytest.raises(DeviceError, match="no space left") as caught:
        opened(device, model, inputs)
    assert "8 MiB are free" in caught.value.place
    assert phone.faults.pushed == 0


def test_a_phone_that_starts_anew_in_the_middle_of_a_run(
    phone: Standin, device: Device, model: Path, inputs: Path, out: Path, as_before: Callable[[], None]
) -> None:
    deployment = opened(device, model, inputs)
    phone.faults.drop_when_running, phone.faults.reboot = "--num_runs", True
    with pytest.raises(DeviceError, match="went away in the middle of a block"):
        DRIVER.run(device, deployment, LONG, out)
    with pytest.raises(DeviceError, match="started anew: its settings are not those"):
        DRIVER.run(device, deployment, LONG, out)
    DRIVER.close(device, deployment)
    as_before()


def test_a_refused_connection_is_closed(phone: Standin, device: Device) -> None:
    """What stays open warns when it is collected, which is an error in these tests."""
    nobody = bridge.Phone(msgspec.structs.replace(device, id="nobody", config=None))
    with pytest.raises(DeviceError, match="nobody"):
        nobody.shell("true")
    gc.collect()


def test_a_phone_that_takes_its_permission_back(
    phone: Standin,
    device: Device,
    model: Path,
    inputs: Path,
    out: Path,
    as_before: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edgekit.drivers.adb.COMING_BACK_S", 1.0)
    deployment = opened(device, model, inputs)
    phone.faults.authorize = False
    phone.drop()
    with pytest.raises(DeviceError):
        DRIVER.run(device, deployment, QUICK, out)
    with pytest.raises(DeviceError, match="What edgekit put there stays: /data/local/tmp/edgekit-"):
        DRIVER.close(device, deployment)
    phone.faults.authorize = True
    phone.drop()
    until(lambda: bridge.connect(phone.serial) and bridge.attached().get(phone.serial, [""])[0] == "device")
    DRIVER.close(device, deployment)
    as_before()


def test_battery_updates_that_a_run_stopped_are_started_again(
    phone: Standin, device: Device, model: Path, inputs: Path, as_before: Callable[[], None]
) -> None:
    deployment = opened(device, model, inputs)
    DRIVER.execute(device, ("dumpsys battery unplug",))
    assert phone.var("updates_stopped") == "true"
    DRIVER.close(device, deployment)
    as_before()


def test_battery_updates_that_were_stopped_before_stay_so(
    phone: Standin, device: Device, model: Path, inputs: Path
) -> None:
    phone.var("updates_stopped", "true")
    before = phone.tree()
    DRIVER.close(device, opened(device, model, inputs))
    assert phone.tree() == before


def test_a_screen_that_was_off_stays_off(phone: Standin, device: Device, model: Path, inputs: Path, out: Path) -> None:
    phone.var("wakefulness", "Asleep")
    deployment = opened(device, model, inputs)
    DRIVER.run(device, deployment, IDLE, out)
    DRIVER.close(device, deployment)
    assert phone.var("wakefulness") == "Asleep"


@pytest.mark.slow
def test_a_phone_without_the_mode_is_measured_with_a_remark(
    phone: Standin, device: Device, model: Path, inputs: Path, out: Path, as_before: Callable[[], None]
) -> None:
    phone.var("no_fixed", "")
    deployment = opened(device, model, inputs)
    assert "no fixed performance mode" in DRIVER.run(device, deployment, QUICK, out).notes[0]
    DRIVER.close(device, deployment)
    (phone.root / "var/no_fixed").unlink()
    as_before()


def test_an_older_android_has_no_such_mode(phone: Standin, model: Path, inputs: Path) -> None:
    phone.prop("ro.build.version.sdk", "29")
    deployment = opened(found(phone), model, inputs)
    assert "fixed" not in phone.var("calls")
    DRIVER.close(found(phone), deployment)


@pytest.mark.slow
def test_two_files_on_one_phone_share_its_settings(
    phone: Standin, device: Device, model: Path, inputs: Path, out: Path, as_before: Callable[[], None]
) -> None:
    first, second = opened(device, model, inputs), opened(device, model, inputs, place=PLACE[:-1] + "1")
    DRIVER.run(device, first, IDLE, out)
    DRIVER.close(device, first)
    assert phone.var("fixed_performance") == "true", "the other file is still measured"
    assert phone.var("wakefulness") == "Asleep"
    DRIVER.close(device, second)
    as_before()


@pytest.mark.slow
def test_the_next_run_sweeps_what_a_dead_one_left(
    phone: Standin, device: Device, model: Path, inputs: Path, out: Path, as_before: Callable[[], None]
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead = opened(device, model, inputs, place=f"{PLACE.rsplit('-', 2)[0]}-{gone.pid}-0")
    phone.faults.drop_when_running = "--num_runs"
    with pytest.raises(DeviceError):
        DRIVER.run(device, dead, LONG, out)
    assert running(str(phone.root))
    assert phone.var("fixed_performance") == "true"
    deployment = opened(device, model, inputs)
    assert not (phone.root / dead.place.lstrip("/")).exists()
    DRIVER.close(device, deployment)
    as_before()


def test_other_hosts_places_are_left_alone(phone: Standin, device: Device, model: Path, inputs: Path) -> None:
    other = phone.root / "data/local/tmp/edgekit-another-host-1-0"
    other.mkdir()
    DRIVER.close(device, opened(device, model, inputs))
    assert other.is_dir()


@pytest.mark.slow
def test_a_worker_that_is_killed_in_the_middle_of_a_run(
    phone: Standin, device: Device, model: Path, inputs: Path, out: Path, tmp_path: Path, as_before: Callable[[], None]
) -> None:
    calls = {"device": device, "run": LONG}
    with Worker(tmp_path / "log.txt") as worker:
        deployment = worker.call("drivers", "adb", "open", artifact=model, inputs=inputs, place=PLACE, **calls)
        died: list[EdgekitError] = []

        def block() -> None:
            try:
                worker.call("drivers", "adb", "run", deployment=deployment, out=out, **calls)
            except EdgekitError as error:
                died.append(error)

        thread = threading.Thread(target=block)
        thread.start()
        until(lambda: any("benchmark_model" in line for line in commands(phone)))
        os.kill(worker._running(trusted=True).process.pid, signal.SIGKILL)
        thread.join(30)
        assert isinstance(died[0], DeviceError)
        assert phone.var("fixed_performance") == "true"
        worker.call("drivers", "adb", "close", device=device, deployment=deployment)
    as_before()


def commands(phone: Standin) -> list[str]:
    found = []
    for process in running(str(phone.root)):
        try:
            found.append(Path(f"/proc/{process}/cmdline").read_text(encoding="utf8"))
        except OSError:
            continue
    return [line for line in found if "--graph" in line]
