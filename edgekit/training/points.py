"""Where a network is held against its teacher: at its outputs, or behind what a softmax or a choice hides of them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from edgekit.trainable.computing import CONTROL
from edgekit.trainable.form import Lifted
from edgekit.trainable.layers import AsItIsLayer
from edgekit.trainable.operators.table import ROWS
from edgekit.waist.graph import Operator

Kind = Literal["classes", "binary", "values"]
"""What numbers are: logits of classes that exclude one another (along the last axis), of a sigmoid, or values."""

MOVES = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS"})
"""Operators that change the shape alone."""

HEADS: dict[str, Kind] = {"SOFTMAX": "classes", "LOG_SOFTMAX": "classes", "LOGISTIC": "binary"}
"""Operators that make scores of logits."""


@dataclass(frozen=True)
class ComparedPoint:
    """A tensor at which networks are compared.

    Attributes:
        tensor: its place in the file's main graph; float.
        kind: what its numbers are.
        factor: by which logits are multiplied before the softmax.
    """

    tensor: int
    kind: Kind = "values"
    factor: float = 1.0


def of(lifted: Lifted) -> list[list[ComparedPoint]]:
    """For each output of a file the points behind it; none if nothing that is trained decides it."""
    makers = {tensor: operator for operator in lifted.main.operators for tensor in operator.outputs}
    return [_behind(lifted, makers, output) for output in lifted.main.outputs]


def _behind(lifted: Lifted, makers: dict[int, Operator], output: int) -> list[ComparedPoint]:
    found, waiting, seen = list[ComparedPoint](), [output], set[int]()
    while waiting:
        tensor = waiting.pop()
        if tensor in seen or tensor not in lifted.tensors or tensor not in makers:
            continue
        seen.add(tensor)
        if lifted.main.tensors[tensor].dtype == "float32" and not _stops(lifted, makers[tensor]):
            found.append(_point(makers, tensor))
        else:
            waiting += reversed(makers[tensor].inputs)
    return list(dict.fromkeys(found))


def _stops(lifted: Lifted, operator: Operator) -> bool:
    """Whether no gradient comes through an operator."""
    if isinstance(lifted.layers.get(operator.index), AsItIsLayer):
        return True
    return operator.name not in CONTROL and not ROWS[operator.name].differentiable


def _point(makers: dict[int, Operator], tensor: int) -> ComparedPoint:
    """The logits of a softmax, a log-softmax or a sigmoid; the tensor itself if it has another maker."""
    found = head(makers, tensor)
    if found is None:
        return ComparedPoint(tensor)
    return ComparedPoint(found.inputs[0], HEADS[found.name], float(found.options.get("beta", 1.0)))


def head(makers: Mapping[int, Operator], tensor: int, between: Collection[str] = MOVES) -> Operator | None:
    """The operator that makes a tensor's scores of logits which another one makes; None if there is none.

    Args:
        makers: by each tensor that is made its operator.
        tensor: the scores.
        between: operators that may stand between these and the tensor.
    """
    maker = makers.get(tensor)
    while maker is not None and maker.name in between:
        maker = makers.get(maker.inputs[0])
    return maker if maker is not None and maker.name in HEADS and maker.inputs[0] in makers else None
