"""Energy of an inference from traces of power: integration, idle baselines, intervals, comparability.

Pure functions. `edgekit.meters` say what a sensor saw, here it is set against the blocks that ran.
`docs/explanation/energy.md` says what each term of the uncertainty is and what is refused.
"""

import math
from collections.abc import Iterable, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import msgspec
import numpy as np

from edgekit.errors import DeviceError, InputError
from edgekit.measure.integral import Window, window
from edgekit.measure.statistics import FEWEST_BLOCKS, RESAMPLES, compare, student
from edgekit.nouns import leaves
from edgekit.nouns.profile import Block, Energy, Estimate
from edgekit.nouns.sensing import Availability, PowerTrace, Provenance

RANK: tuple[Provenance, ...] = (
    "external_meter",
    "measured_rail",
    "rapl_package",
    "pmic_sum",
    "battery_gauge",
    "modelled_estimate",
)
"""Best first."""

LEAST_S: dict[Provenance, float] = {"battery_gauge": 300.0}
"""How long a block should be at least; `LEAST_OTHERS_S` for all others."""

LEAST_OTHERS_S = 10.0


def least_s(provenance: Provenance) -> float:
    """How long in seconds a block should be at least for a meter of this kind (measurement protocol, §2.4)."""
    return LEAST_S.get(provenance, LEAST_OTHERS_S)


DRIFT = 0.1
"""Largest difference of the two idle powers, as a share of net power, with which net energy is told."""

Metered = tuple[Block, PowerTrace | None]
"""A block and what the meter saw of it, on the device's clock."""


def windows(metered: Iterable[Metered]) -> list[Window]:
    """Energy of each block's timed loop; a block that does not count, or has no trace, has a problem instead."""
    found = []
    for block, trace in metered:
        if trace is None or not block.counted:
            found.append(
                Window(0.0, 0.0, problem="not metered" if trace is None else "not counted: the device throttled")
            )
            continue
        error_s = block.host_offset_error_s if trace.provenance == "external_meter" else 0.0
        found.append(window(trace, block.begin_s, block.end_s, error_s))
    return found


class Idle(NamedTuple):
    """Power of an idle device: mean and half-width in W, how much it drifted, and why it is not known."""

    watts: float = 0.0
    half_width_w: float = 0.0
    drift_w: float = 0.0
    problem: str = ""


def idle_power(idle: Sequence[Metered]) -> Idle:
    """The mean of the baselines before and after; half their difference is part of its uncertainty."""
    if len(idle) != 2:
        return Idle(problem="there is no idle baseline before and after")
    seen = windows(idle)
    for when, part in zip(("before", "after"), seen, strict=True):
        if part.problem:
            return Idle(problem=f"the idle baseline {when} the blocks: {part.problem}")
    before, after = (part.joules / part.seconds for part in seen)
    own_w = math.hypot(*(part.half_width_j / part.seconds for part in seen)) / 2
    return Idle((before + after) / 2, math.hypot((after - before) / 2, own_w), after - before)


def energy(metered: Sequence[Metered], idle: Sequence[Metered], seed: int = 0) -> Energy:
    """Energy of one inference, gross and above idle.

    Args:
        metered: blocks of one artifact with their traces.
        idle: the baselines before and after.
        seed: of the bootstrap.

    Raises:
        ValueError: not one block has a trace.
    """
    traces = [trace for _, trace in metered if trace is not None]
    if not traces:
        raise ValueError("no block was metered")
    seen = windows(metered)
    runs = [block.latency.runs if block.latency is not None else 0 for block, _ in metered]
    used = [i for i, part in enumerate(seen) if not part.problem and runs[i] > 0]
    notes = list(dict.fromkeys(note for trace in traces for note in trace.notes))
    notes += [f"block {metered[i][0].index + 1}: {part.problem}" for i, part in enumerate(seen) if part.problem]
    if traces[0].gain_error is None:
        notes.append("gain unknown: ratios only")
    base = _Result(traces[0], tuple(notes))
    if not used:
        return base.without(next((part.problem for part in seen if part.problem), "no block ran an inference"))
    told = base.told([seen[i] for i in used], [runs[i] for i in used], idle_power(idle), seed)
    idle_w = told.idle_power_w if told.kind == "net" else None
    return msgspec.structs.replace(told, blocks_mj=by_block(metered, idle_w or 0.0))


class _Result(NamedTuple):
    """What all results of a meter share, and how they are told."""

    trace: PowerTrace
    notes: tuple[str, ...]

    def without(self, reason: str) -> Energy:
        """No energy at all."""
        none = Estimate(value=None, reason=reason)
        return self._energy(none, none, {})

    def told(self, parts: list[Window], runs: list[int], idle: Idle, seed: int) -> Energy:
        """The energy of these blocks."""
        count, lasted_s = sum(runs), sum(part.seconds for part in parts)
        average_w = sum(part.joules for part in parts) / lasted_s
        net_w = average_w - idle.watts
        notes: tuple[str, ...] = ()
        shortest_s = least_s(self.trace.provenance)
        if min(part.seconds for part in parts) < 0.9 * shortest_s:
            notes = (f"blocks are shorter than the {shortest_s:g} s that this kind of meter needs",)
        terms = self._terms(parts, count)
        gross, blocks_mj = self._estimate([part.joules for part in parts], runs, terms, seed)
        reason = idle.problem or _unfit(average_w, net_w, idle)
        if reason:
            net = Estimate(value=None, n=len(parts), reason=reason)
            shown = terms | blocks_mj | self._gain(gross)
        else:
            terms["baseline"] = idle.half_width_w * lasted_s / count * 1e3
            joules = [part.joules - idle.watts * part.seconds for part in parts]
            net, blocks_mj = self._estimate(joules, runs, terms, seed)
            shown = terms | blocks_mj | self._gain(net)
        idle_w = None if idle.problem else idle.watts
        return self._energy(gross, net, shown, notes, average_w=average_w, idle_w=idle_w)

    def _terms(self, parts: list[Window], count: int) -> dict[str, float]:
        """Half-widths in mJ an inference. A half step of power is the same in every block and adds up."""
        total = sum if self.trace.quantity == "power" else lambda values: math.hypot(*values)
        per = {
            "resolution": total([part.resolution_j for part in parts]),
            "edges": math.hypot(*(part.edges_j for part in parts)),
            "sampling": math.hypot(*(part.sampling_j for part in parts)),
        }
        return {name: joules / count * 1e3 for name, joules in per.items() if joules > 0}

    def _gain(self, estimate: Estimate) -> dict[str, float]:
        if self.trace.gain_error is None or estimate.value is None:
            return {}
        return {"gain": self.trace.gain_error * abs(estimate.value)}

    def _estimate(
        self, joules: list[float], runs: list[int], terms: dict[str, float], seed: int
    ) -> tuple[Estimate, dict[str, float]]:
        """Energy an inference in mJ: the blocks' bootstrap interval, widened by the other terms in quadrature."""
        value = sum(joules) / sum(runs) * 1e3
        if len(joules) < FEWEST_BLOCKS:
            few = f"{len(joules)} blocks give no 95 % interval; that needs {FEWEST_BLOCKS}"
            return Estimate(value=value, n=len(joules), reason=few), {}
        totals, counts = np.asarray(joules), np.asarray(runs, np.float64)
        drawn = _drawn(len(joules), seed)
        low, high = _interval(totals[drawn].sum(axis=1) / counts[drawn].sum(axis=1) * 1e3, len(joules))
        others = [*terms.values(), *self._gain(Estimate(value=value)).values()]
        estimate = Estimate(
            value=value,
            low=value - math.hypot(max(value - low, 0.0), *others),
            high=value + math.hypot(max(high - value, 0.0), *others),
            n=len(joules),
        )
        return estimate, {"blocks": (high - low) / 2}

    def _energy(
        self,
        gross: Estimate,
        net: Estimate,
        terms: dict[str, float],
        notes: tuple[str, ...] = (),
        *,
        average_w: float | None = None,
        idle_w: float | None = None,
    ) -> Energy:
        return Energy(
            provenance=self.trace.provenance,
            meter=self.trace.meter,
            rails=tuple(self.trace.rails),
            gross_mj=gross,
            net_mj=net,
            average_power_w=average_w,
            idle_power_w=idle_w,
            terms_mj=terms,
            notes=self.notes + notes,
        )


def _unfit(average_w: float, net_w: float, idle: Idle) -> str:
    """Why nothing can be said above idle; empty if it can."""
    if net_w <= 0:
        return f"the load does not raise the power: {average_w:.3g} W against {idle.watts:.3g} W idle"
    if abs(idle.drift_w) > DRIFT * net_w:
        return (
            f"idle power drifted by {idle.drift_w:+.3g} W between before and after, more than {DRIFT:.0%} of the "
            f"{net_w:.3g} W above it"
        )
    return ""


def _drawn(count: int, seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))


def _interval(values: Any, count: int) -> tuple[float, float]:
    """95 % percentile interval of bootstrapped values, expanded for few blocks.

    The percentiles are those of Hesterberg, "What Teachers Should Know About the Bootstrap", Am. Stat. 69
    (2015): Φ(−√(n/(n−1))·t), with t of Student's distribution at n−1 degrees of freedom.
    """
    tail = NormalDist().cdf(-math.sqrt(count / (count - 1)) * student(count - 1))
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def by_block(metered: Sequence[Metered], idle_w: float = 0.0) -> tuple[float | None, ...]:
    """Energy of one inference in mJ, block by block, above an idle power; None for a block that has none."""
    return tuple(
        None
        if part.problem or block.latency is None or block.latency.runs == 0
        else (part.joules - idle_w * part.seconds) / block.latency.runs * 1e3
        for (block, _), part in zip(metered, windows(metered), strict=True)
    )


def systematic(told: Energy) -> float:
    """The relative half-width that all blocks of a result share: resolution, edges, sampling and baseline.

    The gain is left out: it cancels in a ratio of figures of one meter.
    """
    value = told.best_mj.value
    shared = [mj for name, mj in told.terms_mj.items() if name not in {"blocks", "gain"}]
    return math.hypot(*shared) / abs(value) if value else 0.0


def ratio(first_mj: Sequence[float | None], second_mj: Sequence[float | None], *, shared: float = 0.0) -> Estimate:
    """How many times the energy of ``second`` is that of ``first``, from pairs of blocks (`statistics.compare`).

    Args:
        first_mj: per block, as `by_block` gives it; a pair with a None is left out.
        second_mj: of the other artifact, block by block beside it.
        shared: a relative half-width that the blocks do not show (`systematic` of both, in quadrature).
    """
    pairs = [(a, b) for a, b in zip(first_mj, second_mj, strict=True) if a is not None and b is not None]
    if any(mj <= 0 for pair in pairs for mj in pair):
        return Estimate(value=None, n=len(pairs), reason="a block took no energy above idle: there is no ratio")
    seen = compare([a for a, _ in pairs], [b for _, b in pairs])
    if seen.ratio is None or seen.low is None or seen.high is None:
        return Estimate(value=seen.ratio, n=len(pairs), reason=seen.reason)
    below, above = (math.hypot(math.log(end / seen.ratio), shared) for end in (seen.low, seen.high))
    return Estimate(
        value=seen.ratio, low=seen.ratio * math.exp(-below), high=seen.ratio * math.exp(above), n=len(pairs)
    )


def compared(first: Energy | None, second: Energy | None) -> Estimate | None:
    """How many times the energy of ``second`` is that of ``first``; None if it was not measured of both.

    If the two must not be compared the estimate has no value, but the reason.
    """
    if first is None or second is None:
        return None
    reason = comparable(first, second)
    if not reason and first.kind != second.kind:
        reason = "energy above idle is known of one of them only"
    if reason:
        return Estimate(value=None, reason=reason)
    shared = math.hypot(systematic(first), systematic(second))
    return ratio(first.blocks_mj, second.blocks_mj, shared=shared)


def comparable(first: Energy, second: Energy) -> str:
    """Why two results must not be set against each other; empty if they may."""
    if first.provenance != second.provenance:
        return f"energy from {first.provenance} is not compared with energy from {second.provenance}"
    if first.meter != second.meter:
        return f"energy by {first.meter} is not compared with energy by {second.meter}"
    if set(first.rails) != set(second.rails):
        return f"the rails differ: {', '.join(first.rails) or 'none'} against {', '.join(second.rails) or 'none'}"
    return ""


def choose(found: dict[str, Availability], wanted: str | None = None) -> str:
    """The meter of this name, else the one with the best provenance among those that can be had.

    Args:
        found: whether each meter can be had, by name.
        wanted: the user's choice.

    Raises:
        InputError: there is no meter of that name.
        DeviceError: it, or every one, cannot be had; the reason and the fix are given.
    """
    if wanted is not None and wanted not in found:
        raise InputError(f"There is no meter {wanted}.", place="--meter", fix=f"choose one of: {', '.join(found)}")
    offered = [name for name, seen in found.items() if seen.probe is not None and wanted in {None, name}]
    if offered:
        return min(offered, key=lambda name: _order(name, found[name]))
    if wanted is not None:
        raise DeviceError(
            f"The meter {wanted} cannot be used: {found[wanted].reason}.", place=wanted, fix=found[wanted].fix
        )
    raise DeviceError(
        "No meter can be used on this device: " + "; ".join(f"{name}: {seen.reason}" for name, seen in found.items()),
        place="the device's sensors",
        fix=_nearest_fix(found),
    )


def _order(name: str, seen: Availability) -> tuple[int, int, str]:
    rank = RANK.index(seen.provenance) if seen.provenance is not None else len(RANK)
    preferred = list(leaves.METERS)
    return rank, preferred.index(name) if name in preferred else len(preferred), name


def _nearest_fix(found: dict[str, Availability]) -> str:
    """The fix of a sensor that is there but locked, if one is; else an instrument of one's own."""
    locked = [seen.fix for seen in found.values() if seen.fix.startswith(("sudo chmod", "sudo usermod", "unplug"))]
    return locked[0] if locked else "attach a Joulescope or PPK2, or ask for an estimate: --model-energy"
