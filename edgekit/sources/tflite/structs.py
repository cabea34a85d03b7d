"""Custom operators whose options are structs of LiteRT's C API (``tflite/core/c/builtin_op_data.h``)."""

import struct
from collections.abc import Iterable

from edgekit.rewrites.main_graph import MainGraph, Node

CUSTOM = "CUSTOM:"
"""What the name of a custom operator begins with (`edgekit.waist.graph.Operator`)."""

PADDINGS = {1: 0, 2: 1}
"""SAME and VALID, in the C API's numbers → the schema's."""


def numbers(node: Node, count: int) -> tuple[int, ...]:
    """The first int32 of an operator's custom options; none if it has fewer."""
    content = bytes(() if node.tree.customOptions is None else node.tree.customOptions)
    return struct.unpack_from(f"<{count}i", content) if len(content) >= 4 * count else ()


def floats(main: MainGraph, tensors: Iterable[int]) -> bool:
    """Whether tensors are all there, of float32, of fixed shapes and hold something."""
    return all(t >= 0 and main.is_static(t) and main.dtype(t) == "float32" and 0 not in main.shape(t) for t in tensors)
