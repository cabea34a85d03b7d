"""What the axes of a tensor are, as far as the operators around it tell: never concluded from sizes.

Operators on images say what their operands' axes mean; operators that keep the axes carry that on, and a
transposition reorders the letters. What no such operator reaches has no known layout.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from edgekit.waist import graph

BY_RANK = {3: "NWC", 4: "NHWC", 5: "NDHWC"}
"""By rank: how TFLite's operators on images have their axes."""

ON_IMAGES = {
    "AVERAGE_POOL_2D": 0, "BATCH_TO_SPACE_ND": 0, "CONV_2D": 0, "CONV_3D": 0, "CONV_3D_TRANSPOSE": 2,
    "DEPTHWISE_CONV_2D": 0, "DEPTH_TO_SPACE": 0, "MAX_POOL_2D": 0, "RESIZE_BILINEAR": 0, "RESIZE_NEAREST_NEIGHBOR": 0,
    "SPACE_TO_BATCH_ND": 0, "SPACE_TO_DEPTH": 0, "TRANSPOSE_CONV": 2,
}  # fmt: skip
"""TFLite's operators on images → which of their operands is one; the result is always one."""

KEEPING = frozenset({
    "ABS", "ADD", "CAST", "CEIL", "CONCATENATION", "DEQUANTIZE", "DIV", "ELU", "EXP", "FLOOR", "GATHER", "GELU",
    "HARD_SWISH", "LEAKY_RELU", "LOG", "LOGISTIC", "MAXIMUM", "MINIMUM", "MIRROR_PAD", "MUL", "NEG", "PAD", "PADV2",
    "POW", "PRELU", "QUANTIZE", "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "ROUND", "RSQRT", "SLICE",
    "SOFTMAX", "SPLIT", "SPLIT_V", "SQRT", "SQUARE", "SQUARED_DIFFERENCE", "STRIDED_SLICE", "SUB", "TANH",
})  # fmt: skip
"""TFLite's operators whose results have the axes of their operands of the same rank."""


class AxisStep(NamedTuple):
    """Two tensors of which one is made from the other: axis *k* of ``out`` is axis ``order[k]`` of ``value``."""

    value: str
    out: str
    order: tuple[int, ...] | None = None


def spread(known: Mapping[str, str], steps: Iterable[AxisStep]) -> dict[str, str]:
    """The layout of every tensor that is reached; none for those that two operators contradict one another about.

    Args:
        known: name → layout, a letter for each axis.
        steps: between tensors of the same rank.
    """
    beside: dict[str, list[tuple[str, tuple[int, ...] | None]]] = defaultdict(list)
    for value, out, order in steps:
        back = None if order is None else tuple(order.index(axis) for axis in range(len(order)))
        beside[value].append((out, order))
        beside[out].append((value, back))
    found = dict(known)
    contradicted: set[str] = set()
    pending = list(found)
    while pending:
        name = pending.pop()
        for other, order in beside[name]:
            layout = found[name] if order is None else "".join(found[name][axis] for axis in order)
            if other not in found:
                found[other] = layout
                pending.append(other)
            elif found[other] != layout:
                contradicted |= {name, other}
    return {name: layout for name, layout in found.items() if name not in contradicted}


def of_graph(tree: Any, main: graph.Graph) -> dict[int, str]:
    """The layout of tensors of a TFLite graph, by index, if its operators tell.

    Args:
        tree: the schema's object tree (`edgekit.waist.graph.load`).
        main: its main graph.
    """
    known: dict[str, str] = {}
    steps: list[AxisStep] = []
    rank = [len(tensor.shape) for tensor in main.tensors]
    for operator in main.operators:
        out = list(operator.outputs)
        if len(operator.inputs) <= (ON_IMAGES | {"TRANSPOSE": 1}).get(operator.name, -1) or not out:
            continue  # only in a file that LiteRT does not load either
        if operator.name in ON_IMAGES:
            images = [operator.inputs[ON_IMAGES[operator.name]], *out]
            known |= {str(i): BY_RANK[rank[i]] for i in images if rank[i] in BY_RANK}
        elif operator.name in KEEPING:
            read = [i for i in operator.inputs if i >= 0 and not main.tensors[i].constant_bytes]
            steps += [AxisStep(str(i), str(o)) for i in read for o in out if rank[i] == rank[o]]
        elif operator.name == "TRANSPOSE" and (order := graph.constant(tree, 0, operator.inputs[1])) is not None:
            steps.append(AxisStep(str(operator.inputs[0]), str(out[0]), tuple(int(axis) for axis in order)))
    return {int(name): layout for name, layout in spread(known, steps).items()}
