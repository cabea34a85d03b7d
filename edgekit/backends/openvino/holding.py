"""How the weights of an OpenVINO network are stored, those in the bodies of loops and conditions included."""

from collections import Counter
from collections.abc import Iterator
from math import prod
from typing import Any

from edgekit.backends.openvino.libraries import ov

STORED = {ov.Type.f32: "float32", ov.Type.f16: "float16", ov.Type.i8: "int8", ov.Type.u8: "int8", ov.Type.i4: "int4"}
"""Element types of weights by edgekit's names; NNCF stores int8 weights of either sign."""


def weights(model: Any) -> Counter[str]:
    """Elements of constants that stand for real numbers, by dtype.

    Args:
        model: ``openvino.Model``.
    """
    found: Counter[str] = Counter()
    for node in nodes(model):
        if node.get_type_name() == "Constant" and (stored := STORED.get(node.get_element_type())) is not None:
            found[stored] += prod(node.get_output_shape(0))
    return found


def nodes(model: Any) -> Iterator[Any]:
    """The nodes of an ``openvino.Model`` in order, each followed by those of its bodies."""
    for node in model.get_ordered_ops():
        yield node
        match node.get_type_name():
            case "Loop" | "TensorIterator":
                yield from nodes(node.get_function())
            case "If":
                yield from nodes(node.get_then_body())
                yield from nodes(node.get_else_body())
