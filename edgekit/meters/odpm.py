"""Android's on-device power monitor (Pixel 6 and later): energy counters of the rails, through the power HAL.

``dumpsys android.hardware.power.stats.IPowerStats/default delta`` prints for each channel
``[RAIL]:SUBSYSTEM``, the energy since boot and the difference to the dump before (Android, hardware/google/pixel,
``powerstats/PowerStatsAidl.cpp``). The HAL rounds both to float32 before it prints them: after a day the
energy since boot has a step of many millijoules, the difference has not. So differences are summed up
if they agree with the counter and with the elapsed time that the dump tells: both fail if somebody else
dumped in between and took a part of the difference away.
"""

import itertools
import re
import struct
from pathlib import Path
from typing import ClassVar, NamedTuple

from edgekit.meters import Meter, on_android, stdout
from edgekit.meters._readings import MOST_W, Readings, read, readings, took_s, trace
from edgekit.nouns.profile import Device, Output
from edgekit.nouns.sensing import Availability, PowerTrace, Probe, Provenance

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
"""Channels that compute or hold memory, by subsystem, or by name if a phone gives no subsystem.

They are bucks and LDOs side by side. What feeds LDOs (subsystem LDO), the whole battery, display, radios and
cameras are left out: nothing is counted twice, and the screen is not taken for the network.
"""

ELAPSED = re.compile(r"Elapsed time: ([0-9]{1,12}) ms")

Channels = dict[str, tuple[float, float | None]]
"""Channel → joules since boot, and joules since the dump before."""


class Dump(NamedTuple):
    """One dump: its channels, and the seconds since the dump before, whoever asked for that."""

    channels: Channels
    elapsed_s: float | None


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
        found = table(stdout(seen)).channels
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
        dumps = readings(samples, COMMAND, lambda text: dump if (dump := table(text)).channels else None)
        names = str(probe.settings["rails"]).split("\n")
        exact = _undisturbed(dumps, PERIOD_S + took_s(samples)) and all(_agrees(dumps, name) for name in names)
        rails = {name: _joules(dumps, name, exact=exact) for name in names}
        since_boot = [dump.channels[name][0] for dump in dumps.values for name in names if name in dump.channels]
        coarsest = max(map(_ulp_j, since_boot), default=0.0)
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


def table(text: str) -> Dump:
    """The energy meter's table of a dump; without channels if it is none."""
    section = SECTION.search(text)
    if section is None:
        return Dump({}, None)
    elapsed = ELAPSED.search(section[1])
    rows = ROW.findall(section[1])
    found = {name: (float(sum_) / 1000, float(delta) / 1000 if delta else None) for name, sum_, delta in rows}
    return Dump(found, int(elapsed[1]) / 1000 if elapsed else None)


def _ulp_j(joules: float) -> float:
    """The step of a float32 that holds these joules in µWs (IEEE 754)."""
    bits = struct.unpack("<I", struct.pack("<f", joules * 1e6))[0]
    return (
        float(struct.unpack("<f", struct.pack("<I", bits + 1))[0] - struct.unpack("<f", struct.pack("<I", bits))[0])
        * 1e-6
    )


def _undisturbed(dumps: Readings, within_s: float) -> bool:
    """Whether every dump but the first tells the time since the one before it here: nobody else dumped."""
    spans = (b - a for a, b in itertools.pairwise(dumps.t_s))
    told = (dump.elapsed_s for dump in dumps.values[1:])
    return all(each is not None and abs(each - span) <= within_s for each, span in zip(told, spans, strict=True))


def _of(dumps: Readings, name: str) -> list[tuple[float, tuple[float, float | None]]]:
    pairs = zip(dumps.t_s, dumps.values, strict=True)
    return [(t_s, dump.channels[name]) for t_s, dump in pairs if name in dump.channels]


def _agrees(dumps: Readings, name: str) -> bool:
    """Whether each difference is that of the two counters, within what float32 and two decimals leave of them."""
    pairs = itertools.pairwise(row for _, row in _of(dumps, name))
    return all(
        delta is not None and abs(after - before - delta) <= _ulp_j(before) + _ulp_j(after) + 2 * RESOLUTION_J
        for (before, _), (after, delta) in pairs
    )


def _joules(dumps: Readings, name: str, *, exact: bool) -> Readings:
    """Joules since the first dump, by differences if they are exact; a counter that falls or leaps is refused."""
    rows = _of(dumps, name)
    taken, refused, total_j = Readings([], [], 0), dumps.refused + len(dumps.t_s) - len(rows), 0.0
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
