"""All operators of integers that can be simulated."""

from collections.abc import Mapping

from edgekit.passes.qat.call import IntegerFunction
from edgekit.passes.qat.operators import hybrid, joins, layers, lookups, moves, pooling, words
from edgekit.waist import graph

BYTES: Mapping[str, IntegerFunction] = {
    **layers.LAYERS,
    "BATCH_MATMUL": layers.product,
    **joins.ROWS,
    **lookups.ROWS,
    **moves.ROWS,
    **pooling.ROWS,
}
"""Those of 8-bit activations, by name."""


def row(operator: graph.Operator, tensors: tuple[graph.Tensor, ...]) -> IntegerFunction | None:
    """What computes an operator, by the dtypes of the activations that it reads and makes; None if nothing does.

    Args:
        operator: one that reads or makes integers.
        tensors: of its graph.
    """
    known = [tensors[tensor] for tensor in (*operator.inputs, *operator.outputs) if tensor >= 0]
    flowing = {tensor.dtype for tensor in known if not tensor.constant_bytes and tensor.scales}
    found: Mapping[str, IntegerFunction] = BYTES if flowing else hybrid.ROWS
    return (words.ROWS if "int16" in flowing else found).get(operator.name)
