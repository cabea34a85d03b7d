"""Nordic's Power Profiler Kit II, through ``ppk2_api``: current only, at 100,000 samples a second.

It stands in the supply as an ampere meter and never feeds the device itself: a wrong voltage would
destroy it. Energy is the current times the voltage that the user states (``supply_mv``), so every figure
says "voltage assumed".
"""

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from ppk2_api.ppk2_api import PPK2_API
from serial import SerialException

from edgekit.errors import DeviceError
from edgekit.meters import Meter
from edgekit.meters._readings import Readings, plausible, trace
from edgekit.nouns.profile import Device, Output
from edgekit.nouns.sensing import Availability, PowerTrace, Probe, Provenance

RATE_HZ = 100_000
"""Samples a second (Nordic, Power Profiler Kit II, hardware description)."""

CHUNK = 1_000
"""Samples that are averaged to one power: 10 ms."""

LOST = 0.02
"""A trace that misses more than this share of its samples cannot be trusted in time."""

VOLTS_MV = (800, 5_000)
"""What the instrument works at."""

MOST_A = 1.0
"""What it measures at most."""

FIX = "plug it in and switch it on; on Linux: sudo usermod -aG dialout USER, then log in again"


class Ppk2(Meter):
    """Power at the device's supply, by a PPK2 as ampere meter."""

    provenance: ClassVar[Provenance] = "external_meter"
    attached: ClassVar[Literal["device", "host"]] = "host"

    def __init__(self) -> None:
        self._recorder: _Recorder | None = None

    def look(self, device: Device) -> tuple[str, ...]:  # noqa: ARG002  the contract
        """See `Meter.look`: nothing on the device."""
        return ()

    def available(self, device: Device, seen: tuple[Output, ...]) -> Availability:  # noqa: ARG002  the contract
        """See `Meter.available`."""
        ports = _ports()
        supply_mv = device.config.supply_mv if device.config is not None else None
        if not ports:
            return self.refuse("no PPK2 is attached to this host", FIX)
        if supply_mv is None or not VOLTS_MV[0] <= supply_mv <= VOLTS_MV[1]:
            return self.refuse(
                "a PPK2 measures the current only, and the voltage is not known",
                f"measure it and write it into the table [devices.{device.id}]: supply_mv = 3300 "
                f"({VOLTS_MV[0]} to {VOLTS_MV[1]})",
            )
        settings: dict[str, str | int | float | bool] = {"ports": ",".join(ports), "supply_mv": supply_mv}
        return self.offer(Probe(meter="ppk2", interval_s=CHUNK / RATE_HZ, settings=settings))

    def start(self, probe: Probe) -> None:
        """See `Meter.start`."""
        if self._recorder is not None:
            self._recorder.close()
        self._recorder = _Recorder(str(probe.settings["ports"]).split(","), int(probe.settings["supply_mv"]))

    def stop(self, probe: Probe, sensed: Path | None) -> PowerTrace:  # noqa: ARG002  the contract
        """See `Meter.stop`."""
        recorder, self._recorder = self._recorder, None
        volts = int(probe.settings.get("supply_mv", 0)) / 1000
        taken, invalid, step_a = Readings([], [], 0), "the instrument was not started", 0.0
        if recorder is not None:
            recorder.close()
            taken, step_a, invalid = recorder.currents()
        watts = taken._replace(values=[max(a, 0.0) * volts if a > -step_a else a * volts for a in taken.values])
        return trace(
            "ppk2",
            self.provenance,
            "power",
            {"supply": plausible(watts)},
            resolution=step_a * volts,
            period_s=CHUNK / RATE_HZ,
            notes=(f"voltage assumed: {volts:g} V",),
            invalid=invalid,
        )


def _ports() -> list[str]:
    """Serial ports of attached instruments (newer libraries give pairs of port and serial number)."""
    found: Sequence[Any] = PPK2_API.list_devices()
    return [port if isinstance(port, str) else str(port[0]) for port in found]


class _Recorder:
    """An instrument that measures, and a thread that takes its bytes away before they are lost.

    Raises:
        DeviceError: it cannot be opened or does not tell its calibration.
    """

    def __init__(self, ports: list[str], supply_mv: int) -> None:
        self._api = self._open(ports)
        self._api.use_ampere_meter()
        self._api.set_source_voltage(supply_mv)  # its calibration depends on the voltage; nothing is fed
        self._api.toggle_DUT_power("ON")
        self._api.get_data()
        self._bytes, self._begin_s, self._end_s = bytearray(), 0.0, 0.0
        self._error: OSError | None = None
        self._done = threading.Event()
        self._api.start_measuring()
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    @staticmethod
    def _open(ports: list[str]) -> Any:
        """The port that answers: the instrument has two, and one of them is silent."""
        said = "it does not tell its calibration"
        for port in ports:
            try:
                api = PPK2_API(port, timeout=1, write_timeout=1, exclusive=True)
                if api.get_modifiers():
                    return api
                api.ser.close()
            except (SerialException, OSError, UnicodeDecodeError) as error:
                said = str(error)
        raise DeviceError(f"The PPK2 does not answer: {said}.", place=", ".join(ports), fix=FIX)

    def _take(self) -> None:
        while not self._done.is_set():
            try:
                data = self._api.get_data()
            except OSError as error:  # SerialException is one
                self._error = error
                return
            self._end_s = time.monotonic()
            if data and not self._bytes:
                self._begin_s = self._end_s - len(data) / 4 / RATE_HZ
            self._bytes += data
            self._done.wait(0.002)

    def close(self) -> None:
        """Stop the thread and let the instrument go."""
        self._done.set()
        self._thread.join()
        self._api.stop_measuring()
        self._api.ser.close()

    def currents(self) -> tuple[Readings, float, str]:
        """Mean currents in A, the coarsest step among them in A, and why they must not be used.

        Raises:
            DeviceError: it was unplugged.
        """
        if self._error is not None:
            raise DeviceError(
                f"The PPK2 went away in the middle of a block: {self._error}.", place="USB", fix="plug it in; run again"
            )
        count = len(self._bytes) // 4
        words = np.frombuffer(bytes(self._bytes[: 4 * count]), "<u4")
        taken = Readings([], [], 0)
        for first in range(0, count - CHUNK + 1, CHUNK):
            # Whole words only: of a partial or empty buffer the library makes a sample that never was.
            samples, _ = self._api.get_samples(words[first : first + CHUNK].tobytes())
            taken.t_s.append(self._begin_s + (first + CHUNK / 2) / RATE_HZ)
            taken.values.append(float(np.mean(samples)) * 1e-6 if samples else float("nan"))
        lasted_s = self._end_s - self._begin_s
        invalid = ""
        if count and lasted_s > 0 and abs(count / RATE_HZ / lasted_s - 1) > LOST:
            invalid = f"{count} samples came in {lasted_s:.2f} s instead of {lasted_s * RATE_HZ:.0f}: USB lost some"
        elif any(not value < MOST_A for value in taken.values):
            invalid = f"the device took more than {MOST_A:g} A, which a PPK2 cannot measure"
        return taken, self._step_a(words), invalid

    def _step_a(self, words: Any) -> float:
        """The converter's step in the coarsest range that was used (4 counts a bit, as in ``get_samples``)."""
        ranges = np.minimum((words >> 14) & 7, 4)
        coarsest = str(int(ranges.max())) if len(words) else "4"
        return float(4 * self._api.adc_mult / self._api.modifiers["R"][coarsest])
