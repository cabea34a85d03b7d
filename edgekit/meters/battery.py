"""Android's battery gauge: current and voltage of the whole phone, coarse and slow.

The kernel's rule is µA and µV, and a negative current while discharging (Linux,
``Documentation/ABI/testing/sysfs-class-power``); phones break it in sign and in unit. So the gauge is
calibrated on each phone: a busy loop on all cores must raise the discharge, which tells the sign, and the
magnitude tells the unit; if either stays open the meter refuses. It also refuses while a charger
is connected: USB feeds the phone beside the battery.
"""

import math
import re
import statistics
from pathlib import Path
from typing import ClassVar, NamedTuple

from edgekit.meters import Meter, on_android, stdout
from edgekit.meters._readings import Readings, plausible, product, read, readings, renewal_s, step, took_s, trace, whole
from edgekit.nouns.profile import Device, Output
from edgekit.nouns.sensing import Availability, PowerTrace, Probe, Provenance, Sample

LOOK_FILES = (
    'for s in "$EDGEKIT_SENSORS"/sys/class/power_supply/*; do '
    '[ "$(cat "$s/type" 2>/dev/null)" = Battery ] || continue; '
    'echo "$s|$(cat "$s/current_now" 2>/dev/null)|$(cat "$s/voltage_now" 2>/dev/null)'
    '|$(cat "$s/status" 2>/dev/null)"; done'
)
"""A line for each battery: folder, current, voltage, status."""

LOOK_SERVICE = "dumpsys battery"

COMMAND = "cmd battery get -f current_now && dumpsys battery"
"""Current and voltage if a shell may not read the files (Android 15 and later know ``current_now``)."""

INTERVAL_S = 1.0

READINGS = 8
"""Readings at rest and again under load, `INTERVAL_S` apart."""

SETTLE_S = 4
"""From the load's start to the first reading under it."""

RISE = 0.3
"""The load must raise the discharge by this share at least: all cores of a phone more than double it."""

MICRO, MILLI = (50_000, 20_000_000), (50, 20_000)
"""What a busy phone's current may be in µA and in mA (50 mA to 20 A): between the two the unit stays open."""

MOST_W = 50.0
"""More than any phone's battery gives."""

UNPLUG = "unplug it and use adb over Wi-Fi: adb tcpip 5555, adb connect PHONE:5555"


class Reading(NamedTuple):
    """What one reading said: counts of current and voltage, and whether a charger is connected."""

    current: int
    voltage: int
    powered: bool


class Battery(Meter):
    """Power of the whole phone, screen and radios included."""

    provenance: ClassVar[Provenance] = "battery_gauge"

    def look(self, device: Device) -> tuple[str, ...]:
        """See `Meter.look`."""
        return (LOOK_FILES, LOOK_SERVICE, COMMAND) if on_android(device) else ()

    def available(self, device: Device, seen: tuple[Output, ...]) -> Availability:
        """See `Meter.available`."""
        if not on_android(device):
            return self.refuse("only Android's battery gauge is read", "use another meter, or an external one")
        service = stdout(seen, 1)
        rows = [line.split("|") for line in stdout(seen).splitlines()]
        readable = [row for row in rows if len(row) == 4 and None not in map(whole, row[1:3])]
        if "UPDATES STOPPED" in service:
            return self.refuse("the battery's reported state is frozen", "adb shell dumpsys battery reset")
        if charger(service) or any(row[3].strip() in {"Charging", "Full"} for row in readable):
            return self.refuse("the phone is charging, so the battery does not show what it takes", UNPLUG)
        if readable:
            folder = readable[0][0]
            files = tuple(f"{folder}/{name}" for name in ("current_now", "voltage_now", "status"))
            return self.offer(Probe(meter="battery", files=files, interval_s=INTERVAL_S))
        if one(stdout(seen, 2)) is not None:
            return self.offer(Probe(meter="battery", commands=(COMMAND,), interval_s=INTERVAL_S))
        return self.refuse(
            "this device does not let a shell read its battery's current",
            "use a phone with power rails (Pixel 6 and later), adb root if it is allowed, or an external meter",
        )

    def calibration(self, device: Device, probe: Probe) -> tuple[str, ...]:
        """See `Meter.calibration`: readings at rest, then under a busy loop on every core that ends by itself."""
        files = " ".join(f'"{file}"' for file in probe.files[:2])
        one_reading = f"echo $(cat {files})" if files else "echo ==; " + COMMAND
        several = f"i=0; while [ $i -lt {READINGS} ]; do {one_reading}; i=$((i+1)); sleep {INTERVAL_S:g}; done"
        load_s = math.ceil(SETTLE_S + 2 * READINGS * INTERVAL_S) + 2  # busybox waits for whole seconds only
        loops = " ".join(str(core) for core in range(device.cores or 4))
        load = f"for c in {loops}; do timeout {load_s} sh -c 'while :; do :; done' >/dev/null 2>&1 & done"
        return (several, f"{load}; sleep {SETTLE_S}; {several}; wait")

    def calibrated(self, device: Device, probe: Probe, seen: tuple[Output, ...]) -> Availability:  # noqa: ARG002  the contract
        """See `Meter.calibrated`."""
        idle, busy = (several(stdout(seen, i)) for i in (0, 1))
        if min(len(idle), len(busy)) < READINGS // 2:
            return self.refuse(
                f"the battery gauge answered {len(idle)} times at rest and {len(busy)} times under load of {READINGS}",
                "try again with the screen off, or use an external meter",
            )
        rest, load = (statistics.median(reading.current for reading in rows) for rows in (idle, busy))
        spread = max(statistics.pstdev([reading.current for reading in rows]) for rows in (idle, busy))
        volts = statistics.median(reading.voltage for reading in idle)
        amperes, per_volt = _unit(abs(load)), _voltage_unit(volts)
        if any(reading.powered for reading in idle + busy):
            return self.refuse("a charger was connected during calibration", UNPLUG)
        if rest * load < 0 or abs(load) - abs(rest) <= max(RISE * abs(rest), 2 * spread):
            return self.refuse(
                f"a busy loop does not raise the discharge by the gauge ({rest:g} at rest, {load:g} under load)",
                "its sign or its renewal cannot be trusted on this model: use an external meter",
            )
        if amperes is None or per_volt is None:
            return self.refuse(
                f"the unit of the gauge stays open: {load:g} under load, at {volts:g} of voltage",
                "this model is neither in µA nor in mA by magnitude: use an external meter",
            )
        learnt: dict[str, str | int | float | bool] = {
            "sign": 1 if load > 0 else -1,
            "amperes": amperes,
            "volts": per_volt,
        }
        return self.offer(
            Probe(
                meter="battery",
                files=probe.files,
                commands=probe.commands,
                interval_s=probe.interval_s,
                settings=probe.settings | learnt,
            )
        )

    def stop(self, probe: Probe, sensed: Path | None) -> PowerTrace:
        """See `Meter.stop`."""
        samples = read(sensed)
        amps, volts, powered = _of_files(samples, probe.files) if probe.files else _of_command(samples)
        factor = float(probe.settings.get("amperes", 0)) * float(probe.settings.get("volts", 0))
        counts = product(amps, volts)
        signed = counts._replace(values=[v * factor * int(probe.settings.get("sign", 1)) for v in counts.values])
        watts = plausible(signed, MOST_W)
        invalid = "" if factor else "the gauge was not calibrated on this phone"
        if powered:
            invalid = "a charger was connected during the block"
        renewed_s = renewal_s(amps, INTERVAL_S)
        return trace(
            "battery",
            self.provenance,
            "power",
            {"battery": watts},
            resolution=step(amps.values, 1) * factor * max(volts.values, default=0),
            period_s=renewed_s + took_s(samples),
            notes=(f"the whole phone; the gauge is renewed every {renewed_s:.3g} s",),
            invalid=invalid,
        )


def charger(service: str) -> bool:
    """Whether ``dumpsys battery`` names a source of power, or says that the battery charges (status 2 or 5)."""
    powered = re.search(r"^\s*\w+ powered: true\s*$", service, re.MULTILINE)
    return bool(powered or re.search(r"^\s*status: [25]\s*$", service, re.MULTILINE))


def one(text: str) -> Reading | None:
    """One answer of `COMMAND`; None if it is none."""
    first, _, service = text.lstrip().partition("\n")
    current, voltage = whole(first), re.search(r"^\s*voltage: ([0-9]{1,8})\s*$", service, re.MULTILINE)
    return Reading(current, int(voltage[1]), charger(service)) if current is not None and voltage else None


def several(text: str) -> list[Reading]:
    """Answers of a calibration's line: ``CURRENT VOLTAGE`` a line, or answers of `COMMAND` after ``==``."""
    if "==" in text:
        return [reading for part in text.split("==") if (reading := one(part)) is not None]
    pairs = (line.split() for line in text.splitlines())
    numbers = [tuple(map(whole, pair)) for pair in pairs if len(pair) == 2]
    return [Reading(c, v, powered=False) for c, v in numbers if c is not None and v is not None]


def _unit(current: float) -> float | None:
    """Amperes a count, by the magnitude of a busy phone's current; None if it stays open."""
    if MICRO[0] <= current <= MICRO[1]:
        return 1e-6
    return 1e-3 if MILLI[0] <= current < MILLI[1] else None


def _voltage_unit(voltage: float) -> float | None:
    """Volts a count: a phone's battery has 2.5 to 10 V."""
    return next((unit for unit in (1e-6, 1e-3) if 2.5 <= voltage * unit <= 10), None)


def _of_files(samples: tuple[Sample, ...], files: tuple[str, ...]) -> tuple[Readings, Readings, bool]:
    status = [s.text.strip() for s in samples if s.source == files[2] and s.text is not None]
    return readings(samples, files[0]), readings(samples, files[1]), bool({"Charging", "Full"} & set(status))


def _of_command(samples: tuple[Sample, ...]) -> tuple[Readings, Readings, bool]:
    every = readings(samples, COMMAND, one)
    amps = every._replace(values=[reading.current for reading in every.values])
    volts = every._replace(values=[reading.voltage for reading in every.values], refused=0)
    return amps, volts, any(reading.powered for reading in every.values)
