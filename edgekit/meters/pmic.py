"""The power chip of a Raspberry Pi 5: ``vcgencmd pmic_read_adc``, volts and amperes of its outputs.

Rails are paired by name (``VDD_CORE_A`` with ``VDD_CORE_V``), not by number: the numbers of a pair have
nothing in common. ``EXT5V`` and ``BATT`` have no current, so the board's input is not known; what is
added up here is what the chip gives out, without its own losses and without what hangs at 5 V.
"""

import re
from pathlib import Path
from typing import ClassVar

from edgekit.meters import Meter, on_linux, stdout
from edgekit.meters._readings import Readings, plausible, read, readings, step, took_s, trace
from edgekit.nouns.profile import Device, Output
from edgekit.nouns.sensing import Availability, PowerTrace, Probe, Provenance

COMMAND = "vcgencmd pmic_read_adc"

LOOK = f"command -v vcgencmd >/dev/null && {COMMAND} 2>&1"

INTERVAL_S = 0.2
"""Each reading starts a process and asks the firmware; five a second leave the board to its work."""

LINE = re.compile(r"^\s*(\w+)_([AV])\s+(current|volt)\([0-9]+\)=([0-9]{1,4}\.[0-9]{1,12})([AV])\s*$", re.MULTILINE)

MOST_W = 100.0
"""Above the 27 W of the board's own supply by far."""


class Pmic(Meter):
    """The sum of a Raspberry Pi 5's rails."""

    provenance: ClassVar[Provenance] = "pmic_sum"

    def look(self, device: Device) -> tuple[str, ...]:
        """See `Meter.look`."""
        return (LOOK,) if on_linux(device) else ()

    def available(self, device: Device, seen: tuple[Output, ...]) -> Availability:  # noqa: ARG002  the contract
        """See `Meter.available`."""
        said = stdout(seen)
        found = rails(said)
        if found:
            settings: dict[str, str | int | float | bool] = {"rails": ",".join(sorted(found))}
            return self.offer(Probe(meter="pmic", commands=(COMMAND,), interval_s=INTERVAL_S, settings=settings))
        if re.search(r"vcio|[Pp]ermission|VCHI", said):
            return self.refuse(
                "this user may not ask the firmware (vcgencmd cannot open /dev/vcio)",
                "sudo usermod -aG video USER there, then log in again",
            )
        if said.strip():
            return self.refuse(
                f"vcgencmd does not know pmic_read_adc here: {said.strip().splitlines()[0][:100]}",
                "only a Raspberry Pi 5 (and 500, and Compute Module 5) has this sensor; use an external meter",
            )
        return self.refuse(
            "this device has no vcgencmd", "only a Raspberry Pi 5 has this sensor; elsewhere use another meter"
        )

    def stop(self, probe: Probe, sensed: Path | None) -> PowerTrace:
        """See `Meter.stop`."""
        samples = read(sensed)
        seen = readings(samples, COMMAND, lambda text: rails(text) or None)
        found = {name: _one(seen, name) for name in str(probe.settings["rails"]).split(",")}
        return trace(
            "pmic",
            self.provenance,
            "power",
            found,
            resolution=max((step(taken.values, 1e-4) for taken in found.values()), default=1e-4),
            period_s=INTERVAL_S + took_s(samples),
            notes=("what the power chip gives out: without its losses, the 5 V rail, USB and fan",),
        )


def rails(text: str) -> dict[str, float]:
    """Power in W of every rail that has both a current and a voltage; empty if nothing was understood."""
    amperes: dict[str, float] = {}
    volts: dict[str, float] = {}
    for name, kind, word, value, unit in LINE.findall(text):
        if (kind, word, unit) == ("A", "current", "A"):
            amperes[name] = float(value)
        elif (kind, word, unit) == ("V", "volt", "V"):
            volts[name] = float(value)
    return {name: amperes[name] * volts[name] for name in amperes if name in volts}


def _one(seen: Readings, name: str) -> Readings:
    pairs = [(t, found[name]) for t, found in zip(seen.t_s, seen.values, strict=True) if name in found]
    refused = seen.refused + len(seen.t_s) - len(pairs)
    return plausible(Readings([t for t, _ in pairs], [w for _, w in pairs], refused), MOST_W)
