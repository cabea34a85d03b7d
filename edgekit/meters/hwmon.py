"""Any power sensor that Linux knows by ``powerN_input`` in µW (``Documentation/hwmon/sysfs-interface.rst``).

What such a sensor covers is the board maker's choice, so two are never added up: a chip that measures the
whole machine is preferred, one that measures a graphics card or a disk is not used, and if the
choice stays open the meter refuses.
"""

from pathlib import Path
from typing import ClassVar, NamedTuple

from edgekit.meters import Meter, on_linux, stdout
from edgekit.meters._readings import plausible, read, readings, step, took_s, trace, whole
from edgekit.nouns.profile import Device, Output
from edgekit.nouns.sensing import Availability, PowerTrace, Probe, Provenance

LOOK = (
    'for h in "$EDGEKIT_SENSORS"/sys/class/hwmon/hwmon*; do for f in "$h"/power*_input "$h"/power*_average; do '
    '[ -e "$f" ] || continue; '
    'echo "$f|$(cat "$h/name" 2>/dev/null)|$(cat "${f%_*}_label" 2>/dev/null)|$(cat "$f" 2>/dev/null)'
    '|$(cat "$h/update_interval" 2>/dev/null)|$(cat "${f}_interval" 2>/dev/null)"; done; done'
)
"""A line for each sensor: file, chip, label, µW, renewal and averaging interval in ms."""

INTERVAL_S = 0.1

WHOLE = ("power_meter",)
"""Chips that measure the whole machine (ACPI power meter)."""

APART = ("amdgpu", "nouveau", "radeon", "xe", "i915", "nvme", "drivetemp")
"""Chips that measure a card of their own, which no runtime here uses."""


class HwmonSensor(NamedTuple):
    """A sensor: its file, chip and label, whether it answers, and how often it is renewed."""

    file: str
    title: str
    chip: str
    readable: bool
    period_s: float


class Hwmon(Meter):
    """Power of one sensor of the board."""

    provenance: ClassVar[Provenance] = "measured_rail"

    def look(self, device: Device) -> tuple[str, ...]:
        """See `Meter.look`."""
        return (LOOK,) if on_linux(device) else ()

    def available(self, device: Device, seen: tuple[Output, ...]) -> Availability:  # noqa: ARG002  the contract
        """See `Meter.available`."""
        found = _sensors(stdout(seen))
        whole_machine = [sensor for sensor in found if sensor.chip in WHOLE]
        if not found:
            return self.refuse(
                "this device has no power sensor below /sys/class/hwmon (power1_input)",
                "use another meter, or an external one",
            )
        if len(whole_machine or found) > 1:
            names = ", ".join(sensor.title for sensor in found)
            return self.refuse(
                f"several power sensors, and no rule says which adds up to what: {names}", "use an external meter"
            )
        chosen = (whole_machine or found)[0]
        if not chosen.readable:
            return self.refuse(
                f"the sensor {chosen.title} does not answer or may not be read", f"sudo chmod a+r {chosen.file}"
            )
        settings: dict[str, str | int | float | bool] = {"rail": chosen.title, "period_s": chosen.period_s}
        return self.offer(Probe(meter="hwmon", files=(chosen.file,), interval_s=INTERVAL_S, settings=settings))

    def stop(self, probe: Probe, sensed: Path | None) -> PowerTrace:
        """See `Meter.stop`."""
        samples = read(sensed)
        raw = readings(samples, probe.files[0])
        watts = plausible(raw._replace(values=[value * 1e-6 for value in raw.values]))
        return trace(
            "hwmon",
            self.provenance,
            "power",
            {str(probe.settings["rail"]): watts},
            resolution=step(watts.values, 1e-6),
            period_s=float(probe.settings["period_s"]) + took_s(samples),
            notes=("what this sensor covers depends on the board",),
        )


def _sensors(text: str) -> list[HwmonSensor]:
    """Usable sensors; of a pair ``_input`` and ``_average`` the first."""
    found: dict[str, HwmonSensor] = {}
    for line in text.splitlines():
        fields = [field.strip() for field in line.split("|")]
        if len(fields) != 6 or not fields[0] or fields[1] in APART:
            continue
        file, chip, label, value, renewal, averaging = fields
        stem = file.rpartition("_")[0]
        period_ms = max(whole(renewal) or 0, whole(averaging) or 0, int(INTERVAL_S * 1000))
        title = " ".join(part for part in (chip or "unnamed", label or stem.rpartition("/")[2]) if part)
        if stem not in found or (file.endswith("_input") and not found[stem].readable):
            found[stem] = HwmonSensor(file, title, chip, whole(value) is not None, period_ms / 1000)
    return list(found.values())
