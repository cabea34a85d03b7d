"""Operators with weights: sums of products in int32, times one float32 factor for each channel (XNNPACK, ``qs8_qc8w``).

A sum is exact in float32 as long as no partial one can reach 2^24. Where it can, the products are split along the
channels that are summed over, and the parts are added in float64.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.passes.qat.call import IntegerCall
from edgekit.passes.qat.rounding import through
from edgekit.trainable.libraries import tf
from edgekit.trainable.operands import Operand
from edgekit.trainable.operators.table import ROWS as FLOAT_ROWS
from edgekit.waist.tensors import Array

EXACT = float(1 << 24)
"""Integers of a smaller magnitude, and all sums on the way to them, are exact in float32."""

ROOM = 1.25
"""How far sums may grow while weights are trained."""


@dataclass(frozen=True)
class SumOfProducts:
    """An operator with weights: its slots, and the axes of the weights that are summed over, the channels last."""

    weights: int
    source: int
    bias: int
    axes: tuple[int, ...]

    def __call__(self, step: IntegerCall) -> Any:
        """Its integers."""
        total = self.sums(step, step.zeroed(self.source))
        if step.call.has(self.bias):
            total = _with_bias(total, step.call.operand(self.bias).values)
        factor = step.grid(self.source).scale * step.grid(self.weights).scale / step.result.scale
        return step.onto(tf.cast(total, tf.float32) * factor)

    def sums(self, step: IntegerCall, given: Operand) -> Any:
        """The sums of products of integers less their zero points, float32 or float64.

        Args:
            step: the operator.
            given: the integers that it reads.
        """
        kernel = step.zeroed(self.weights)
        axis = self.axes[-1]

        def summed(x: Any, w: Any) -> Any:
            return self.product(step, Operand(x, given.sampled), Operand(w, kernel.sampled))

        if step.parts == 1:
            return summed(given.values, kernel.values)
        if kernel.shape[axis] != given.shape[-1]:
            return summed(tf.cast(given.values, tf.float64), tf.cast(kernel.values, tf.float64))
        sizes = [len(part) for part in np.array_split(np.arange(given.shape[-1]), step.parts)]
        pieces = zip(tf.split(given.values, sizes, -1), tf.split(kernel.values, sizes, axis), strict=True)
        return tf.add_n([tf.cast(summed(x, w), tf.float64) for x, w in pieces])

    def product(self, step: IntegerCall, given: Operand, kernel: Operand) -> Any:
        """What the operator makes in TensorFlow of other operands, without its bias and its activation."""
        function = FLOAT_ROWS[step.call.operator.name].function
        return function(step.ready({self.bias: None, self.source: given, self.weights: kernel}))

    def reach(self, integers: Array, most: float) -> float:
        """The greatest magnitude that a sum can come to.

        Args:
            integers: the weights.
            most: the greatest magnitude of what the operator reads, less its zero point.
        """
        return float(np.abs(integers.astype(np.float64)).sum(self.axes).max(initial=0)) * most


def parts(reach: float) -> int:
    """Into how many parts sums are split that reach so far."""
    return max(1, math.ceil(reach * ROOM / EXACT))


def _with_bias(total: Any, bias: Any) -> Any:
    """A sum and its bias, added as int32 (which wraps), as float32: rounded if it is large, as processors do."""
    if bias.dtype == tf.float32 and total.dtype == tf.float32:
        return total + bias
    exact = tf.cast(tf.cast(total, tf.int32) + tf.cast(bias, tf.int32), tf.float32)
    return through(exact, tf.cast(total, tf.float32) + tf.cast(bias, tf.float32))


LAYERS: Mapping[str, SumOfProducts] = {
    "CONV_2D": SumOfProducts(1, 0, 2, (1, 2, 3)),
    "DEPTHWISE_CONV_2D": SumOfProducts(1, 0, 2, (0, 1, 2)),
    "FULLY_CONNECTED": SumOfProducts(1, 0, 2, (1,)),
    "TRANSPOSE_CONV": SumOfProducts(1, 2, 3, (1, 2, 3)),
}
"""Operators with weights, by name."""


def product(step: IntegerCall) -> Any:
    """BATCH_MATMUL of two activations (XNNPACK, ``qs8`` with ``fp32`` requantization)."""
    total = FLOAT_ROWS["BATCH_MATMUL"].function(step.ready({slot: step.zeroed(slot) for slot in (0, 1)}))
    return step.onto(total * (step.grid(0).scale * step.grid(1).scale / step.result.scale))
