"""Plots of a profile, as SVG: latencies by block, and power over time with the blocks marked."""

from typing import Any

import numpy as np

from edgekit.nouns.profile import Profile, per_reading
from edgekit.report import svg
from edgekit.report.plain import plain
from edgekit.report.svg import INK, PALE, PALE_RED, RED
from edgekit.waist.tensors import Array

SHOWN = 150
"""Most single latencies of a block that a plot shows; of more, every k-th is."""

LOGARITHMIC = 4.0
"""If the slowest of a hundred takes this many times a median, the axis is logarithmic."""

POWER = ("power_w_", "energy_j_")


def draw(profile: Profile, arrays: dict[str, Array]) -> dict[str, str]:
    """Every plot that the samples allow, by the end of its file's name; none without matplotlib.

    Args:
        profile: what was measured.
        arrays: its raw samples (`edgekit.measure.record.raw`).
    """
    drawn = {}
    try:
        with svg.style(profile.session) as new:
            if any(name.startswith("latencies_ms_") for name in arrays):
                drawn["latency"] = svg.written(_latency(new(8, 3.2), profile, arrays))
            if any(name.startswith(POWER) and values.shape[1] > 1 for name, values in arrays.items()):
                drawn["power"] = svg.written(_power(new(8, 3.2), profile, arrays))
    except ImportError:
        return {}
    return drawn


def _latency(figure: Any, profile: Profile, arrays: dict[str, Array]) -> Any:
    """A column of dots for each block, its median as a line; blocks that do not count are red."""
    axes = figure.add_subplot()
    spread = np.random.default_rng(0)
    tops, medians = [], []
    for i, block in enumerate(profile.blocks):
        taken = arrays.get(f"latencies_ms_{i}")
        if taken is None:
            continue
        values = taken.astype(np.float64)
        shown = values[:: -(-len(values) // SHOWN)]
        at = i + 1 + spread.uniform(-0.3, 0.3, len(shown))
        axes.plot(at, shown, ".", color=PALE if block.counted else PALE_RED, markersize=3, zorder=1)
        median = float(np.median(values))
        axes.plot([i + 0.65, i + 1.35], [median, median], color=INK if block.counted else RED, linewidth=2, zorder=2)
        tops.append(float(np.quantile(values, 0.99)))
        medians.append(median)
    latency = profile.latency
    if latency is not None and latency.median_ms.low is not None:
        axes.axhspan(latency.median_ms.low, latency.median_ms.high, color=INK, alpha=0.12, linewidth=0, zorder=0)
    if max(tops) > LOGARITHMIC * min(medians):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
    else:
        axes.set_ylim(0, max(tops) * 1.15)
    axes.set_xticks(range(1, len(profile.blocks) + 1))
    axes.set_xlabel("block (a fresh process each)")
    axes.set_ylabel("latency in ms")
    each = per_reading(profile.blocks)
    dots = "single inferences" if each == 1 else f"means of {each} inferences in a row"
    axes.set_title(plain(f"{profile.artifact} on {profile.device.title}: dots are {dots}, lines are medians"))

    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _power(figure: Any, profile: Profile, arrays: dict[str, Array]) -> Any:
    """Power of each rail over time; timed loops shaded. Counters of energy are differentiated."""
    axes = figure.add_subplot()
    rows = {name: values for name, values in arrays.items() if name.startswith(POWER) and values.shape[1] > 1}
    begin = min(float(values[0][0]) for values in rows.values())
    rails = list(dict.fromkeys(_rail(name) for name in rows))
    for name, (t, values) in sorted(rows.items()):
        watts = np.diff(values) / np.diff(t) if name.startswith("energy_j_") else values[1:]
        axes.step(t[1:] - begin, watts, where="pre", color=f"C{rails.index(_rail(name))}", linewidth=0.8)
    for block in profile.blocks:
        axes.axvspan(
            block.begin_s - begin, block.end_s - begin, color=PALE if block.counted else PALE_RED, linewidth=0, zorder=0
        )
    for i, rail in enumerate(rails):
        axes.plot([], [], color=f"C{i}", label=rail)
    axes.legend(frameon=False, fontsize=8)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("time on the device in s")
    axes.set_ylabel("power in W")
    meter = "" if profile.energy is None else f", {profile.energy.meter} ({profile.energy.provenance})"
    axes.set_title(plain(f"{profile.artifact} on {profile.device.title}{meter}: shaded are the timed blocks"))
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _rail(name: str) -> str:
    """The rail in a name such as ``power_w_before_VDD_IN``."""
    return name.split("_", 3)[3]
