"""TFLite files that LiteRT takes and OpenVINO does not: scalars that are stored as vectors of one element."""

from collections.abc import Iterator
from pathlib import Path
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


def mended(waist: Path, folder: Path) -> Path:
    """The waist itself, or a copy in ``folder`` where such scalars have no dimensions.

    Raises:
        InputError: it is no TFLite file, or it is damaged.
    """
    model = graph.load(waist)
    found = list(_wrong(model, graph.read(waist)))
    if not found:
        return waist
    for tensor in found:
        tensor.shape = tensor.shapeSignature = None
    copy = folder / waist.name
    copy.write_bytes(graph.pack(model))
    return copy


def _wrong(model: Any, graphs: tuple[graph.Graph, ...]) -> Iterator[Any]:
    for main, subgraph in zip(graphs, model.subgraphs, strict=True):
        for operator in main.operators:
            for operand in SCALARS.get(operator.name, ()):
                index = operator.inputs[operand] if operand < len(operator.inputs) else -1
                if index >= 0 and main.tensors[index].shape == (1,) and main.tensors[index].constant_bytes:
                    yield subgraph.tensors[index]
