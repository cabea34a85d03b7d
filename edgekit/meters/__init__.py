"""Meters: one leaf per kind of energy sensor. This file is the contract.

A leaf is a module of this package with one subclass of `Meter`. Most sensors are read on the device:
such a meter only says what to sample there (`available`) and reads the samples (`stop`); the device
samples on its own clock. An instrument on this host's desk samples between `start` and `stop` itself.
Integration over blocks, idle and intervals are the same for all (`edgekit.measure.energy`).
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Literal

from edgekit.nouns import leaves
from edgekit.nouns.profile import Device, Output
from edgekit.nouns.sensing import Availability, PowerTrace, Probe, Provenance


class Meter(ABC):
    """Measures power or energy of a device.

    ``provenance`` is what its figures may be called. ``attached`` is where the sensor is read: on the
    ``device``, or at this ``host``.
    """

    provenance: ClassVar[Provenance]
    attached: ClassVar[Literal["device", "host"]] = "device"

    @abstractmethod
    def look(self, device: Device) -> tuple[str, ...]:
        """Shell lines whose output tells whether the sensor is there.

        None for an instrument on this host, or if such a device cannot have the sensor. A line reads
        below ``$EDGEKIT_SENSORS``, a prefix that is empty on a real device, and takes a second or two at most.
        """

    @abstractmethod
    def available(self, device: Device, seen: tuple[Output, ...]) -> Availability:
        """Judge what the lines of `look` said: the probe that samples the sensor, or why it cannot be had."""

    def calibration(self, device: Device, probe: Probe) -> tuple[str, ...]:  # noqa: ARG002  most need none
        """Shell lines to run once before the first block, for a sensor whose sign or unit differs by model.

        They load the device and take up to a minute; none for a sensor that is known.
        """
        return ()

    def calibrated(self, device: Device, probe: Probe, seen: tuple[Output, ...]) -> Availability:  # noqa: ARG002
        """Judge what the lines of `calibration` said: the probe with what was learnt, or why it cannot be used."""
        return self.offer(probe)

    def offer(self, probe: Probe) -> Availability:
        """The meter can be had, by this probe."""
        return Availability(probe=probe, provenance=self.provenance, attached=self.attached)

    def refuse(self, reason: str, fix: str) -> Availability:
        """The meter cannot be had, for this reason, with what helps; a full stop of a quoted program's goes."""
        return Availability(reason=reason.rstrip(" .:"), fix=fix, provenance=self.provenance, attached=self.attached)

    def start(self, probe: Probe) -> None:  # noqa: B027  most meters are sampled by the device
        """Begin to sample an instrument on this host.

        Raises:
            DeviceError: it does not answer.
        """

    @abstractmethod
    def stop(self, probe: Probe, sensed: Path | None) -> PowerTrace:
        """What was seen: ``sensed`` is the device's ``.jsonl`` of samples, None for an instrument on this host.

        A trace that must not be used (charging, too few samples, a counter that fell) says so in ``invalid``.

        Raises:
            DeviceError: the instrument went away.
        """


def on_android(device: Device) -> bool:
    """Whether a device has Android's sensors."""
    return _system(device).startswith("android")


def on_linux(device: Device) -> bool:
    """Whether a device has a Linux board's sensors, and times that mean something."""
    return _system(device).startswith("linux") and device.times


def _system(device: Device) -> str:
    """Whose sensors a device has: as its kind's row says; another distribution's kind of device tells it itself."""
    return leaves.driver(device.kind).system if device.kind in leaves.DRIVERS else (device.os or "").lower()


def stdout(seen: tuple[Output, ...], index: int = 0) -> str:
    """What the line of this index printed; empty if there is none or it failed without a word."""
    return seen[index].stdout if index < len(seen) else ""
