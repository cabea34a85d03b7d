"""Operators that read constants alone, as constants: a phone need not compute at each run what never changes.

So is what a tensor's shape alone decides. What keeps a file small stays an operator: weights that are unpacked, and
a few numbers that are spread over a large map.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from edgekit.rewrites.main_graph import MainGraph, Node, Replacement
from edgekit.rewrites.proof import Excerpt
from edgekit.waist.tensors import Array

ROOTS = None
"""Any operator."""

COMPACT = frozenset({"DENSIFY", "DEQUANTIZE"})
"""What unpacks weights that a file holds in half their size or less."""

PLAIN = frozenset({"bool", "float32", "int32", "int64"})
"""Dtypes whose values mean what they say; a scale of integers would have to be carried over."""

SPARE_BYTES = 1 << 16
"""What a result may take however small its operands are."""


def replacement(main: MainGraph, node: Node) -> Replacement | None:
    """The results of an operator as constants, if they are no outputs and take no more room than what it reads."""
    if node.fixed or node.name in COMPACT or not all(_may_be_constant(main, tensor) for tensor in node.outputs):
        return None
    values = _of_shape(main, node) or _computed(main, node)
    if not values:
        return None
    same = {tensor: main.add_constant(tensor, "folded", value) for tensor, value in values.items()}
    return Replacement((node,), same=same)


def _may_be_constant(main: MainGraph, tensor: int) -> bool:
    return tensor not in main.outputs and main.dtype(tensor) in PLAIN


def _of_shape(main: MainGraph, node: Node) -> dict[int, Array] | None:
    """What SHAPE and RANK tell; their inputs' shapes are in the file, and stay what they are."""
    if node.name not in {"SHAPE", "RANK"} or not main.is_static(node.inputs[0]):
        return None
    shape = main.shape(node.inputs[0])
    told: Any = np.array(shape if node.name == "SHAPE" else len(shape), main.dtype(node.outputs[0]))
    return {node.outputs[0]: told}


def _computed(main: MainGraph, node: Node) -> dict[int, Array] | None:
    """What LiteRT computes from constants; None if an operand is none, or the result is large."""
    operands = [tensor for tensor in node.inputs if tensor >= 0]
    if not operands or not all(main.is_constant(tensor) for tensor in operands):
        return None
    most = max(SPARE_BYTES, sum(main.size_bytes(tensor) for tensor in operands))
    if sum(main.size_bytes(tensor) for tensor in node.outputs) > most:
        return None
    with TemporaryDirectory() as folder:
        found = Excerpt(main, (node,), (), node.outputs, Path(folder) / "constant.tflite").run({})
    return {tensor: found[tensor] for tensor in node.outputs}
