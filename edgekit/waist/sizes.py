"""How large the results of a TFLite file's operators are, whatever the file declares.

LiteRT reckons them anew from constants when it gives tensors memory; a file may declare less.
"""

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import numpy as np

from edgekit.waist import graph
from edgekit.waist.graph import Graph, Operator, Tensor, ints

Shape = tuple[int, ...]

WIDTHS = {"int8": "int8", "uint8": "uint8", "bool": "bool", "int16": "int16", "float16": "float16", "int64": "int64"}
"""Dtypes whose elements do not take four bytes."""

KEEPING = {
    "ABS", "CAST", "CEIL", "COS", "DEQUANTIZE", "ELU", "EXP", "FLOOR", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC",
    "LOG", "LOG_SOFTMAX", "NEG", "QUANTIZE", "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "ROUND", "RSQRT", "SIGN",
    "SIN", "SOFTMAX", "SQRT", "SQUARE", "TANH", "TRANSPOSE", "RESHAPE", "SQUEEZE", "EXPAND_DIMS",
}  # fmt: skip
"""Operators of one operand whose result has as many values."""

JOINING = {"ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "POW", "SQUARED_DIFFERENCE", "SELECT_V2"}
"""Operators that broadcast their operands against one another."""


def _tile(given: Shape, count: Shape) -> Shape:
    return tuple(size * times for size, times in zip(given, count, strict=False))


def _pad(given: Shape, around: Shape) -> Shape:
    return tuple(size + sum(around[2 * axis : 2 * axis + 2]) for axis, size in enumerate(given))


def _resize(given: Shape, size: Shape) -> Shape:
    return (*given[:1], *size, *given[3:])


EXPANDING: dict[str, tuple[int, Callable[[Shape, Shape], Shape]]] = {
    "TILE": (1, _tile),
    "FILL": (0, lambda _, size: size),
    "BROADCAST_TO": (1, lambda _, size: size),
    "PAD": (1, _pad),
    "PADV2": (1, _pad),
    "MIRROR_PAD": (1, _pad),
    "RESIZE_BILINEAR": (1, _resize),
    "RESIZE_NEAREST_NEIGHBOR": (1, _resize),
}
"""Operators whose result a constant makes large → which of their inputs that is, and the result's shape."""


def results(model: Any, parts: tuple[Graph, ...]) -> Iterator[tuple[str, str, Shape, int]]:
    """Kind, name, shape and bytes of an element of every operator's results: as declared, or as constants make them.

    Args:
        model: the object tree.
        parts: its subgraphs.
    """
    for number, part in enumerate(parts):
        yield from _results(model, number, part)


def _results(model: Any, number: int, part: Graph) -> Iterator[tuple[str, str, Shape, int]]:
    known = {tensor.index: tensor.shape for tensor in part.tensors}
    for operator in part.operators:
        shapes = [known[index] for index in operator.inputs if index >= 0]
        reckoned = _reckoned(model, number, operator, shapes)
        for index in operator.outputs:
            if index >= 0:
                known[index] = max(known[index], reckoned, key=_values)
                tensor = part.tensors[index]
                yield operator.name, tensor.name, known[index], np.dtype(WIDTHS.get(tensor.dtype, "float32")).itemsize


def _reckoned(model: Any, subgraph: int, operator: Operator, shapes: list[Shape]) -> Shape:
    if operator.name in KEEPING:
        return shapes[0] if shapes else ()
    if operator.name in JOINING:
        rank = max((len(shape) for shape in shapes), default=0)
        whole = [(1,) * (rank - len(shape)) + shape for shape in shapes]
        return tuple(max(sizes) for sizes in zip(*whole, strict=True))
    if operator.name not in EXPANDING or len(operator.inputs) < 2:
        return ()
    place, shape = EXPANDING[operator.name]
    try:
        constant = graph.constant(model, subgraph, operator.inputs[place])
    except ValueError:  # its bytes do not fill its shape: LiteRT refuses that
        return ()
    return () if constant is None else shape(shapes[0], ints(np.asarray(constant).ravel()))


def misfit(model: Any, subgraph: int, part: Graph) -> Tensor | None:
    """A constant whose values do not fill its shape, which LiteRT would refuse; packed and sparse ones aside."""
    for tensor in part.tensors:
        sparse = model.subgraphs[subgraph].tensors[tensor.index].sparsity is not None
        if not tensor.constant_bytes or sparse or tensor.dtype.startswith(("int4", "uint4", "str", "type")):
            continue
        if prod(tensor.shape) * np.dtype(tensor.dtype).itemsize != tensor.constant_bytes:
            return tensor
    return None


def misscaled(part: Graph) -> Tensor | None:
    """A tensor whose scales are neither one for all nor one for each index of its axis."""
    for tensor in part.tensors:
        scales = len(tensor.scales)
        along = tensor.shape[tensor.axis] if 0 <= tensor.axis < len(tensor.shape) else -1
        if scales > 1 and (scales != along or len(tensor.zero_points) not in {0, 1, scales}):
            return tensor
        if scales == 1 and len(tensor.zero_points) > 1:
            return tensor
    return None


WRITING = {"ASSIGN_VARIABLE", "HASHTABLE_IMPORT", "CALL_ONCE"}
"""Operators that may have no result."""


def resultless(part: Graph) -> Operator | None:
    """An operator that gives nothing, as none does that computes."""
    return next(
        (
            operator
            for operator in part.operators
            if not operator.outputs and operator.name not in WRITING and not operator.name.startswith("CUSTOM")
        ),
        None,
    )


def _values(shape: Shape) -> int:
    return prod(max(0, size) for size in shape)
