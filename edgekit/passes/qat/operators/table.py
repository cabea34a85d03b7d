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


def ways(operator: graph.Operator, tensors: tuple[graph.Tensor, ...]) -> tuple[IntegerFunction, ...]:
    """What may compute an operator, by the dtypes of the activations that it reads and makes, the usual one first.

    Args:
        operator: one that reads or makes integers.
        tensors: of its graph.

    Returns:
        None at all if nothing does; several if more than one kernel may run it.
    """
    known = [tensors[tensor] for tensor in (*operator.inputs, *operator.outputs) if tensor >= 0]
    flowing = {tensor.dtype for tensor in known if not tensor.constant_bytes and tensor.scales}
    if not flowing:
        return hybrid.ways(operator, tensors)
    found: Mapping[str, IntegerFunction] = words.ROWS if "int16" in flowing else BYTES
    return (found[operator.name],) if operator.name in found else ()
