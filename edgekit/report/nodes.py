"""Figures on the nodes of a network's graph, as Google's Model Explorer lays them over it.

A file of node data is a ``GraphNodeData`` of its package's ``node_data_builder``; TFLite's nodes go by the names of
their first outputs.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from edgekit.errors import Unsupported
from edgekit.nouns.profile import OperatorTime, Profile

if TYPE_CHECKING:
    from edgekit.waist.graph import Graph

GOOD, BAD = "#d8f0d8", "#e06666"
"""Colours of the two ends of a scale."""

NAMED = {"litert", "CPU"}
"""What runs nodes of a .tflite one by one, and says which: delegates tell kinds alone."""

XNNPACK = "xnnpack"
"""What `OperatorTime.runs_on` says of operators that LiteRT's profiler on this host, or on a board, saw in XNNPACK."""

PLACES = (re.compile(r"\d+: (?P<tensor>.+)"), re.compile(r"\[(?P<tensor>.+?)(, .+)?\]:\d+"))
"""How LiteRT here and its benchmark on phones write a node's first output."""

FAMILIES: dict[str, tuple[str, ...]] = {
    "Add": ("ADD",),
    "Average Pooling": ("AVERAGE_POOL_2D",),
    "Batch Matrix Multiply": ("BATCH_MATMUL",),
    "Clamp": ("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1"),
    "Constant Pad": ("PAD", "PADV2"),
    "Convert": ("QUANTIZE", "DEQUANTIZE", "CAST"),
    "Convolution": ("CONV_2D", "DEPTHWISE_CONV_2D"),
    "Deconvolution": ("TRANSPOSE_CONV",),
    "Depth To Space": ("DEPTH_TO_SPACE",),
    "Divide": ("DIV",),
    "ELU": ("ELU",),
    "Fully Connected": ("FULLY_CONNECTED",),
    "GELU": ("GELU",),
    "HardSwish": ("HARD_SWISH",),
    "LeakyReLU": ("LEAKY_RELU",),
    "Max Pooling": ("MAX_POOL_2D",),
    "Maximum": ("MAXIMUM",),
    "Mean": ("MEAN",),
    "Minimum": ("MINIMUM",),
    "Multiply": ("MUL",),
    "PReLU": ("PRELU",),
    "Reciprocal Square Root": ("RSQRT",),
    "Resize Bilinear": ("RESIZE_BILINEAR",),
    "Sigmoid": ("LOGISTIC",),
    "Slice": ("SLICE", "STRIDED_SLICE"),
    "Softmax": ("SOFTMAX",),
    "Space To Depth": ("SPACE_TO_DEPTH",),
    "Square Root": ("SQRT",),
    "Squared Difference": ("SQUARED_DIFFERENCE",),
    "Subtract": ("SUB",),
    "Sum": ("SUM",),
    "TanH": ("TANH",),
    "Transpose": ("TRANSPOSE",),
}
"""What XNNPACK calls the operators that it makes of TFLite's (operator-type-defs.inc; tflite's xnnpack_delegate.cc)."""

MOST_UNPLACED = 0.5
"""Of the time: a picture that leaves out more would mislead."""


class Times(NamedTuple):
    """A file of node data, the share of the time that its nodes hold, and the kinds of operators that have no node."""

    data: dict[str, Any]
    share: float
    unplaced: tuple[str, ...]


def node_data(title: str, figures: Mapping[str, float], *, high_is_bad: bool) -> dict[str, Any]:
    """One figure for each node, by the name of its first output."""
    ends = (GOOD, BAD) if high_is_bad else (BAD, GOOD)
    return {
        "name": f"edgekit: {title}",
        "results": {name: {"value": figure} for name, figure in figures.items()},
        "gradient": [{"stop": stop, "bgColor": colour} for stop, colour in zip((0, 1), ends, strict=True)],
    }


def latency(profile: Profile, graph: "Graph | None" = None) -> Times:
    """Each operator's time in ms.

    LiteRT's own kernels say which node they are. XNNPACK's tell their kinds alone, in the order in which they run,
    which is that of the nodes: they are placed kind by kind, if the file has as many nodes of that kind.

    Args:
        profile: with the times of operators.
        graph: of the file, so that XNNPACK's operators can be placed.

    Raises:
        Unsupported: operators were not timed, or those that hold most of the time could not be placed.
    """
    times: dict[str, float] = {}
    rest: dict[str, list[OperatorTime]] = defaultdict(list)
    for row in profile.operators if profile.artifact.endswith(".tflite") else ():
        place = next(filter(None, (way.fullmatch(row.name) for way in PLACES)), None)
        if row.runs_on in NAMED and place is not None:
            times[place["tensor"]] = times.get(place["tensor"], 0.0) + row.mean_ms
        else:
            rest[row.kind.partition(" (")[0] if row.runs_on == XNNPACK else row.kind].append(row)
    placed = {} if graph is None else _placed(rest, graph, times)
    unplaced = {kind: sum(row.mean_ms for row in rows) for kind, rows in rest.items() if kind not in placed}
    times |= {name: ms for nodes in placed.values() for name, ms in nodes.items()}
    whole = sum(times.values()) + sum(unplaced.values())
    share = sum(times.values()) / whole if whole else float(bool(times))
    if not times or share < 1 - MOST_UNPLACED:
        raise Unsupported(
            f"The nodes of {profile.artifact} are known for {share:.0%} of its time only: "
            "XNNPACK and other runtimes tell kinds of operators alone.",
            place=profile.artifact,
            fix="time LiteRT's own kernels on a phone: edgekit profile FILE.tflite --device ID --ops --delegate none",
        )
    figures = {name: round(ms, 6) for name, ms in times.items()}
    data = node_data("time of each operator, in ms", figures, high_is_bad=True)
    return Times(data, share, tuple(sorted(unplaced, key=lambda kind: -unplaced[kind])))


def _placed(
    rest: Mapping[str, list[OperatorTime]], graph: "Graph", known: Collection[str]
) -> dict[str, dict[str, float]]:
    """By kind, the times of XNNPACK's operators by first output, for kinds of which there are as many nodes."""
    nodes = [(one.name, graph.tensors[one.outputs[0]].name) for one in graph.operators if one.outputs]
    free = [(kind, output) for kind, output in nodes if output not in known]
    placed: dict[str, dict[str, float]] = {}
    for family, rows in rest.items():
        outputs = [output for kind, output in free if kind in FAMILIES.get(family, ())]
        if len(outputs) == len(rows) == len(set(outputs)) and all(row.runs_on == XNNPACK for row in rows):
            placed[family] = {output: row.mean_ms for output, row in zip(outputs, rows, strict=True)}
    return placed
