"""Weights whose products, added two by two, stay within 16 bits, with as many of their 8 bits as that leaves.

CPUs without VNNI multiply pairs of neighbouring 8-bit integers and add both products in 16 bits, where they are clipped
(the instruction ``vpmaddubsw``). NNCF's guard keeps every weight to ±64. What must not overflow are sums, though:
255·(a + b) ≤ 32767 holds for any two weights of one sign that come to 128 at most, and products of different signs
take away from each other. Nor do most channels of an input come to 255: of the range that all share each needs a
part, which samples tell (`reached`). So a channel's scale follows from its largest weight and its largest sum of two
products.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.backends.openvino.layers import KINDS
from edgekit.backends.openvino.libraries import MinMaxQuantization, ov
from edgekit.backends.openvino.quantization.reached import LARGEST, Reach

Floats = NDArray[np.float32]

APART = 3
"""How far apart weights lie at most that a kernel may add up: it reads blocks of four, and may begin them anywhere."""

LEVELS = 255
"""Of 8 bits about 0."""

MOST = 2**15 - 1 - LARGEST
"""What two products may come to before weights are rounded, each by half a step at most."""


@contextmanager
def bounded(reaches: Mapping[str, Reach]) -> Iterator[None]:
    """While open, NNCF's weights of half a range get the widest one that overflows nowhere.

    NNCF has no setting for it. Its correction of biases comes after its choice of ranges and must know them, so that
    they are widened in between.

    Args:
        reaches: how far layers' inputs go, by the layers' names; any other input may come to 255.
    """
    plain = MinMaxQuantization.apply

    def apply(*given: Any, **named: Any) -> Any:
        """NNCF's own choice of ranges, whose weights are widened before its correction of biases reads them."""
        made = plain(*given, **named)
        widen(made, reaches)
        return made

    MinMaxQuantization.apply = apply
    try:
        yield
    finally:
        MinMaxQuantization.apply = plain


def widen(model: Any, reaches: Mapping[str, Reach]) -> None:
    """Set the ranges of a quantized ``openvino.Model``'s weights, in place; of layers that are not known they stay."""
    for node in model.get_ordered_ops():
        if (rows := _rows(node)) is None:
            continue
        quantizer = node.input_value(1).get_node()
        shape = quantizer.input_value(2).get_node().get_output_shape(0)
        reach = reaches.get(node.get_friendly_name())
        integers = reach.integers(node) if reach is not None else None
        most = largest(rows, None if integers is None else _by_row(node, integers, rows.shape))
        most = np.maximum(most, np.finfo(np.float32).tiny)
        most = most.reshape(shape) if most.size == np.prod(shape) else np.full(shape, most.max())
        for place, end in enumerate((-most, most, -most, most), start=1):
            quantizer.input(place).replace_source_output(ov.op.Constant(np.asarray(end)).output(0))


def largest(rows: Floats, reached: Any = None) -> Floats:
    """By output channel what 127 stands for: its largest weight, or more if two products that lie close come to more.

    Args:
        rows: ``[outputs, inputs]``, what each output adds up, in the order of memory.
        reached: what each input comes to at most, 0..255, ``[outputs or 1, inputs]``; all to 255 if it is not known.

    Returns:
        ``[outputs]`` float32.
    """
    found: Floats = np.abs(rows).max(1)
    products = rows * np.asarray(LARGEST if reached is None else reached, np.float32)
    for apart in range(1, min(APART + 1, rows.shape[1])):
        one, other = products[:, :-apart], products[:, apart:]
        both = np.where(np.sign(one) == np.sign(other), np.abs(one + other), 0).max(1)
        found = np.maximum(found, both * np.float32(LEVELS // 2 / MOST))
    return found


def _by_row(node: Any, channels: Any, shape: tuple[int, ...]) -> Any:
    """What is known of a layer's input channels, for each of its rows of weights ``[outputs or 1, inputs]``."""
    groups = node.input(1).get_shape()[0] if node.get_type_name().startswith("Group") else 1
    each = channels.reshape(groups, -1)
    return np.tile(each, shape[1] // each.shape[1]).repeat(shape[0] // groups if groups > 1 else 1, 0)


def _rows(node: Any) -> Floats | None:
    """The weights of a layer that NNCF gave half a range, ``[outputs, inputs]``; None for all else."""
    if node.get_type_name() not in KINDS or node.input_value(1).get_node().get_type_name() != "FakeQuantize":
        return None
    quantizer = node.input_value(1).get_node()
    source = quantizer.input_value(0).get_node()
    source = source.input_value(0).get_node() if source.get_type_name() == "Convert" else source
    if source.get_type_name() != "Constant" or quantizer.get_attributes()["levels"] != LEVELS:
        return None
    weights: Floats = np.asarray(source.data, np.float32)
    if node.get_type_name() == "MatMul":
        if weights.ndim != 2:
            return None
        return weights if node.get_attributes()["transpose_b"] else weights.T
    groups, made, read = _order(node.get_type_name())
    if groups and weights.shape[read] == 1:  # depthwise layers add no two products
        return None
    order = (*range(groups), made, *range(2 + groups, weights.ndim), read)
    return weights.transpose(order).reshape(int(np.prod(weights.shape[:groups])) * weights.shape[made], -1)


def _order(kind: str) -> tuple[int, int, int]:
    """How many axes of a convolution's weights count groups, and which ones output and input channels."""
    groups = int(kind.startswith("Group"))
    both = (groups, groups + 1)
    return (groups, *(both[::-1] if kind.endswith("BackpropData") else both))
