"""tegrastats on NVIDIA Jetson: a line of text every 100 ms, with ``RAIL now/mean`` in mW.

The second figure of a rail is its mean since tegrastats was started, not since the last line, and is
never used (NVIDIA Jetson Linux Developer Guide, tegrastats utility). Older releases leave out ``mW``,
newer ones add a peak.
"""

import re
from pathlib import Path
from typing import ClassVar

from edgekit.meters import Meter, on_linux, stdout
from edgekit.meters._readings import Readings, apart, plausible, read, readings, trace
from edgekit.nouns.profile import Device, Output
from edgekit.nouns.sensing import Availability, PowerTrace, Probe, Provenance

LOOK = "command -v tegrastats >/dev/null && timeout 2 tegrastats --interval 500"

STREAM = "tegrastats --interval 100"

PERIOD_S = 0.1

RESOLUTION_W = 0.04
"""8 mA at 5 V: the step of the INA3221 behind it at a shunt of 5 mΩ (`edgekit.meters.ina3221`)."""

RAIL = re.compile(r"(?<!\S)([A-Z][A-Z0-9_]*) ([0-9]{1,7})(?:mW(?:/[0-9]{1,7}mW)*|/[0-9]{1,7})(?!\S)")
"""A rail's name and its present power; ``RAM 1/2MB`` and ``CPU [1%@2]`` are none."""


class Tegrastats(Meter):
    """Power of a Jetson's rails if the files of `edgekit.meters.ina3221` are not there."""

    provenance: ClassVar[Provenance] = "measured_rail"

    def look(self, device: Device) -> tuple[str, ...]:
        """See `Meter.look`."""
        return (LOOK,) if on_linux(device) else ()

    def available(self, device: Device, seen: tuple[Output, ...]) -> Availability:  # noqa: ARG002  the contract
        """See `Meter.available`."""
        said = stdout(seen)
        names = apart(tuple(name for line in said.splitlines() for name in rails(line)))
        if names:
            settings: dict[str, str | int | float | bool] = {"rails": ",".join(names)}
            return self.offer(Probe(meter="tegrastats", stream=STREAM, interval_s=1.0, settings=settings))
        if said.strip():
            return self.refuse(
                "tegrastats shows no power rails on this board", "run as root there, or use another meter"
            )
        return self.refuse("this device has no tegrastats", "it comes with NVIDIA's JetPack, on Jetson boards only")

    def stop(self, probe: Probe, sensed: Path | None) -> PowerTrace:
        """See `Meter.stop`."""
        lines = readings(read(sensed), probe.stream or STREAM, lambda line: rails(line) or None)
        found = {name: _one(lines, name) for name in str(probe.settings["rails"]).split(",")}
        return trace("tegrastats", self.provenance, "power", found, resolution=RESOLUTION_W, period_s=PERIOD_S)


def rails(line: str) -> dict[str, float]:
    """Present power in W by rail of one line; empty if it is none of tegrastats'."""
    return {match[1]: int(match[2]) / 1000 for match in RAIL.finditer(line)}


def _one(lines: Readings, name: str) -> Readings:
    pairs = [(t, seen[name]) for t, seen in zip(lines.t_s, lines.values, strict=True) if name in seen]
    refused = lines.refused + len(lines.t_s) - len(pairs)
    return plausible(Readings([t for t, _ in pairs], [w for _, w in pairs], refused))
