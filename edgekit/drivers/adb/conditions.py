"""What can change a measurement on a phone: battery, screen, heat, clock. One shell line reads it all.

Sources: the texts are printed by AOSP's BatteryService, PowerManagerService and ThermalManagerService
(``dumpsys``); the numbers of temperature types and thermal statuses are those of ``android.os.Temperature``.
"""

import math
import re
from datetime import UTC, datetime
from typing import NamedTuple

from edgekit.nouns.profile import State

MARK = "-- edgekit --"
"""Stands between the outputs of several commands in one shell line."""

CPUS = "/sys/devices/system/cpu/cpu[0-9]*/cpufreq"

COMMANDS = (
    "dumpsys battery",
    "dumpsys power | grep -E 'mWakefulness=|Display Power: state='",
    "dumpsys thermalservice",
    f"cat {CPUS}/scaling_governor",
    f"cat {CPUS}/scaling_cur_freq",
    "cat /proc/loadavg",
)
"""What `LINE` runs, in this order."""

LINE = f"; echo; echo '{MARK}'; ".join(f"{command} 2>/dev/null" for command in COMMANDS)
"""The shell line whose output `state` reads."""

THERMAL = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
"""Names of thermal statuses by number."""

CPU_TYPE, SKIN_TYPE = 0, 3
"""Types of temperatures that tell how warm a run made the phone, the better one first."""

CHARGING = "2"
"""``status`` of a battery that is being charged (``BatteryManager.BATTERY_STATUS_CHARGING``)."""

_TEMPERATURE = re.compile(r"Temperature\{mValue=(-?[\d.]+(?:[eE][-+]?\d+)?), mType=(-?\d+), mName=([^,}]*)")


class BatteryReading(NamedTuple):
    """Charge in percent, whether it is on a charger, temperature in °C, and whether updates are stopped.

    Updates are stopped by ``dumpsys battery unplug`` or ``set``; then nothing else here is true any more.
    """

    percent: float | None = None
    charging: bool | None = None
    temperature_c: float | None = None
    stopped: bool = False


def battery(text: str) -> BatteryReading:
    """Read ``dumpsys battery``; a later part of it, a log of events, repeats the names and is not read."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon and line.startswith("  "):
            fields.setdefault(name.strip().lower(), value.strip())
    stopped = "UPDATES STOPPED" in text
    level, scale = _number(fields.get("level")), _number(fields.get("scale")) or 100.0
    powered = [value == "true" for name, value in fields.items() if name.endswith(" powered")]
    known = bool(powered or "status" in fields) and not stopped
    tenths = _number(fields.get("temperature"))
    return BatteryReading(
        percent=None if level is None or stopped else 100 * level / scale,
        charging=(any(powered) or fields.get("status") == CHARGING) if known else None,
        temperature_c=None if tenths is None or stopped else tenths / 10,
        stopped=stopped,
    )


def thermal_status(text: str) -> int | None:
    """The number after ``Thermal Status:`` in ``dumpsys thermalservice``; None if there is no such service."""
    found = re.search(r"^\s*Thermal Status: (\d{1,3})\b", text, re.MULTILINE)
    return int(found[1]) if found else None


def temperatures(text: str) -> dict[str, tuple[int, float]]:
    """Name → type and °C, of the block that is read from the sensors now; cached values are older and left out."""
    found: dict[str, tuple[int, float]] = {}
    inside = False
    for line in text.splitlines():
        match = _TEMPERATURE.search(line)
        if line.strip().startswith("Current temperatures from HAL:"):
            inside = True
        elif inside and match is None and line.strip():
            break
        elif inside and match is not None and (value := _number(match[1])) is not None:
            found[match[3]] = int(match[2]), value
    return found


def hottest_c(read: dict[str, tuple[int, float]]) -> float | None:
    """The warmest core, or the skin if no core tells."""
    for kind in (CPU_TYPE, SKIN_TYPE):
        values = [value for number, value in read.values() if number == kind]
        if values:
            return max(values)
    return None


def throttled(text: str) -> tuple[str, ...] | None:
    """Why the phone holds its clock down, in words; None if it does not tell."""
    status = thermal_status(text)
    if status is None:
        return None
    name = THERMAL[status] if status < len(THERMAL) else "unknown"
    return (f"thermal status {status} ({name})",) if status else ()


def screen_on(text: str) -> bool | None:
    """Whether the screen is on, by ``dumpsys power``; None if it does not tell."""
    display = re.search(r"Display Power: state=(\w+)", text)
    if display:
        return display[1] == "ON"
    awake = re.search(r"mWakefulness=(\w+)", text)
    return None if awake is None else awake[1] == "Awake"


def state(text: str) -> State:
    """Read the output of `LINE`; whatever is missing there is None."""
    parts = [part.strip("\n") for part in text.split(MARK)] + [""] * len(COMMANDS)
    charge = battery(parts[0])
    governors = sorted(set(parts[3].split()))
    frequencies = [int(word) for word in parts[4].split() if word.isdecimal() and len(word) < 12]
    hot = hottest_c(temperatures(parts[2]))
    return State(
        utc=datetime.now(UTC).isoformat(timespec="seconds"),
        governor=", ".join(governors) or None,
        frequencies_khz=tuple(frequencies) or None,
        temperature_c=charge.temperature_c if hot is None else hot,
        throttled=throttled(parts[2]),
        battery_percent=charge.percent,
        charging=charge.charging,
        screen_on=screen_on(parts[1]),
        load=_number(next(iter(parts[5].split()), None)),
    )


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and math.isfinite(value) else None
