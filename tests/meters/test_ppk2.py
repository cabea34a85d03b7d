"""The leaf with the real ``ppk2_api`` on a serial port that is played, and without hardware."""

import struct
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import serial.tools.list_ports
from ppk2_api import ppk2_api
from serial import SerialException

from edgekit.engine.worker import Worker
from edgekit.errors import DeviceError
from edgekit.measure.integral import window
from edgekit.meters.ppk2 import RATE_HZ, Ppk2
from edgekit.nouns.profile import Device, DeviceConfig
from edgekit.nouns.sensing import Availability, Probe
from tests.meters.sensor_trees import LOCAL, probe_of

BOARD = Device(id="mcu", kind="serial", title="a microcontroller", config=DeviceConfig(kind="serial", supply_mv=3300))

METADATA = "Calibrated: 1\nR0: 1031.64\nR1: 101.65\nR2: 10.15\nR3: 0.94\nR4: 0.043\nGS2: 0\nHW: 9173\nIA: 56\nEND"

COUNT_A = 4 * 1.8 / 163840 / 10.15
"""Amperes a count in range 2 by the library's formula, where gain is linear and offset 0."""


class Port:
    """The instrument's serial port: it tells its calibration and then streams a constant current."""

    counts: ClassVar[int] = 1000
    measuring_range: ClassVar[int] = 2
    silent: ClassVar[bool] = False
    loses: ClassVar[bool] = False
    unplugged: ClassVar[bool] = False
    written: ClassVar[list[bytes]] = []
    open_ports: ClassVar[set["Port"]] = set()

    def __init__(self, port: str, **options: Any) -> None:
        if port == "/dev/locked":
            raise SerialException(13, "could not open port /dev/locked: Permission denied")
        self._answer, self._since_s, self._sent = b"", 0.0, 0
        self.port = port
        Port.open_ports.add(self)

    def write(self, data: bytes) -> None:
        Port.written.append(data)
        if data == b"\x19" and not Port.silent and self.port != "/dev/other":
            self._answer = METADATA.encode()
        if data == b"\x06":
            self._since_s, self._sent = time.monotonic(), 0
        if data == b"\x07":
            self._since_s = 0.0

    @property
    def in_waiting(self) -> int:
        if Port.unplugged and self._since_s:
            raise SerialException("device reports readiness to read but returned no data")
        if self._answer:
            return len(self._answer)
        due = int((time.monotonic() - self._since_s) * RATE_HZ) - self._sent if self._since_s else 0
        return 4 * due

    def read(self, size: int) -> bytes:
        if self._answer:
            taken, self._answer = self._answer[:size], b""
            return taken
        count = size // 4
        self._sent += count
        word = struct.pack("<I", Port.measuring_range << 14 | Port.counts)
        return word * (count // 2 if Port.loses else count)

    def close(self) -> None:
        Port.open_ports.discard(self)


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Port]]:
    found = [SimpleNamespace(device=name, product="PPK2") for name in ("/dev/other", "/dev/ttyACM1")]
    monkeypatch.setattr(serial.tools.list_ports, "comports", lambda: found)
    monkeypatch.setattr(ppk2_api.serial, "Serial", Port)
    fresh = {"counts": 1000, "measuring_range": 2, "silent": False, "loses": False, "unplugged": False}
    for name, value in (fresh | {"written": []}).items():
        monkeypatch.setattr(Port, name, value)
    yield Port
    assert not Port.open_ports


def run(seconds: float = 0.6) -> Any:
    meter = Ppk2()
    probe = probe_of(meter.available(BOARD, ()))
    meter.start(probe)
    time.sleep(seconds)
    return meter.stop(probe, None)


def test_energy_is_current_times_the_stated_voltage(port: type[Port]) -> None:
    meter = Ppk2()
    probe = probe_of(meter.available(BOARD, ()))
    begin_s = time.monotonic()
    meter.start(probe)
    started_s = time.monotonic()
    time.sleep(0.6)
    stopped_s = time.monotonic()
    trace = meter.stop(probe, None)
    truth_w = 1000 * COUNT_A * 3.3
    assert not trace.invalid
    assert trace.notes == ("voltage assumed: 3.3 V",)
    times = trace.rails["supply"].t_s
    assert begin_s < times[0] < stopped_s - 0.5  # on this host's clock
    assert times[-1] - times[0] == pytest.approx(stopped_s - started_s, abs=0.1)
    seen = window(trace, times[0] + 0.1, times[0] + 0.5)
    assert seen.joules == pytest.approx(truth_w * 0.4, rel=1e-6)
    assert trace.resolution == pytest.approx(COUNT_A * 3.3)


def test_it_never_feeds_the_device(port: type[Port]) -> None:
    run(0.2)
    modes = [data for data in port.written if data[:1] == b"\x11"]
    assert modes == [b"\x11\x01"]  # ampere meter; source meter is 17, 2


def test_the_port_that_is_silent_is_passed_over(port: type[Port]) -> None:
    run(0.2)
    assert port.written.count(b"\x19") == 2


def test_an_instrument_without_calibration_is_an_error(port: type[Port], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Port, "silent", True)
    with pytest.raises(DeviceError, match="calibration"):
        run()


def test_a_locked_port_names_the_group(port: type[Port]) -> None:
    probe = Probe(meter="ppk2", settings={"ports": "/dev/locked", "supply_mv": 3300})
    with pytest.raises(DeviceError, match="Permission denied") as error:
        Ppk2().start(probe)
    assert "dialout" in error.value.fix


def test_lost_samples_invalidate(port: type[Port], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Port, "loses", True)
    assert "lost" in run().invalid


def test_more_than_an_ampere_invalidates(port: type[Port], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Port, "measuring_range", 4)
    monkeypatch.setattr(Port, "counts", 2000)
    assert "more than 1 A" in run(0.3).invalid


def test_an_instrument_that_goes_away_is_an_error(port: type[Port], monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Ppk2()
    probe = probe_of(meter.available(BOARD, ()))
    meter.start(probe)
    monkeypatch.setattr(Port, "unplugged", True)
    time.sleep(0.1)
    monkeypatch.setattr(Port, "unplugged", False)
    with pytest.raises(DeviceError, match="went away"):
        meter.stop(probe, None)


@pytest.mark.parametrize("supply_mv", [None, 12_000, 0])
def test_a_voltage_that_is_not_known_is_asked_for(port: type[Port], supply_mv: int | None) -> None:
    config = DeviceConfig(kind="serial", supply_mv=supply_mv)
    found = Ppk2().available(Device(id="mcu", kind="serial", title="", config=config), ())
    assert found.probe is None
    assert "[devices.mcu]: supply_mv = 3300" in found.fix


def test_the_real_library_without_hardware(worker: Worker) -> None:
    found: Availability = worker.call("meters", "ppk2", "available", device=LOCAL, seen=())
    assert found.reason == "no PPK2 is attached to this host"
    assert "plug it in" in found.fix


def test_the_real_library_cannot_open_what_is_not_there(worker: Worker) -> None:
    probe = Probe(meter="ppk2", settings={"ports": "/dev/ttyACM77", "supply_mv": 3300})
    with pytest.raises(DeviceError, match="No such file"):
        worker.call("meters", "ppk2", "start", probe=probe)
