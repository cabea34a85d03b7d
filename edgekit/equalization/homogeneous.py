"""What leaves channels where they are, each times the same positive number, and how far a ReLU6 lets them go."""

from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edgekit.waist import graph

CAP = 6.0
"""Of a ReLU6."""

HEADROOM = 1.25
"""How far below its cap a channel stays on samples that is divided: others may have larger values."""

HOMOGENEOUS = {"RELU", "RELU6", "LEAKY_RELU", "MAX_POOL_2D", "AVERAGE_POOL_2D", "MEAN", "PAD", "RESHAPE"}
"""Operators for which a channel times a positive number is the result's channel times that number."""

_RELU6 = schema.ActivationFunctionType.RELU6

SCALABLE = {schema.ActivationFunctionType.NONE, schema.ActivationFunctionType.RELU, _RELU6}
"""What may be fused with any of them, and with the first layer."""


def capped(main: graph.Graph) -> frozenset[int]:
    """Tensors that a ReLU6 makes, by itself or fused with another operator."""
    return frozenset(operator.outputs[0] for operator in main.operators if is_capped(operator))


def is_capped(operator: graph.Operator) -> bool:
    """Whether an operator's values end at `CAP`."""
    return operator.name == "RELU6" or operator.options.get("fusedActivationFunction", 0) == _RELU6


def keeps_channels(model: Any, main: graph.Graph, operator: graph.Operator) -> bool:
    """Whether the last axis still counts the channels, or several places of all of them one after another."""
    before, after = (main.tensors[tensor].shape for tensor in (operator.inputs[0], operator.outputs[0]))
    if not before or not after:
        return False
    if operator.name == "RESHAPE":
        return after[-1] % before[-1] == 0
    if operator.name == "MEAN":
        axes = graph.constant(model, 0, operator.inputs[1])
        if axes is None or any(int(axis) % len(before) == len(before) - 1 for axis in axes.ravel()):
            return False
    return before[-1] == after[-1]
