"""What is said of an operator: a row of the table."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgekit.trainable.operands import Call
from edgekit.trainable.stock import Stock

Function = Callable[[Call], Any]
"""Computes an operator: a tensor for its only result, or a list with one for each."""

ALL_SLOTS = range(1 << 16)


@dataclass(frozen=True)
class OperatorRow:
    """An operator of TFLite.

    Attributes:
        name: in the schema.
        function: computes it in TensorFlow for many samples at once; raises `NotLiftedError` for a form that it
            does not know. An activation fused into the operator is not its work.
        layer: the layer of tf-keras that it is, if it is one; None else.
        weights: slots of operands that are weights if they are constant.
        learnable: slots of operands that are weights if they are constant and look learned
            (`edgekit.trainable.weights.looks_learned`): scales and shifts, but no epsilons and no masks.
        differentiable: whether its gradient is of use.
        of_shapes: what it makes depends on the shapes of its operands alone.
        recurrent: its option of a fused activation belongs to its cell.
    """

    name: str
    function: Function
    layer: Callable[[Call], Stock | None] | None = None
    weights: tuple[int, ...] = ()
    learnable: "tuple[int, ...] | range" = ()
    differentiable: bool = True
    of_shapes: bool = False
    recurrent: bool = False
