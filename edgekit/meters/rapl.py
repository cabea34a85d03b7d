"""RAPL: energy counters of Intel and AMD processors, through Linux's powercap.

Documentation: Linux, ``Documentation/power/powercap/powercap.rst``. A zone ``intel-rapl:N`` is a
package or the platform (psys); its sub-zones ``core`` and ``uncore`` are part of the package and left
out. ``dram`` is listed below the package but counted apart from it (Khan et al., "RAPL in Action",
ACM TOMPECS 3(2), 2018), so it is added. psys holds the packages and is used by none: on most
boards its input is not wired. Since Linux 5.10 only root reads the counters (CVE-2020-8694).
"""

import re
from pathlib import Path
from typing import ClassVar

from edgekit.meters import Meter, on_linux, stdout
from edgekit.meters._readings import counted, read, readings, took_s, trace, whole
from edgekit.nouns.profile import Device, Output
from edgekit.nouns.sensing import Availability, PowerTrace, Probe, Provenance

LOOK = (
    'for z in "$EDGEKIT_SENSORS"/sys/class/powercap/*rapl*:*; do '
    '[ -e "$z/energy_uj" ] || continue; '
    'echo "$z|$(cat "$z/name" 2>/dev/null)|$(cat "$z/max_energy_range_uj" 2>/dev/null)'
    '|$(cat "$z/energy_uj" 2>/dev/null)"; done'
)
"""A line for each zone: path, name, where it wraps, and its counter (empty if it cannot be read)."""

INTERVAL_S = 0.1
"""10 Hz at most: reading an energy status register more often disturbs the processor that is measured."""

RESOLUTION_J = 2.0**-14
"""61 µJ, the coarsest energy status unit (Intel SDM volume 4, MSR_RAPL_POWER_UNIT; 15 µJ on others)."""

PERIOD_S = 0.001
"""The counters are renewed about every millisecond (Intel SDM volume 3B, 16.10.3)."""


class Rapl(Meter):
    """Package energy (and DRAM if it is counted) of an x86-64 Linux machine."""

    provenance: ClassVar[Provenance] = "rapl_package"

    def look(self, device: Device) -> tuple[str, ...]:
        """See `Meter.look`."""
        return (LOOK,) if on_linux(device) else ()

    def available(self, device: Device, seen: tuple[Output, ...]) -> Availability:  # noqa: ARG002  the contract
        """See `Meter.available`."""
        zones = _zones(stdout(seen))
        if not zones:
            return self.refuse(
                "this device shows no RAPL counters below /sys/class/powercap",
                "on an Intel or AMD processor: sudo modprobe intel_rapl_msr; a virtual machine or container hides "
                "them: measure on the machine itself",
            )
        unread = [zone for zone, (_, _, readable) in zones.items() if not readable]
        if unread:
            locked = " ".join(f"{zone}/energy_uj" for zone in unread)
            return self.refuse(
                "only root may read the RAPL counters (since Linux 5.10)",
                f"sudo chmod a+r {locked} (until the next boot; docs/how-to/measure-energy.md has a udev rule)",
            )
        settings: dict[str, str | int | float | bool] = {}
        for zone, (name, limit, _) in zones.items():
            settings[f"name {zone}/energy_uj"] = name
            settings[f"limit {zone}/energy_uj"] = limit
        files = tuple(f"{zone}/energy_uj" for zone in zones)
        return self.offer(Probe(meter="rapl", files=files, interval_s=INTERVAL_S, settings=settings))

    def stop(self, probe: Probe, sensed: Path | None) -> PowerTrace:
        """See `Meter.stop`."""
        samples = read(sensed)
        rails = {
            str(probe.settings[f"name {file}"]): counted(
                readings(samples, file), 1e-6, int(probe.settings[f"limit {file}"])
            )
            for file in probe.files
        }
        notes = ("the processor only: no board, disk or screen",)
        return trace(
            "rapl",
            self.provenance,
            "energy",
            rails,
            resolution=RESOLUTION_J,
            period_s=PERIOD_S + took_s(samples),
            notes=notes,
        )


def _zones(text: str) -> dict[str, tuple[str, int, bool]]:
    """Zones that add up: path → rail, where its counter wraps in µJ, whether it can be read.

    A package shown twice (by register and by memory, ``intel-rapl-mmio``) is taken once.
    """
    found: dict[str, tuple[str, int, bool]] = {}
    taken: set[str] = set()
    for line in sorted(text.splitlines()):  # intel-rapl-mmio:0 sorts before intel-rapl:0
        fields = line.split("|")
        if len(fields) != 4:
            continue
        zone, name, limit, energy = fields
        rail, most = _rail(zone, name.strip()), whole(limit)
        if rail is None or most is None or most <= 0:
            continue
        if rail in taken:
            if "-mmio" in zone:
                continue
            found = {path: value for path, value in found.items() if value[0] != rail}
        taken.add(rail)
        found[zone] = (rail, most, whole(energy) is not None)
    return found


def _rail(zone: str, name: str) -> str | None:
    """``package-0`` or ``dram-0``; None for what is part of one of these, or not of the processor."""
    place = re.search(r"rapl[a-z-]*:([0-9]+)(:[0-9]+)?$", zone)
    if place is None:
        return None
    if place[2] is None:
        return name if re.fullmatch(r"package-[0-9]+(-die-[0-9]+)?", name) else None
    return f"dram-{place[1]}" if name == "dram" else None
