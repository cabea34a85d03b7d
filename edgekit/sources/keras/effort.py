"""What one inference of a Keras network takes, as far as its graph tells: for the limit of time that it gets."""

import math
from typing import Any

from edgekit.host.deadline import Effort
from edgekit.sources.keras.definitions import nodes
from edgekit.waist.effort import MOST_TRIPS

LOOPS = {"While", "StatelessWhile", "Enter"}


def of(function: Any) -> Effort:
    """The effort of a concrete function of fixed shapes.

    If there are loops, weights count once for each step of the longest sequence, and of images for each pixel, too.
    """
    graph = function.graph
    loops = tuple(node.name for node in nodes(graph.as_graph_def()) if node.op in LOOPS)
    operators = graph.get_operations()
    macs = sum(_macs(operator) for operator in operators)
    if loops:
        weights = sum(math.prod(variable.shape) for variable in function.variables)
        macs += weights * max((_steps(tensor) for tensor in function.inputs if tensor.shape.rank), default=1)
    values = sum(_size(tensor) for operator in operators for tensor in operator.outputs)
    return Effort(macs=macs, values=values, loops=tuple(f"While {name}" for name in loops))


def _steps(tensor: Any) -> int:
    """How often weights meet an input at most: a sequence ``[N, T, ...]``, or one of images ``[N, T, H, W, C]``."""
    shape = tuple(size or 1 for size in tensor.shape.as_list())
    return math.prod(shape[1:-1]) if len(shape) == _VIDEO else min(MOST_TRIPS, max(shape))


_VIDEO = 5
"""Dimensions of a batch of sequences of images."""


def _size(tensor: Any) -> int:
    return math.prod(_shape(tensor)) if tensor.shape.is_fully_defined() else 0


def _shape(tensor: Any) -> tuple[int, ...]:
    return tuple(tensor.shape.as_list())


_CONV = {"Conv2D", "Conv3D"}

_PRODUCTS = {"MatMul", "BatchMatMul", "BatchMatMulV2", "Einsum"}


def _macs(operator: Any) -> int:
    """Each element of a result takes the part of the weights that reaches it; 0 if shapes are not known."""
    if len(operator.inputs) < 2 or not operator.outputs or not all(_size(tensor) for tensor in operator.inputs[:2]):
        return 0
    left, right, made = _shape(operator.inputs[0]), _shape(operator.inputs[1]), _size(operator.outputs[0])
    if operator.type == "DepthwiseConv2dNative":
        return made * math.prod(right[:2])
    if operator.type in _CONV:
        return made * math.prod(right[:-1])
    if operator.type.endswith("BackpropInput") or operator.type.endswith("BackpropInputV2"):
        return _size(operator.inputs[2]) * math.prod(right[:-1])
    return made * max(left) if operator.type in _PRODUCTS else 0
