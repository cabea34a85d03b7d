"""Joulescope JS110, JS220 and JS320, through ``pyjoulescope_driver``: energy counted by the instrument.

It stands in the supply of the device, at this host's desk. The topic ``s/stats/value`` brings the energy
since it was opened, stamped with the time of the instrument's last sample.
"""

import math
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pyjoulescope_driver import Driver, time64

from edgekit.errors import DeviceError
from edgekit.meters import Meter
from edgekit.meters._readings import MOST_W, Readings, trace
from edgekit.nouns.profile import Device, Output
from edgekit.nouns.sensing import Availability, PowerTrace, Probe, Provenance

MODELS = {"js110": 2_000_000, "js220": 1_000_000, "js320": 1_000_000}
"""Models, and their samples a second (``pyjoulescope_driver/entry_points/statistics.py``)."""

RATE_HZ = 20
"""Statistics a second."""

RESOLUTION_J = 1e-6
"""Far below what a block takes; the counter itself is a 64-bit float."""

STAMP_LIMIT_S = 0.5
"""A stamp further than this from its arrival comes from a clock that is not set yet; the arrival counts then."""

FIX = "plug it in and close other programs that use it; on Linux install Jetperch's udev rules for its USB ids"


class Joulescope(Meter):
    """Energy at the device's supply, by one attached Joulescope."""

    provenance: ClassVar[Provenance] = "external_meter"
    attached: ClassVar[Literal["device", "host"]] = "host"

    def __init__(self) -> None:
        self._watch: _Watch | None = None

    def look(self, device: Device) -> tuple[str, ...]:  # noqa: ARG002  the contract
        """See `Meter.look`: nothing on the device."""
        return ()

    def available(self, device: Device, seen: tuple[Output, ...]) -> Availability:  # noqa: ARG002  the contract
        """See `Meter.available`."""
        try:
            with Driver() as driver:
                paths = [path for path in map(str, driver.device_paths()) if _model(path) in MODELS]
        except (RuntimeError, OSError) as error:  # TimeoutError is an OSError
            return self.refuse(f"the Joulescope driver does not start: {error}", FIX)
        if len(paths) != 1:
            said = "no Joulescope is attached to this host" if not paths else f"several: {', '.join(paths)}"
            return self.refuse(said, FIX if not paths else "leave the one in the device's supply attached")
        settings: dict[str, str | int | float | bool] = {"path": paths[0]}
        return self.offer(Probe(meter="joulescope", interval_s=1 / RATE_HZ, settings=settings))

    def start(self, probe: Probe) -> None:
        """See `Meter.start`."""
        if self._watch is not None:
            self._watch.close()
        self._watch = _Watch(str(probe.settings["path"]))

    def stop(self, probe: Probe, sensed: Path | None) -> PowerTrace:  # noqa: ARG002  the contract
        """See `Meter.stop`."""
        watch, self._watch = self._watch, None
        if watch is None:
            taken, invalid = Readings([], [], 0), "the instrument was not started"
        else:
            watch.close()
            taken, invalid = watch.joules(), ""
        return trace(
            "joulescope",
            self.provenance,
            "energy",
            {"supply": taken},
            resolution=RESOLUTION_J,
            period_s=1 / RATE_HZ,
            invalid=invalid,
        )


def _model(path: str) -> str:
    """``js220`` of ``u/js220/000415``."""
    return path.lower().split("/")[1] if "/" in path else ""


class _Watch:
    """An open instrument and what it has said; the driver's own thread calls `_said`.

    Raises:
        DeviceError: it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self._path, self._lock = path, threading.Lock()
        self._taken: list[tuple[float, float]] = []
        self._gone = False
        self._driver = Driver()
        try:
            self._begin(_model(path))
        except (RuntimeError, OSError) as error:
            self._driver.finalize()
            raise DeviceError(f"The Joulescope does not answer: {error}.", place=path, fix=FIX) from error

    def _begin(self, model: str) -> None:
        driver, path = self._driver, self._path
        driver.open(path)
        driver.subscribe("@/!remove", "pub", self._removed)
        driver.publish(f"{path}/s/i/range/{'select' if model == 'js110' else 'mode'}", "auto")
        if model == "js110":  # its own statistics come twice a second only
            for signal in "ivp":
                driver.publish(f"{path}/s/{signal}/ctrl", "on")
        driver.publish(f"{path}/s/stats/scnt", MODELS[model] // RATE_HZ)
        driver.publish(f"{path}/s/stats/ctrl", "on" if model == "js110" else 1)
        driver.subscribe(f"{path}/s/stats/value", "pub", self._said)

    def _removed(self, topic: str, value: Any) -> None:  # noqa: ARG002  the driver's signature
        if str(value) == self._path:
            self._gone = True

    def _said(self, topic: str, value: Mapping[str, Any]) -> None:  # noqa: ARG002  the driver's signature
        arrived = time.monotonic()
        joules = float(value["accumulators"]["energy"]["value"])
        stamped = time64.as_timestamp(value["time"]["utc"]["value"][1]) - time.time() + arrived
        with self._lock:
            self._taken.append((stamped if abs(stamped - arrived) < STAMP_LIMIT_S else arrived, joules))

    def close(self) -> None:
        """Let the instrument go."""
        self._driver.finalize()

    def joules(self) -> Readings:
        """Joules since the first statistics; those that fall or leap are refused.

        Raises:
            DeviceError: it was unplugged.
        """
        if self._gone:
            raise DeviceError(
                "The Joulescope was unplugged in the middle of a block.", place=self._path, fix="plug it in; run again"
            )
        taken, refused = Readings([], [], 0), 0
        for t_s, joules in self._taken:
            last = (taken.t_s[-1], taken.values[-1]) if taken.t_s else (t_s - 1, joules)
            if t_s > last[0] and math.isfinite(joules) and 0 <= joules - last[1] <= MOST_W * (t_s - last[0]):
                taken.t_s.append(t_s)
                taken.values.append(joules)
            else:
                refused += 1
        first = taken.values[0] if taken.values else 0.0
        return Readings(taken.t_s, [joules - first for joules in taken.values], refused)
