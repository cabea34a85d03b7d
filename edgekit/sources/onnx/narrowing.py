"""Integers of more than 32 bits: a file computes most with 32, and what goes beyond them wraps round without an error.

Sums need large operands, or many of them, and products do not. So sums are told only if no samples show how far they
go: a count of tokens is one, too, and so is the place of a class in a table.
"""

from pathlib import Path

import numpy as np

from edgekit.sources.onnx.network import Network, kind
from edgekit.waist import graph

MULTIPLYING = {"BitShift", "CumProd", "MatMul", "Mul", "Pow", "ReduceProd", "ReduceSumSquare"}
"""Operators whose results are far beyond their operands."""

SUMMING = {"Add", "CumSum", "ReduceL1", "ReduceSum", "Sub", "Sum"}
"""Operators whose results may be beyond their operands if what they add up is computed."""

PAIRS = {"Add", "Sub", "Sum"}
"""Those that may add a constant only, which is small beside the range."""

WIDE = {np.dtype(np.int64), np.dtype(np.uint32), np.dtype(np.uint64)}

INDICES = {
    "Gather": (1,), "GatherElements": (1,), "GatherND": (1,), "OneHot": (0,), "ScatterElements": (1,),
    "ScatterND": (1,),
}  # fmt: skip
"""Operators → the operands that count places: these are below the size of a tensor."""


def warning(network: Network, *, sampled: bool) -> tuple[str, ...]:
    """What is told of products of wide integers that reach an output other than as an index.

    Args:
        network: the prepared network.
        sampled: whether the conversion is judged on the user's samples.
    """
    growing = MULTIPLYING if sampled else MULTIPLYING | SUMMING
    wanted, products = set(network.outputs), list[str]()
    for node in reversed(network.nodes):
        if not wanted.intersection(node.output):
            continue
        indices = INDICES.get(kind(node), ())
        wanted.update(name for place, name in enumerate(node.input) if place not in indices)
        computed = [name for name in node.input if name and name not in network.constants]
        grows = kind(node) in growing and (kind(node) not in PAIRS or len(computed) > 1)
        if grows and network.dtype(node.output[0]) in WIDE:
            products.append(node.output[0])
    if not products:
        return ()
    more = f" and {len(products) - 1} more" if len(products) > 1 else ""
    return (
        f"{products[-1]}{more}: integers of more than 32 bits are multiplied or added up, and the file has 32: what "
        "goes beyond ±2,147,483,647 wraps round; verify with samples of the largest values that occur (--eval)",
    )


def narrows(waist: Path) -> bool:
    """Whether a file computes integers of 32 bits; it may hold no other arithmetic than some that it has for 64."""
    return any(
        subgraph.tensors[index].dtype == "int32"
        for subgraph in graph.read(waist)
        for operator in subgraph.operators
        if operator.name in ARITHMETIC
        for index in operator.outputs
    )


ARITHMETIC = {"ADD", "CUMSUM", "MUL", "POW", "REDUCE_PROD", "RIGHT_SHIFT", "SUB", "SUM", "BATCH_MATMUL", "CAST"}
"""What such operators are in a file; a CAST narrows integers for any other."""
