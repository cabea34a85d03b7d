"""TFLite files that LiteRT takes and OpenVINO does not: scalars that are stored as vectors of one element."""

from collections.abc import Iterator
from typing import Any

from edgekit.waist import graph

SCALARS: dict[str, tuple[int, ...]] = {
    "CUMSUM": (1,),
    "FILL": (1,),
    "ONE_HOT": (1, 2, 3),
    "PADV2": (2,),
    "RANGE": (0, 1, 2),
    "SPLIT": (0,),
    "SPLIT_V": (2,),
}
"""Operators → operands that OpenVINO wants as scalars (the shape checks of its own operators).

onnx2tf writes some of them as ``[1]``; LiteRT does not mind. Four of the fourteen ONNX models in
the tests came out so (PADV2 and SPLIT).
"""


def mend(model: Any) -> bool:
    """Take the dimensions off such scalars, in place; whether there were any.

    Args:
        model: object tree of a TFLite file.
    """
    found = list(_wrong(graph.describe(model), model))
    for tensor in found:
        tensor.shape = tensor.shapeSignature = None
    return bool(found)


def _wrong(graphs: tuple[graph.Graph, ...], model: Any) -> Iterator[Any]:
    for main, subgraph in zip(graphs, model.subgraphs, strict=True):
        for operator in main.operators:
            for operand in SCALARS.get(operator.name, ()):
                index = operator.inputs[operand] if operand < len(operator.inputs) else -1
                if index >= 0 and main.tensors[index].shape == (1,) and main.tensors[index].constant_bytes:
                    yield subgraph.tensors[index]
