"""INA3221 on NVIDIA Jetson: voltage and current of up to three rails a chip, through hwmon.

Since JetPack 5 the mainline driver serves them (Linux, ``Documentation/hwmon/ina3221.rst``): ``inN_input``
in mV, ``currN_input`` in mA, ``shuntN_resistor`` in µΩ. VDD_IN is the whole module: never summed
with the rails that it feeds.
"""

from pathlib import Path
from typing import ClassVar

from edgekit.meters import Meter, on_linux, stdout
from edgekit.meters._readings import apart, plausible, product, read, readings, took_s, trace, whole
from edgekit.nouns.profile import Device, Output
from edgekit.nouns.sensing import Availability, PowerTrace, Probe, Provenance

LOOK = (
    'for h in "$EDGEKIT_SENSORS"/sys/bus/i2c/drivers/ina3221*/*/hwmon/hwmon*; do for i in 1 2 3; do '
    '[ -e "$h/curr${i}_input" ] || continue; '
    'echo "$h|$i|$(cat "$h/in${i}_label" 2>/dev/null)|$(cat "$h/in${i}_input" 2>/dev/null)'
    '|$(cat "$h/curr${i}_input" 2>/dev/null)|$(cat "$h/shunt${i}_resistor" 2>/dev/null)'
    '|$(cat "$h/update_interval" 2>/dev/null)"; done; done'
)
"""A line for each channel: folder, number, label, mV, mA, shunt in µΩ, renewal in ms."""

INTERVAL_S = 0.1

SHUNT_STEP_V = 40e-6
"""The smallest step of a shunt's voltage (Texas Instruments INA3221 data sheet, SBOS576)."""

SHUNT_UOHM = 5000
"""The shunt of NVIDIA's Jetson modules if the driver does not tell (Linux device tree of tegra234-p3767)."""

RENEWAL_MS = 100
"""Taken if the driver does not tell how often it converts."""


class Ina3221(Meter):
    """Power of a Jetson's rails."""

    provenance: ClassVar[Provenance] = "measured_rail"

    def look(self, device: Device) -> tuple[str, ...]:
        """See `Meter.look`."""
        return (LOOK,) if on_linux(device) else ()

    def available(self, device: Device, seen: tuple[Output, ...]) -> Availability:  # noqa: ARG002  the contract
        """See `Meter.available`."""
        rows = [line.split("|") for line in stdout(seen).splitlines()]
        rails = {row[2].strip(): row for row in rows if len(row) == 7}
        wanted = apart(tuple(rails))
        if not wanted:
            return self.refuse(
                "this device has no INA3221 below /sys/bus/i2c/drivers",
                "on a Jetson use JetPack 5 or later; elsewhere use another meter, or an external one",
            )
        if blind := [name for name in wanted if None in map(whole, rails[name][3:5])]:
            return self.refuse(
                f"the INA3221 does not answer for {', '.join(blind)}",
                f"check by hand: cat {rails[blind[0]][0]}/curr{rails[blind[0]][1]}_input",
            )
        files: list[str] = []
        settings: dict[str, str | int | float | bool] = {}
        for name in wanted:
            folder, number, _, volts_mv, _, shunt, renewal = rails[name]
            files += [f"{folder}/in{number}_input", f"{folder}/curr{number}_input"]
            step_a = SHUNT_STEP_V / (max(whole(shunt) or SHUNT_UOHM, 1) * 1e-6)
            step_w = step_a * abs(int(volts_mv)) / 1000
            settings[f"rail {files[-1]}"] = name
            settings["resolution_w"] = max(step_w, float(settings.get("resolution_w", 0.0)))
            settings["period_s"] = max(whole(renewal) or RENEWAL_MS, 1) / 1000
        return self.offer(Probe(meter="ina3221", files=tuple(files), interval_s=INTERVAL_S, settings=settings))

    def stop(self, probe: Probe, sensed: Path | None) -> PowerTrace:
        """See `Meter.stop`."""
        samples, rails = read(sensed), {}
        for volts_file, amps_file in zip(probe.files[::2], probe.files[1::2], strict=True):
            volts, amps = readings(samples, volts_file), readings(samples, amps_file)
            watts = product(amps, volts)
            watts = watts._replace(values=[microwatts * 1e-6 for microwatts in watts.values])
            rails[str(probe.settings[f"rail {amps_file}"])] = plausible(watts)
        return trace(
            "ina3221",
            self.provenance,
            "power",
            rails,
            resolution=float(probe.settings["resolution_w"]),
            period_s=float(probe.settings["period_s"]) + took_s(samples),
        )
