"""Android's on-device power monitor (Pixel 6 and later): energy counters of the rails, through the power HAL.

``dumpsys android.hardware.power.stats.IPowerStats/default delta`` prints for each channel
``[RAIL]:SUBSYSTEM``, the energy since boot and the difference to the dump before (Android, hardware/google/pixel,
``powerstats/PowerStatsAidl.cpp``). The HAL rounds both to float32 before it prints them: after a day the
energy since boot has a step of many millijoules, the difference has not. So differences are summed up
wherever they agree with the counter, which they do unless somebody else dumps too.
"""

import itertools
import re
import struct
from pathlib import Path
from typing import ClassVar

from edgekit.meters import Meter, on_android, stdout
from edgekit.profiles import Availability, Device, Output, PowerTrace, Probe, Provenance
from edgekit.traces import MOST_W, Readings, read, readings, took_s, trace

COMMAND = "dumpsys android.hardware.power.stats.IPowerStats/default delta"

INTERVAL_S = 1.0
"""A dump costs tens of milliseconds of a core; idle is measured with the same dumps."""

PERIOD_S = 0.05
"""The driver renews its cache about every 50 ms: 1 % at the edges of 10 s."""

RESOLUTION_J = 1e-5
"""Two decimals of a mWs."""

SECTION = re.compile(
    r"=+ PowerStats HAL 2\.0 energy meter =+\n(.*?)=+ End of PowerStats HAL 2\.0 energy meter", re.DOTALL
)

ROW = re.compile(r"^\s*(\S.*?)\s+([0-9]{1,15}\.[0-9]{2}) mWs(?:\s+\(\s*(-?[0-9]{1,15}\.[0-9]{2})\))?\s*$", re.MULTILINE)

COMPUTE = re.compile(
    r"(\]:|^)(CPU|GPU|TPU|NPU|DSP|INT|MIF|DDR|MEM)|^\[?\w*?VDD2?[HLQ]?_?(CPU|G3D|TPU|MIF|INT|MEM)\w*\]?$"
)
"""Channels that compute or hold memory, by subsystem, or by name where a phone gives no subsystem.

They are bucks and LDOs side by side. What feeds LDOs (subsystem LDO), the whole battery, display, radios and
cameras are left out: nothing is counted twice, and the screen is not taken for the network.
"""

Dump = dict[str, tuple[float, float | None]]
"""Channel → joules since boot, and joules since the dump before."""


class Odpm(Meter):
    """Energy of a phone's compute and memory rails."""

    provenance: ClassVar[Provenance] = "measured_rail"

    def look(self, device: Device) -> tuple[str, ...]:
        """See `Meter.look`."""
        return (COMMAND,) if on_android(device) else ()

    def available(self, device: Device, seen: tuple[Output, ...]) -> Availability:
        """See `Meter.available`."""
        if not on_android(device):
            return self.refuse("only Android phones have these rails", "use another meter, or an external one")
        found = channels(stdout(seen))
        wanted = tuple(name for name in found if COMPUTE.search(name))
        if not found:
            return self.refuse(
                "this device shows no power rails (PowerStats HAL 2.0)",
                "only Pixel 6 and later have them; use the battery gauge or an external meter",
            )
        if not wanted:
            return self.refuse(
                f"no rail says that it feeds a processor or memory: {', '.join(found)}",
                "use the battery gauge or an external meter",
            )
        settings: dict[str, str | int | float | bool] = {"rails": "\n".join(wanted)}
        return self.offer(Probe(meter="odpm", commands=(COMMAND,), interval_s=INTERVAL_S, settings=settings))

    def stop(self, probe: Probe, sensed: Path | None) -> PowerTrace:
        """See `Meter.stop`."""
        samples = read(sensed)
        dumps = readings(samples, COMMAND, lambda text: channels(text) or None)
        names = str(probe.settings["rails"]).split("\n")
        rails = {name: _joules(dumps, name) for name in names}
        exact = all(_exact(dumps, name) for name in names)
        coarsest = max((_ulp_j(dump[name][0]) for dump in dumps.values for name in names if name in dump), default=0.0)
        notes: tuple[str, ...] = ("compute and memory rails only: no display, radios or cameras",)
        if not exact:
            notes += (f"the counters since boot were used: they step by {coarsest * 1000:.3g} mJ",)
        return trace(
            "odpm",
            self.provenance,
            "energy",
            rails,
            resolution=RESOLUTION_J if exact else max(RESOLUTION_J, coarsest),
            period_s=PERIOD_S + took_s(samples),
            notes=notes,
        )


def channels(text: str) -> Dump:
    """The energy meter's table of a dump; empty where it is none."""
    section = SECTION.search(text)
    rows = ROW.findall(section[1]) if section else []
    return {name: (float(sum_) / 1000, float(delta) / 1000 if delta else None) for name, sum_, delta in rows}


def _ulp_j(joules: float) -> float:
    """The step of a float32 that holds these joules in µWs (IEEE 754)."""
    bits = struct.unpack("<I", struct.pack("<f", joules * 1e6))[0]
    return (
        float(struct.unpack("<f", struct.pack("<I", bits + 1))[0] - struct.unpack("<f", struct.pack("<I", bits))[0])
        * 1e-6
    )


def _agrees(before: float, after: float, delta: float | None) -> bool:
    """Whether a difference is that of the two counters, within what float32 and two decimals leave of them."""
    return delta is not None and abs(after - before - delta) <= _ulp_j(before) + _ulp_j(after) + 2 * RESOLUTION_J


def _of(dumps: Readings, name: str) -> list[tuple[float, tuple[float, float | None]]]:
    return [(t_s, dump[name]) for t_s, dump in zip(dumps.t_s, dumps.values, strict=True) if name in dump]


def _exact(dumps: Readings, name: str) -> bool:
    rows = [row for _, row in _of(dumps, name)]
    return all(_agrees(a[0], b[0], b[1]) for a, b in itertools.pairwise(rows))


def _joules(dumps: Readings, name: str) -> Readings:
    """Joules since the first dump; a counter that falls or leaps is refused."""
    rows, exact = _of(dumps, name), _exact(dumps, name)
    taken = Readings([], [], dumps.refused + len(dumps.t_s) - len(rows))
    refused, total_j = taken.refused, 0.0
    last: tuple[float, float] | None = None
    for t_s, (sum_j, delta_j) in rows:
        rise = 0.0 if last is None else (delta_j if exact and delta_j is not None else sum_j - last[1])
        if rise < 0 or (last is not None and rise > MOST_W * (t_s - last[0])):
            refused += 1
            continue
        last, total_j = (t_s, sum_j), total_j + rise
        taken.t_s.append(t_s)
        taken.values.append(total_j)
    return taken._replace(refused=refused)
