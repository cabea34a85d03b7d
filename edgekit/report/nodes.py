"""Figures on the nodes of a network's graph, as Google's Model Explorer lays them over it.

A file of node data is a ``GraphNodeData`` of its package's ``node_data_builder``; TFLite's nodes go by the names of
their first outputs.
"""

import re
from collections.abc import Mapping
from typing import Any

from edgekit.errors import Unsupported
from edgekit.nouns.profile import Profile

GOOD, BAD = "#d8f0d8", "#e06666"
"""Colours of the two ends of a scale."""

NAMED = {"litert", "CPU"}
"""What runs nodes of a .tflite one by one, and says which: delegates tell kinds alone."""

PLACES = (re.compile(r"\d+: (?P<tensor>.+)"), re.compile(r"\[(?P<tensor>.+?)(, .+)?\]:\d+"))
"""How LiteRT here and its benchmark on phones write a node's first output."""


def node_data(title: str, figures: Mapping[str, float], *, high_is_bad: bool) -> dict[str, Any]:
    """One figure for each node, by the name of its first output."""
    ends = (GOOD, BAD) if high_is_bad else (BAD, GOOD)
    return {
        "name": f"edgekit: {title}",
        "results": {name: {"value": figure} for name, figure in figures.items()},
        "gradient": [{"stop": stop, "bgColor": colour} for stop, colour in zip((0, 1), ends, strict=True)],
    }


def latency(profile: Profile) -> dict[str, Any]:
    """Each operator's time in ms.

    Raises:
        Unsupported: operators were not timed, or what ran them does not say which nodes they are.
    """
    times: dict[str, float] = {}
    for row in profile.operators if profile.artifact.endswith(".tflite") else ():
        place = next(filter(None, (way.fullmatch(row.name) for way in PLACES)), None)
        if row.runs_on in NAMED and place is not None:
            times[place["tensor"]] = times.get(place["tensor"], 0.0) + row.mean_ms
    if not times:
        raise Unsupported(
            f"No operator of {profile.artifact} is known by its place: XNNPACK and other runtimes tell kinds alone.",
            place=profile.artifact,
            fix="time LiteRT's own kernels on a phone: edgekit profile FILE.tflite --device ID --ops --delegate none",
        )
    return node_data(
        "time of each operator, in ms", {name: round(ms, 6) for name, ms in times.items()}, high_is_bad=True
    )
