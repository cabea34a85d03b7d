"""What a Keras network's first operators do to its inputs, before the converter folds that into a layer's weights.

``Rescaling(1 / 255)`` before a convolution is no operator of the file any more, and samples that were divided already
calibrate it for a hundredth of what the app gives.
"""

from collections.abc import Mapping
from typing import Any

from edgekit.sources.keras.definitions import source
from edgekit.sources.keras.libraries import tf
from edgekit.sources.keras.network import Fixed
from edgekit.waist.scaling import expected

PASSING = {"Cast", "Identity"}
ADDING = {"Add": 1, "AddV2": 1, "BiasAdd": 1, "Sub": -1}
SCALING = {"Mul", "RealDiv"}


def input_ranges(fixed: Fixed) -> dict[str, tuple[float, float]]:
    """By the source's name, the (lowest, highest) value that `edgekit.waist.scaling.expected` tells of an input."""
    nodes = {node.name: node for node in fixed.function.graph.as_graph_def().node}
    readers: dict[str, list[Any]] = {}
    for node in nodes.values():
        for name in node.input:
            readers.setdefault(source(name), []).append(node)
    found = {}
    for name, tensor in zip(fixed.input_names, fixed.function.inputs, strict=False):  # captured variables come after
        told = _told(nodes, readers, tensor.op.name)
        if told is not None:
            found[name] = told
    return found


def _told(nodes: Mapping[str, Any], readers: Mapping[str, list[Any]], name: str) -> tuple[float, float] | None:
    """The range of one placeholder, if a factor is the first that it meets."""
    first = _next(readers, name)
    number = None if first is None or first.op not in SCALING else _number(nodes, first, first.op == "RealDiv")
    if first is None or number is None or number <= 0:
        return None
    then = _next(readers, first.name)
    shift = 0.0 if then is None or then.op not in ADDING else _number(nodes, then, then.op == "Sub") or 0.0
    sign = 1 if then is None else ADDING.get(then.op, 1)
    return expected(1 / number if first.op == "RealDiv" else number, sign * shift)


def _next(readers: Mapping[str, list[Any]], name: str) -> Any | None:
    """The only operator that reads a value, behind those that pass it on."""
    while len(found := readers.get(name, [])) == 1 and found[0].op in PASSING:
        name = found[0].name
    return found[0] if len(found) == 1 else None


def _number(nodes: Mapping[str, Any], node: Any, ordered: bool) -> float | None:  # noqa: FBT001
    """The one number that an operator combines a value with; as its second operand if ``ordered``."""
    for name in node.input[1:2] if ordered else node.input[1::-1]:
        held = nodes[source(name)]
        while held.op in PASSING:
            held = nodes[source(held.input[0])]
        if held.op == "Const":
            value = tf.make_ndarray(held.attr["value"].tensor)
            return float(value.reshape(-1)[0]) if value.size == 1 else None
    return None
