"""Operators that LiteRT itself computes while a network is trained: exact whatever their kernel does, and slow.

Their grids stay as they are, so that the file that runs need not change.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from edgekit.passes.qat.call import IntegerCall
from edgekit.passes.qat.rounding import looked_up, through
from edgekit.trainable.computing import compute
from edgekit.trainable.layers import by_litert
from edgekit.trainable.libraries import tf
from edgekit.trainable.operands import Call, NotLiftedError, Operand
from edgekit.waist import graph
from edgekit.waist.stepwise import Stepwise
from edgekit.waist.tensors import Array

ELEMENTWISE = frozenset({
    "ABS", "COS", "ELU", "EXP", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOG", "LOGISTIC", "NEG", "QUANTIZE",
    "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "RSQRT", "SIN", "SQRT", "SQUARE", "TANH",
})  # fmt: skip
"""Operators of one operand that treat each integer alike, wherever it stands: a table of all integers says all."""


class AsItIs:
    """An operator as it stands in the file, with the gradient of its float form."""

    def __init__(self, stepwise: Stepwise) -> None:
        self._stepwise = stepwise

    def __call__(self, step: IntegerCall) -> Any:
        """Its results; integers are carried as float32."""
        exact = self._looked_up(step) if _tabular(step) else self._run(step.call)
        smooth = self._smooth(step)
        results = []
        for number, (values, grid) in enumerate(zip(exact, step.made, strict=True)):
            if smooth is None or smooth[number].dtype != tf.float32:
                results.append(tf.stop_gradient(values))
                continue
            beside = smooth[number] if grid is None else smooth[number] / grid.lying() + grid.zero_point
            if grid is not None:
                beside = tf.clip_by_value(beside, float(grid.low), float(grid.high))
            results.append(through(values, tf.where(tf.math.is_finite(beside), beside, tf.zeros_like(beside))))
        return results[0] if len(results) == 1 else results

    def _looked_up(self, step: IntegerCall) -> list[Any]:
        places = step.call.stacked(0) - float(step.grid(0).low)
        return [looked_up(tabulated(self._stepwise, step), places)]

    def _smooth(self, step: IntegerCall) -> list[Any] | None:
        """The same in real numbers; None if it has no such form."""
        operands = tuple(
            operand
            if operand is None or grid is None
            else Operand(tf.cast(grid.real(tf.cast(operand.values, tf.float32)), tf.float32), operand.sampled)
            for operand, grid in zip(step.call.operands, step.read, strict=True)
        )
        try:
            return [made.values for made in compute(replace(step.call, operands=operands))]
        except NotLiftedError:
            return None

    def _run(self, call: Call) -> list[Any]:
        """By LiteRT; what does not depend on the samples is given for each of them."""
        given = [slot for slot, tensor in enumerate(call.operator.inputs) if tensor >= 0 and not _held(call, tensor)]
        tensors = [call.operator.inputs[slot] for slot in given]
        dtypes = [call.file.graphs[0].tensors[tensor].dtype for tensor in tensors]

        def run(*values: Any) -> list[Array]:
            """Its results ``[N, *shape]``; sample by sample if it keeps a state, which begins anew with each."""
            every = [slice(row, row + 1) for row in range(len(values[0]))] if _keeps_state(call) else [slice(None)]
            made = [
                self._stepwise.run(call.operator, {t: v[rows] for t, v in zip(tensors, values, strict=True)})
                for rows in every
            ]
            return [np.concatenate([part[result.index] for part in made]) for result in call.results]

        rows = [
            call.stacked(slot) if call.sampled else tf.convert_to_tensor(call.operand(slot).values)[None]
            for slot in given
        ]
        stacked = [tf.cast(row, dtype) for row, dtype in zip(rows, dtypes, strict=True)]
        results = by_litert(run, stacked, call.results)
        return results if call.sampled else [values[0] for values in results]


def _keeps_state(call: Call) -> bool:
    """Whether what one sample leaves behind would be there for the next: each begins anew."""
    return any(tensor >= 0 and call.file.graphs[call.part].tensors[tensor].variable for tensor in call.operator.inputs)


def _held(call: Call, tensor: int) -> bool:
    """Whether a tensor's values lie in the file, or are a state."""
    variable = call.file.graphs[call.part].tensors[tensor].variable
    return variable or graph.is_constant(call.file.tree, call.part, tensor)


def _tabular(step: IntegerCall) -> bool:
    read = step.read[0]
    return step.call.operator.name in ELEMENTWISE and read is not None and None not in step.made and read.high <= 255


def tabulated(stepwise: Stepwise, step: IntegerCall) -> Any:
    """What an operator makes of each integer of its operand's grid, as float32."""
    operator, grid = step.call.operator, step.grid(0)
    described = stepwise.graph.tensors[operator.inputs[0]]
    codes = np.arange(grid.low, grid.high + 1).astype(described.dtype)
    size = int(np.prod(described.shape))
    count = -(-len(codes) // size)
    values = np.resize(codes, (count, *described.shape))
    made = stepwise.run(operator, {described.index: values})[operator.outputs[0]]
    return tf.constant(made.reshape(-1)[: len(codes)].astype(np.float32))
