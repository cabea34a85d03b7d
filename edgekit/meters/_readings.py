"""From readings of sensors to traces of power: what all meters read and refuse alike.

Times are the device's monotonic clock in seconds. A reading that is no number, or that no device
could show, is left out and counted; a trace in which too many are left out says so in ``invalid``.
"""

import bisect
import itertools
import math
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from edgekit.nouns.base import decoded
from edgekit.nouns.sensing import PowerTrace, Provenance, Sample, Series

MOST_W = 10_000.0
"""More than any rail here carries (a rack of servers takes as much): a reading above it is garbage."""

REFUSED = 0.1
"""A trace is invalid when more than this share of its readings, and more than one, had to be left out."""

JETSON_WHOLE = ("VDD_IN", "POM_5V_IN")
"""A Jetson module's input: every other rail is part of it (NVIDIA Jetson Linux Developer Guide, Power)."""

JETSON_PARTS = {"VDDQ_VDD2_1V8AO": "VIN_SYS_5V0"}
"""Rails of a Jetson AGX Orin that another one feeds (its monitor reads that rail's 5 V)."""


def read(sensed: Path | None) -> tuple[Sample, ...]:
    """Samples of a ``.jsonl`` by time; what is none is left out (a killed device writes half a line)."""
    try:
        lines = sensed.read_bytes().splitlines() if sensed is not None else []
    except OSError:
        lines = []
    found = (_sample(line) for line in lines)
    return tuple(sorted((s for s in found if s is not None), key=lambda sample: sample.t_s))


def _sample(line: bytes) -> Sample | None:
    try:
        sample = decoded(line, Sample)
    except msgspec.MsgspecError:
        return None
    return sample if math.isfinite(sample.t_s) and math.isfinite(sample.took_s) else None


def took_s(samples: Sequence[Sample]) -> float:
    """How long a reading took, in 19 of 20 cases: by so much the time of a sample is uncertain."""
    lengths = sorted(sample.took_s for sample in samples)
    return max(lengths[min(19 * len(lengths) // 20, len(lengths) - 1)], 0.0) if lengths else 0.0


def whole(text: str) -> int | None:
    """A text as an integer of at most 20 digits; None if it is none."""
    return int(text) if re.fullmatch(r"\s*-?[0-9]{1,20}\s*", text) else None


class Readings(NamedTuple):
    """What one source said: times, values, and how many samples had to be left out."""

    t_s: list[float]
    values: list[Any]
    refused: int

    def series(self, factor: float = 1.0) -> Series:
        """The values times a factor."""
        return Series(t_s=tuple(self.t_s), values=tuple(value * factor for value in self.values))


def readings(samples: Iterable[Sample], source: str, parse: Callable[[str], Any] = whole) -> Readings:
    """The samples of a source as numbers; one that failed, or whose text ``parse`` maps to None, is refused.

    Of two samples at the same time the first is kept.
    """
    taken = Readings([], [], 0)
    refused = 0
    for sample in samples:
        if sample.source != source:
            continue
        value = parse(sample.text) if sample.text is not None else None
        if value is None or (taken.t_s and sample.t_s <= taken.t_s[-1]):
            refused += 1
        else:
            taken.t_s.append(sample.t_s)
            taken.values.append(value)
    return taken._replace(refused=refused)


def counted(raw: Readings, unit_j: float, limit: int | None = None) -> Readings:
    """A cumulative counter as joules since its first sample, never falling.

    Args:
        raw: the counter, in steps.
        unit_j: joules a step.
        limit: where it wraps to 0, in steps; None if it does not. A fall is taken for one wrap.
            A sample whose step is negative even so, or asks for more than `MOST_W`, is refused
            (the counter was reset, or the reading was garbage).
    """
    taken, total_j, refused = Readings([], [], 0), 0.0, raw.refused
    last: tuple[float, int] | None = None
    for t_s, value in zip(raw.t_s, raw.values, strict=True):
        step = 0 if last is None else value - last[1]
        if step < 0 and limit is not None:
            step += limit
        absurd = value < 0 or (limit is not None and value > limit)
        if absurd or step < 0 or (last is not None and step * unit_j > MOST_W * (t_s - last[0])):
            refused += 1
            continue
        last, total_j = (t_s, value), total_j + step * unit_j
        taken.t_s.append(t_s)
        taken.values.append(total_j)
    return taken._replace(refused=refused)


def plausible(raw: Readings, most_w: float = MOST_W) -> Readings:
    """Powers in W without those that are negative or above a limit."""
    pairs = [(t, w) for t, w in zip(raw.t_s, raw.values, strict=True) if 0 <= w <= most_w]
    return Readings([t for t, _ in pairs], [w for _, w in pairs], raw.refused + len(raw.t_s) - len(pairs))


def product(first: Readings, second: Readings) -> Readings:
    """``first`` times ``second`` at the times of ``first``; ``second`` is interpolated, and held at its ends."""
    if not second.t_s:
        return Readings([], [], first.refused + second.refused + len(first.t_s))
    values = [value * at(second.t_s, second.values, t_s) for t_s, value in zip(first.t_s, first.values, strict=True)]
    return Readings(first.t_s, values, first.refused + second.refused)


def at(times: Sequence[float], values: Sequence[float], t_s: float) -> float:
    """Linear interpolation at one time, the nearest value outside."""
    after = bisect.bisect_left(times, t_s)
    if after in {0, len(times)}:
        return float(values[min(after, len(times) - 1)])
    before = after - 1
    share = (t_s - times[before]) / (times[after] - times[before])
    return float(values[before] + share * (values[after] - values[before]))


def step(values: Iterable[float], least: float) -> float:
    """The smallest difference between two different values: at least the sensor's own step; else ``least``."""
    different = sorted(set(values))
    gaps = [b - a for a, b in itertools.pairwise(different) if b - a > least / 2]
    return max(min(gaps, default=least), least)


def renewal_s(raw: Readings, least_s: float) -> float:
    """How often a sensor renews its value: the median time between changes, at least ``least_s``."""
    pairs = zip(raw.t_s, raw.values, raw.values[1:], strict=False)
    changes = [t_s for t_s, before, after in pairs if before != after]
    gaps = sorted(b - a for a, b in itertools.pairwise(changes))
    return max(gaps[len(gaps) // 2], least_s) if gaps else least_s


def apart(
    names: Sequence[str], whole_board: Sequence[str] = JETSON_WHOLE, parts: dict[str, str] = JETSON_PARTS
) -> tuple[str, ...]:
    """The rails that add up: the board's input alone if it is measured, else those that no other one feeds."""
    inputs = [name for name in whole_board if name in names]
    if inputs:
        return (inputs[0],)
    return tuple(name for name in dict.fromkeys(names) if name and name != "NC" and parts.get(name) not in names)


def trace(
    meter: str,
    provenance: Provenance,
    quantity: Literal["energy", "power"],
    rails: dict[str, Readings],
    *,
    resolution: float,
    period_s: float,
    gain_error: float | None = None,
    notes: tuple[str, ...] = (),
    invalid: str = "",
) -> PowerTrace:
    """A trace of these rails, invalid if there are too few readings or too many were refused."""
    return PowerTrace(
        meter=meter,
        provenance=provenance,
        quantity=quantity,
        rails={name: taken.series() for name, taken in rails.items()},
        resolution=resolution,
        period_s=period_s,
        gain_error=gain_error,
        notes=notes,
        invalid=invalid or _too_few(rails),
    )


def _too_few(rails: dict[str, Readings]) -> str:
    if not rails:
        return "no rail was read"
    for name, taken in rails.items():
        every = len(taken.t_s) + taken.refused
        if len(taken.t_s) < 2:
            return f"{name} was read {len(taken.t_s)} times of {every}: the sensor vanished or does not answer"
        if taken.refused > max(1, REFUSED * every):
            return f"{taken.refused} of {every} readings of {name} are missing, fall, or are no plausible figures"
    return ""
