"""One operator computed in TensorFlow; also those of the subgraphs that it calls."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgekit.trainable.libraries import tf
from edgekit.trainable.operands import Call, File, NotLiftedError, Operand
from edgekit.trainable.operators import activations
from edgekit.trainable.operators.row import OperatorRow
from edgekit.trainable.operators.table import ROWS

MOST_STEPS = 20_000
"""How many operators a loop may run in all: each becomes a part of TensorFlow's graph."""

CONTROL = frozenset({"WHILE", "IF"})
"""Operators that run other subgraphs."""

FAILURES = (ValueError, TypeError, tf.errors.OpError, NotImplementedError)
"""What TensorFlow raises for operands that a function does not take."""


def row_of(name: str) -> OperatorRow:
    """The row of an operator.

    Raises:
        NotLiftedError: it has none.
    """
    if name not in ROWS:
        raise NotLiftedError(f"{name} has no form in TensorFlow that can be trained")
    return ROWS[name]


def compute(call: Call, *, fused: bool = True) -> list[Operand]:
    """Run an operator.

    Args:
        call: the operator with its operands.
        fused: apply the activation that is fused into it, too.

    Returns:
        Its results. They are known if all operands are.

    Raises:
        NotLiftedError: it has no form in TensorFlow.
    """
    if call.operator.name in CONTROL:
        return _controlled(call)
    row = row_of(call.operator.name)
    if row.of_shapes or all(operand is None or operand.known for operand in call.operands):
        with tf.init_scope():
            return [Operand(np.asarray(made)) for made in _results(call, row, fused=fused)]
    return [Operand(made, call.sampled) for made in _results(call, row, fused=fused)]


def _results(call: Call, row: OperatorRow, *, fused: bool) -> list[Any]:
    try:
        made = row.function(call)
    except FAILURES as error:
        raise NotLiftedError(f"TensorFlow: {str(error).splitlines()[0][:200]}") from error
    results = list(made) if isinstance(made, list | tuple) else [made]
    name = "" if row.recurrent else activations.fused(call.options)
    if fused and name:
        results = [activations.FUNCTIONS[name](result) for result in results]
    return results if row.differentiable else [tf.stop_gradient(result) for result in results]


def subgraph(file: File, part: int, operands: Sequence[Operand]) -> list[Operand]:
    """Run a subgraph of a file; its results.

    Raises:
        NotLiftedError: an operator of it has no form in TensorFlow.
    """
    described = file.graphs[part]
    values: dict[int, Operand] = dict(zip(described.inputs, operands, strict=True))
    for operator in described.operators:
        read = tuple(None if tensor < 0 else _read(file, part, tensor, values) for tensor in operator.inputs)
        results = tuple(described.tensors[tensor] for tensor in operator.outputs)
        made = compute(Call(operator, read, results, file, part))
        values |= dict(zip(operator.outputs, made, strict=True))
    return [_read(file, part, tensor, values) for tensor in described.outputs]


def _read(file: File, part: int, tensor: int, values: Mapping[int, Operand]) -> Operand:
    return values[tensor] if tensor in values else file.constant((part, tensor))


def _controlled(call: Call) -> list[Operand]:
    """A loop whose condition is known at each turn is unrolled; of a branch by samples both sides are computed."""
    operands = [operand for operand in call.operands if operand is not None]
    if call.operator.name == "WHILE":
        return _loop(call, operands)
    condition, rest = operands[0], operands[1:]
    sides = [int(call.options[key]) for key in ("thenSubgraphIndex", "elseSubgraphIndex")]
    if condition.known:
        return subgraph(call.file, sides[0 if np.all(condition.values) else 1], rest)
    both = [subgraph(call.file, side, rest) for side in sides]
    return [_chosen(condition, *pair) for pair in zip(*both, strict=True)]


def _chosen(condition: Operand, one: Operand, other: Operand) -> Operand:
    """By a condition of one element, for each sample."""
    if one.shape != other.shape:
        raise NotLiftedError("its branches give different shapes")
    front = [-1] if condition.sampled else []
    wide = tf.reshape(condition.values, [*front, *[1] * len(one.shape)])
    return Operand(tf.where(wide, one.values, other.values), condition.sampled or one.sampled or other.sampled)


def _loop(call: Call, state: list[Operand]) -> list[Operand]:
    condition, body = (int(call.options[key]) for key in ("condSubgraphIndex", "bodySubgraphIndex"))
    left = MOST_STEPS // max(1, len(call.file.graphs[body].operators))
    while True:
        (going,) = subgraph(call.file, condition, state)
        if not going.known:
            raise NotLiftedError("how often the loop runs depends on the input")
        if not np.all(going.values):
            return state
        if left == 0:
            raise NotLiftedError("the loop runs too often")
        state, left = subgraph(call.file, body, state), left - 1
