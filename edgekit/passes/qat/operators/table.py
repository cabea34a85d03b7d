"""All operators of integers that can be simulated."""

from collections.abc import Mapping

from edgekit.passes.qat.call import IntegerFunction
from edgekit.passes.qat.operators import joins, layers, lookups, moves, pooling

ROWS: Mapping[str, IntegerFunction] = {
    **layers.LAYERS,
    "BATCH_MATMUL": layers.product,
    **joins.ROWS,
    **lookups.ROWS,
    **moves.ROWS,
    **pooling.ROWS,
}
