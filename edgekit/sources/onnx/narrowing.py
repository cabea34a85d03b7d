"""Integers of more than 32 bits: a file computes with 32, and what goes beyond them wraps round without an error.

Sums need operands near the end of the range, which no app can give to a file either; products do not.
"""

import numpy as np

from edgekit.sources.onnx.network import Network, kind

MULTIPLYING = {"BitShift", "CumProd", "MatMul", "Mul", "Pow", "ReduceProd", "ReduceSumSquare"}
"""Operators whose results are far beyond their operands."""

WIDE = {np.dtype(np.int64), np.dtype(np.uint32), np.dtype(np.uint64)}

INDICES = {
    "Gather": (1,), "GatherElements": (1,), "GatherND": (1,), "OneHot": (0,), "ScatterElements": (1,),
    "ScatterND": (1,),
}  # fmt: skip
"""Operators → the operands that count places: these are below the size of a tensor."""


def warning(network: Network) -> tuple[str, ...]:
    """What is told of products of wide integers that reach an output other than as an index."""
    wanted, products = set(network.outputs), list[str]()
    for node in reversed(network.nodes):
        if not wanted.intersection(node.output):
            continue
        indices = INDICES.get(kind(node), ())
        wanted.update(name for place, name in enumerate(node.input) if place not in indices)
        if kind(node) in MULTIPLYING and network.dtype(node.output[0]) in WIDE:
            products.append(node.output[0])
    if not products:
        return ()
    more = f" and {len(products) - 1} more" if len(products) > 1 else ""
    return (
        f"{products[-1]}{more}: integers of more than 32 bits are multiplied, and the file has 32: what goes beyond"
        " ±2,147,483,647 wraps round; verify with samples of the largest values that occur (--eval)",
    )
