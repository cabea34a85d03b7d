"""The nouns of sensing: what a device samples beside a block for a meter, and what the meter makes of it."""

from typing import Literal

from edgekit.nouns.base import Noun

Provenance = Literal[
    "external_meter", "measured_rail", "rapl_package", "pmic_sum", "battery_gauge", "modelled_estimate"
]
"""Where an energy figure comes from, best first. Figures of different provenance are never compared."""


class Probe(Noun, frozen=True, kw_only=True):
    """What a device is to sample beside a block, on its own clock, for a meter.

    ``files`` are read and ``commands`` run every ``interval_s``; ``interval_s`` None means only just
    before and just after. ``stream`` is a command that runs all the time and whose lines are stamped
    as they come. ``settings`` are the meter's own, for reading the samples afterwards.
    """

    meter: str
    files: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    stream: str | None = None
    interval_s: float | None = 0.1
    settings: dict[str, str | int | float | bool] = {}


class Sample(Noun, frozen=True, kw_only=True):
    """One reading of one source of a `Probe`: a line of ``sensed.jsonl``.

    ``t_s`` is the device's monotonic clock, in the middle of the reading; ``took_s`` its length.
    ``source`` is the file or command. ``text`` is None if it failed, for ``error``.
    """

    t_s: float
    source: str
    took_s: float = 0.0
    text: str | None = None
    error: str = ""


class Series(Noun, frozen=True, kw_only=True):
    """One rail over time: device clock in seconds; cumulative joules, or watts."""

    t_s: tuple[float, ...]
    values: tuple[float, ...]


class PowerTrace(Noun, frozen=True, kw_only=True):
    """What a meter saw, in joules (``energy``, cumulative, never falling) or watts (``power``).

    Rails add up: a rail that is part of another one is left out. ``resolution`` is the smallest step
    of a value, in J or W; ``period_s`` how often the sensor itself renews it; ``gain_error`` the
    specified relative error of the instrument, None if none is specified (ratios only).
    ``invalid`` says why the trace must not be used.
    """

    meter: str
    provenance: Provenance
    quantity: Literal["energy", "power"]
    rails: dict[str, Series]
    resolution: float
    period_s: float
    gain_error: float | None = None
    notes: tuple[str, ...] = ()
    invalid: str = ""


class Availability(Noun, frozen=True, kw_only=True):
    """Whether a meter can measure on a device: a probe, or the ``reason`` why not and the ``fix``.

    ``provenance`` is what its figures may be called; ``attached`` is where it is sampled, as in
    `edgekit.meters.Meter`.
    """

    probe: Probe | None = None
    reason: str = ""
    fix: str = ""
    provenance: Provenance | None = None
    attached: Literal["device", "host"] = "device"
