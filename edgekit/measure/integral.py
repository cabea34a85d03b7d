"""Energy between two times of a trace of power, with what its uncertainty is made of."""

import math
from typing import Any, NamedTuple

import numpy as np

from edgekit.nouns.sensing import PowerTrace, Series

GAP = 2.5
"""Samples further apart than this many times the usual distance are a gap."""

MISSING = 0.2
"""A block with gaps over more than this share of its time has no energy."""


class Window(NamedTuple):
    """Energy between two times, with half-widths of its uncertainty by cause; why there is none in ``problem``."""

    joules: float
    seconds: float
    resolution_j: float = 0.0
    edges_j: float = 0.0
    sampling_j: float = 0.0
    problem: str = ""

    @property
    def half_width_j(self) -> float:
        """All causes together."""
        return math.hypot(self.resolution_j, self.edges_j, self.sampling_j)


def window(trace: PowerTrace, begin_s: float, end_s: float, clock_error_s: float = 0.0) -> Window:
    """Integrate a trace between two times.

    Args:
        trace: cumulative energy or power, in seconds of some clock.
        begin_s: the window on the same clock.
        end_s: its end.
        clock_error_s: by how much the window may be shifted against the trace.
    """
    lasted_s = end_s - begin_s
    problem = trace.invalid or ("" if lasted_s > 0 else "the block has no length")
    parts: list[Window] = []
    for name, series in trace.rails.items():
        if problem:
            break
        part = (_counted if trace.quantity == "energy" else _sampled)(trace, series, begin_s, end_s)
        problem = f"{name}: {part.problem}" if part.problem else ""
        parts.append(part)
    if problem or not parts:
        return Window(0.0, max(lasted_s, 0.0), problem=problem or "the trace has no rail")
    joules = sum(part.joules for part in parts)
    return Window(
        joules,
        lasted_s,
        sum(part.resolution_j for part in parts),
        sum(part.edges_j for part in parts) + 2 * clock_error_s * joules / lasted_s,
        math.hypot(*(part.sampling_j for part in parts)),
    )


def _uncovered(times: Any, begin_s: float, end_s: float) -> str:
    """Why samples at these times cannot speak for a window: they begin too late or end too early."""
    if len(times) < 2:
        return "fewer than two samples"
    slack_s = GAP * float(np.median(np.diff(times)))
    late_s, early_s = float(times[0]) - begin_s, end_s - float(times[-1])
    if max(late_s, early_s) > min(slack_s, 0.5 * (end_s - begin_s)):
        return f"the samples leave {max(late_s, early_s):.2f} s of the block out"
    return ""


def _counted(trace: PowerTrace, series: Series, begin_s: float, end_s: float) -> Window:
    """Difference of a cumulative counter, interpolated between samples.

    Between two samples the power is only known on average: an edge there is uncertain by the time to the
    nearer one times the range of power seen. The counter itself may be one period old.
    """
    times, joules = np.asarray(series.t_s), np.asarray(series.values)
    if problem := _uncovered(times, begin_s, end_s):
        return Window(0.0, 0.0, problem=problem)
    watts = np.diff(joules) / np.diff(times)
    near = (times[1:] > begin_s) & (times[:-1] < end_s)
    seen = watts[near] if near.any() else watts
    mean_w = float(np.average(seen, weights=np.diff(times)[near] if near.any() else np.diff(times)))
    spread_w = float(seen.max() - seen.min()) if len(seen) > 1 else mean_w
    edges_j, ends = trace.period_s * mean_w, []
    for t_s in (begin_s, end_s):
        held = min(max(t_s, float(times[0])), float(times[-1]))
        away_s = float(np.abs(times - held).min())
        edges_j += away_s * spread_w + abs(t_s - held) * float(seen.max())
        ends.append(float(np.interp(held, times, joules)) + (t_s - held) * mean_w)
    return Window(ends[1] - ends[0], end_s - begin_s, trace.resolution, edges_j)


def _sampled(trace: PowerTrace, series: Series, begin_s: float, end_s: float) -> Window:
    """Integral of sampled power by trapezoids.

    Its sampling error is that of a mean of independent readings, whose scatter is taken from successive
    differences (von Neumann, Ann. Math. Stat. 12, 1941) so that a slow change is none. A load that is
    periodic with the sampling itself cannot be seen.
    """
    times, watts = np.asarray(series.t_s), np.asarray(series.values)
    if problem := _uncovered(times, begin_s, end_s):
        return Window(0.0, 0.0, problem=problem)
    inside = (times > begin_s) & (times < end_s)
    knots = np.concatenate(([begin_s], times[inside], [end_s]))
    values = np.interp(knots, times, watts)
    lasted_s, usual_s = end_s - begin_s, float(np.median(np.diff(times)))
    gaps_s = float(sum(gap for gap in np.diff(knots) if gap > GAP * usual_s))
    if gaps_s > MISSING * lasted_s:
        return Window(0.0, 0.0, problem=f"readings are missing for {gaps_s:.2f} of {lasted_s:.2f} s")
    near = watts[(times > begin_s - GAP * usual_s) & (times < end_s + GAP * usual_s)]
    spread_w = float(near.max() - near.min()) if len(near) else 0.0
    beyond_s = max(float(times[0]) - begin_s, 0.0) + max(end_s - float(times[-1]), 0.0)
    stride = max(round(trace.period_s / usual_s), 1)
    renewed = watts[::stride]
    scatter_w = math.sqrt(float(np.mean(np.diff(renewed) ** 2)) / 2) if len(renewed) > 1 else spread_w
    independent = max(lasted_s / max(usual_s, trace.period_s), 1.0)
    return Window(
        float(np.trapezoid(values, knots)),
        lasted_s,
        trace.resolution / 2 * lasted_s,
        (trace.period_s + beyond_s + gaps_s / 2) * spread_w,
        1.96 * scatter_w / math.sqrt(independent) * lasted_s,
    )
