"""Weights whose products, added two by two, stay within 16 bits, with as many of their 8 bits as that leaves.

CPUs without VNNI multiply pairs of neighbouring 8-bit integers and add both products in 16 bits, where they are clipped
(the instruction ``vpmaddubsw``). NNCF's guard keeps every weight to ±64. What must not overflow are sums, though:
255·(a + b) ≤ 32767 holds for any two weights of one sign that come to 128 at most, and products of different signs
take away from each other. So a channel's scale follows from its largest weight and its largest sum of neighbours.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.backends.openvino.libraries import MinMaxQuantization, ov

Floats = NDArray[np.float32]

APART = 3
"""How far apart weights lie at most that a kernel may add up: it reads blocks of four, and may begin them anywhere."""

LEVELS = 255
"""Of 8 bits about 0."""

OUTPUTS_FIRST = {
    "Convolution": (0, 2, 3, 1),
    "GroupConvolution": (0, 1, 3, 4, 2),
    "ConvolutionBackpropData": (1, 2, 3, 0),
}
"""Axes of two-dimensional layers' weights, so that output channels come first and the inputs that they add up last."""


@contextmanager
def bounded() -> Iterator[None]:
    """While open, NNCF's weights of half a range get the widest one that overflows nowhere.

    NNCF has no setting for it. Its correction of biases comes after its choice of ranges and must know them, so that
    they are widened in between.
    """
    plain = MinMaxQuantization.apply

    def apply(*given: Any, **named: Any) -> Any:
        made = plain(*given, **named)
        widen(made)
        return made

    MinMaxQuantization.apply = apply
    try:
        yield
    finally:
        MinMaxQuantization.apply = plain


def widen(model: Any) -> None:
    """Set the ranges of a quantized ``openvino.Model``'s weights, in place; of layers that are not known they stay."""
    for node in model.get_ordered_ops():
        if (rows := _rows(node)) is None:
            continue
        quantizer = node.input_value(1).get_node()
        shape = quantizer.input_value(2).get_node().get_output_shape(0)
        most = largest(rows)
        most = np.maximum(most, np.finfo(np.float32).tiny)
        most = most.reshape(shape) if most.size == np.prod(shape) else np.full(shape, most.max())
        for place, end in enumerate((-most, most, -most, most), start=1):
            quantizer.input(place).replace_source_output(ov.op.Constant(np.asarray(end)).output(0))


def largest(rows: Floats) -> Floats:
    """By output channel the largest weight, or the largest sum of two of one sign that lie close.

    Args:
        rows: ``[outputs, inputs]``, what each output adds up, in the order of memory.

    Returns:
        ``[outputs]`` float32: what 127 stands for.
    """
    found: Floats = np.abs(rows).max(1)
    for apart in range(1, min(APART + 1, rows.shape[1])):
        one, other = rows[:, :-apart], rows[:, apart:]
        found = np.maximum(found, np.where(np.sign(one) == np.sign(other), np.abs(one + other), 0).max(1))
    return found


def _rows(node: Any) -> Floats | None:
    """The weights of a layer that NNCF gave half a range, ``[outputs, inputs]``; None for all else."""
    kind = node.get_type_name()
    if kind not in {*OUTPUTS_FIRST, "MatMul"} or node.input_value(1).get_node().get_type_name() != "FakeQuantize":
        return None
    quantizer = node.input_value(1).get_node()
    source = quantizer.input_value(0).get_node()
    source = source.input_value(0).get_node() if source.get_type_name() == "Convert" else source
    if source.get_type_name() != "Constant" or quantizer.get_attributes()["levels"] != LEVELS:
        return None
    weights: Floats = np.asarray(source.data, np.float32)
    if kind == "MatMul":
        if weights.ndim != 2:
            return None
        return weights if node.get_attributes()["transpose_b"] else weights.T
    order = OUTPUTS_FIRST[kind]
    depthwise = kind == "GroupConvolution" and weights.shape[2] == 1  # these add no two products
    if weights.ndim != len(order) or depthwise:
        return None
    outputs = 2 if kind == "GroupConvolution" else 1
    return weights.transpose(order).reshape(int(np.prod([weights.shape[axis] for axis in order[:outputs]])), -1)
