"""PAD by zeros, folded into "same" padding of the convolutions that read it, if that puts the same zeros there.

TensorFlow puts the odd one of an odd number of zeros behind, PyTorch pads both sides alike: a 3×3 kernel at stride 2 on
224 pixels has 0 and 1 in the one and 1 and 1 in the other. Then there is no such padding, and the PAD stays.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.rewrites.main_graph import MainGraph, Node, Replacement
from edgekit.waist import padding

ROOTS = frozenset({"PAD", "PADV2"})

CONVOLUTIONS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D"})


def replacement(main: MainGraph, node: Node) -> Replacement | None:
    """The readers of a PAD with "same" padding and without it, if that holds for all of them."""
    source, padded = node.inputs[0], node.outputs[0]
    readers = main.readers(padded)
    if padded in main.outputs or not readers or not _by_zeros(main, node):
        return None
    if not all(_is_same(main, node, reader) for reader in readers):
        return None
    new = tuple(
        main.like(reader, (source, *reader.inputs[1:]), reader.outputs, padding=schema.Padding.SAME)
        for reader in readers
    )
    return Replacement((node, *readers), new)


def _by_zeros(main: MainGraph, node: Node) -> bool:
    value = main.constant(node.inputs[2]) if len(node.inputs) > 2 else np.zeros(1)
    return value is not None and not np.any(value)


def _is_same(main: MainGraph, pad: Node, reader: Node) -> bool:
    """Whether "same" padding of a convolution that has none puts what a PAD puts."""
    if reader.name not in CONVOLUTIONS or reader.options["padding"] != schema.Padding.VALID:
        return False
    source, padded = pad.inputs[0], pad.outputs[0]
    amounts = main.constant(pad.inputs[1])
    if amounts is None or amounts.shape != (4, 2) or reader.inputs[0] != padded or padded in reader.inputs[1:]:
        return False
    before, kernel, after = (main.shape(t)[1:3] for t in (source, reader.inputs[1], reader.outputs[0]))
    stride = (reader.options["strideH"], reader.options["strideW"])
    if after != tuple(-(-size // step) for size, step in zip(before, stride, strict=True)):
        return False
    if padding.leaps(reader.options, kernel, before, after):
        return False
    return np.array_equal(amounts, padding.same(reader.options, kernel, before, after))
