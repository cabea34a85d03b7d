"""A diagnosis as a plot: SQNR along the network, and the operators that cost the outputs most."""

import math
import statistics
from typing import Any

from edgekit.nouns.diagnosis import Diagnosed, OperatorDiagnosis
from edgekit.report import svg
from edgekit.report.diagnosis import db, kind, short
from edgekit.report.plain import plain

NAMED = 10
"""Most operators that a plot names: more do not fit beside it."""

LOWEST_DB, SPAN_DB = -10.0, 30.0
"""Where the axis ends: below there is no signal left, and what is so far above the median is next to exact."""

SPELLED = 48
"""Of at most so many operators, each has its kind below it; of more, some have their places."""

TICKS = 24
"""Most places below a longer network."""

LINES_PT = 19
"""Height of the two lines that name an operator."""

ORANGE = "#d98324"


def draw(found: Diagnosed, top: int = NAMED) -> str:
    """SVG of all operators in the order in which they run, alone and accumulated; the ``top`` worst are named.

    Raises:
        MissingTool: matplotlib is not installed.
    """
    svg.require()
    with svg.style(found.file) as new:
        rows = found.diagnosis.operators
        spelled = len(rows) <= SPELLED
        width = 3 + max(5.0, min(14.0, (0.22 if spelled else 0.1) * len(rows)))
        figure = new(width, 4.4 if spelled else 3.8)
        axes, beside = figure.subplots(1, 2, width_ratios=(width - 3, 3))
        _levels(axes, found)
        _places(axes, rows, spelled=spelled)
        _worst(axes, beside, found, min(top, NAMED))
        figure.legend(loc="outside lower left", ncols=3, frameon=False, fontsize=8)
        return svg.written(figure)


def _levels(axes: Any, found: Diagnosed) -> None:
    """Both figures of each operator, and what is left at the outputs."""
    rows, output_db = found.diagnosis.operators, found.diagnosis.output_db
    levels = [level for row in rows for level in (row.alone_db, row.accumulated_db) if level is not None]
    bottom = max(LOWEST_DB, min([0.0, *levels]))
    top = min(_up(max([20.0, *levels])), _up(statistics.median(levels or [0])) + SPAN_DB)
    exact = top + 0.1 * (top - bottom)

    def at(level: float | None) -> float:
        """Where a level in dB is drawn, at the picture's ends if it is beyond them; None is exact, above the top."""
        return exact if level is None else min(max(level, bottom), top)

    numbers = range(len(rows))
    alone, accumulated = [at(row.alone_db) for row in rows], [at(row.accumulated_db) for row in rows]
    axes.plot(numbers, alone, "o", color=ORANGE, markersize=4, label="alone: its inputs are exact", zorder=2)
    axes.plot(numbers, accumulated, ".-", color=svg.INK, linewidth=1.2, label="accumulated: as the file runs", zorder=1)
    if output_db is not None:
        told = f"outputs: {db(output_db)}"
        axes.axhline(at(output_db), color=svg.INK, linewidth=0.9, linestyle="--", label=told, zorder=1)
    axes.set_ylim(bottom - 0.04 * (exact - bottom), exact + 0.06 * (exact - bottom))
    ticks = range(-10 if bottom == LOWEST_DB else 0, int(top), 10)
    beyond = f"≥ {top:.0f}" if top < max([0.0, *levels]) else f"{top:.0f}"
    axes.set_yticks([*ticks, top, exact], [*map(str, ticks), beyond, "exact"])
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_ylabel("SQNR in dB")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(plain(f"{found.file}: SQNR along the network, on {found.diagnosis.samples} samples"), loc="left")


def _up(level: float) -> float:
    """The next line of the grid."""
    return 10.0 * math.ceil(level / 10)


def _places(axes: Any, rows: tuple[OperatorDiagnosis, ...], *, spelled: bool) -> None:
    """What stands below the operators."""
    every = 1 if spelled else -(-len(rows) // TICKS)
    shown = range(0, len(rows), every)
    texts = [kind(rows[i]) if spelled or rows[i].index is None else str(rows[i].index) for i in shown]
    axes.set_xticks(list(shown), [plain(text) for text in texts], rotation=90 if spelled else 0, fontsize=7)
    axes.set_xlim(-1, len(rows))
    axes.set_xlabel("operators in the order in which they run" + ("" if spelled else ", by their places in the file"))


def _worst(axes: Any, beside: Any, found: Diagnosed, top: int) -> None:
    """Numbers at the worst operators, and what these are beside the plot."""
    beside.set_axis_off()
    worst = found.diagnosis.worst(top)
    places = {id(row): i for i, row in enumerate(found.diagnosis.operators)}
    if worst:
        _line(beside, 0, "the worst, by their share of the outputs' error" if worst[0].share else "the worst alone")
    for number, row in enumerate(worst, start=1):
        x, (low, high) = places[id(row)], axes.get_ylim()
        y = min(max(row.alone_db or 0.0, low), high)
        axes.axvline(x, color=svg.PALE_RED, linewidth=1, zorder=0)
        axes.annotate(
            str(number), (x, y), (0, -9), textcoords="offset points", ha="center", va="center", fontsize=7,
            color=svg.RED, weight="bold", zorder=3, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )  # fmt: skip
        share = "" if row.share is None else f", {row.share:.0%}"
        _line(beside, number, f"{number:2}  {kind(row)}: {db(row.alone_db)} alone{share}\n      {short(row.name)}")


def _line(beside: Any, number: int, text: str) -> None:
    """The lines of an operator below those of the worse ones, whatever the height of the axes."""
    line = beside.annotate(
        plain(text), (0, 1), (0, -LINES_PT * number), "axes fraction", textcoords="offset points", va="top", fontsize=7,
        weight="normal" if number else "bold",
    )  # fmt: skip
    line.set_in_layout(False)
