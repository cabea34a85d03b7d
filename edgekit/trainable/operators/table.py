"""All operators that can be lifted."""

from collections.abc import Mapping

from edgekit.trainable.operators import (
    activations,
    arithmetic,
    convolutions,
    moves,
    places,
    pooling,
    products,
    recurrent,
    reductions,
)
from edgekit.trainable.operators.row import OperatorRow

MODULES = (activations, arithmetic, convolutions, moves, places, pooling, products, recurrent, reductions)

ROWS: Mapping[str, OperatorRow] = {row.name: row for module in MODULES for row in module.ROWS}
"""Operators by their names in the schema."""
