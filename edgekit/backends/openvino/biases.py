"""Biases for dense layers that have none, so that OpenVINO's kernels of integers compute them in one thread.

Without a bias for each channel, a dense layer of int8 whose result is quantized for the next one gives values that
nobody wrote, up to 1e10 times too large, if it has few rows and one thread: with ``INFERENCE_NUM_THREADS=1``, with a
stream for each core as ``PERFORMANCE_HINT=THROUGHPUT`` has, on a host of one core (openvino 2026.4.1, x86-64 with
AVX-512 VNNI; not with AVX2, nor with a bias that differs from channel to channel). A bias of one value for all channels
is folded away.
"""

from typing import Any

import numpy as np

from edgekit.backends.openvino.libraries import operators, ov

TINY = np.float32(2.0**-100)
"""A bias that no result beside it can hold, and that is not 0."""


def fill(model: Any) -> None:
    """See that the biases of dense layers of two axes differ from channel to channel, by one that changes nothing.

    Args:
        model: float ``openvino.Model`` with fixed shapes, or one of integers that its source has quantized; in place.
    """
    for node in model.get_ordered_ops():
        if node.get_type_name() != "MatMul" or node.get_element_type() != ov.Type.f32 or not _is_constant(node, 1):
            continue
        shape, weights = node.get_output_partial_shape(0), node.input_value(1).get_partial_shape()
        if shape.rank.is_dynamic or len(shape) != 2 or weights.rank.is_dynamic or len(weights) != 2:
            continue
        if shape[1].is_dynamic or (count := shape[1].get_length()) < 2:
            continue
        reader, place = _sum(node)
        held = np.zeros(1, np.float32) if reader is None else np.array(reader.input_value(place).get_node().data)
        if held.size > 1 and (held != held[..., :1]).any():
            continue
        bias = np.array(np.broadcast_to(held, (held.shape[0] if held.ndim == 2 else 1, count)), np.float32)
        first = bias[:, 0]
        bias[:, 0] = np.where(first == 0, TINY, np.nextafter(first, np.float32(np.inf)))
        constant = operators.constant(bias, name=f"{node.get_friendly_name()}/bias_values")
        if reader is not None:
            reader.input(place).replace_source_output(constant.output(0))
            continue
        readers = list(node.output(0).get_target_inputs())
        if any(each.get_node().get_type_name() == "Result" for each in readers):  # whose name is the layer's
            continue
        added = operators.add(node, constant, name=f"{node.get_friendly_name()}/bias")
        for each in readers:
            each.replace_source_output(added.output(0))


def _is_constant(node: Any, place: int) -> bool:
    """Whether an input is computed from constants alone."""
    waiting, seen = [node.input_value(place).get_node()], set[str]()
    while waiting:
        found = waiting.pop()
        if found.get_type_name() != "Constant" and not found.get_input_size():
            return False
        if found.get_name() not in seen:
            seen.add(found.get_name())
            waiting += [value.get_node() for value in found.input_values()]
    return True


def _sum(node: Any) -> tuple[Any, int]:
    """The sum with a constant that alone reads a layer, and the constant's place in it; None if there is none."""
    readers = list(node.output(0).get_target_inputs())
    reader = readers[0].get_node() if len(readers) == 1 else None
    if (
        reader is None
        or reader.get_type_name() != "Add"
        or reader.get_output_partial_shape(0) != node.get_output_partial_shape(0)
    ):
        return None, 0
    place = 1 - readers[0].get_index()
    return (reader, place) if reader.input_value(place).get_node().get_type_name() == "Constant" else (None, 0)
