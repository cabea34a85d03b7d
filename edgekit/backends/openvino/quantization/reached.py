"""How far the inputs of layers go on samples, channel by channel: few come to the end of the range that all share."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from edgekit.backends.openvino.layers import KINDS
from edgekit.backends.openvino.libraries import CORE, EXACT, operators, ov
from edgekit.backends.openvino.tracing import Port
from edgekit.waist.tensors import Array

SAME_VALUES = frozenset({"Convert", "MaxPool", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
"""Operators whose results are values of their first input: the quantizer of a layer's input may stand before them."""

MARGIN = 1.25
"""How much farther from 0 inputs of other samples may go. What goes beyond is clipped as little as it does."""

LARGEST = 255
"""What an input of 8 bits comes to at most; kernels add 128 to signed ones."""


class Reach(NamedTuple):
    """The least and the largest value of each channel ``[channels]``."""

    least: Array
    most: Array

    def integers(self, layer: Any) -> Array | None:
        """What the input of a quantized layer comes to at most, ``[channels]`` of 0..255; None if that is not known."""
        quantizer = layer.input_value(0).get_node()
        while quantizer.get_type_name() in SAME_VALUES:
            quantizer = quantizer.input_value(0).get_node()
        if quantizer.get_type_name() != "FakeQuantize":
            return None
        low, high = (np.asarray(quantizer.input_value(place).get_node().data, np.float64).ravel() for place in (1, 2))
        if low.size > 1 or high <= low:
            return None
        step = (high - low) / (quantizer.get_attributes()["levels"] - 1)
        farthest = np.maximum(self.most.astype(np.float64) * MARGIN, 0)
        steps: Array = np.ceil((farthest - low) / step)
        return steps.clip(0, LARGEST)


def inputs(model: Any, samples: Sequence[Mapping[str, Array]]) -> dict[str, Reach]:
    """The inputs of all layers of a float ``openvino.Model``, by the layers' names; of scalars and vectors none."""
    copy = model.clone()
    ends, layers = {}, {}
    for node in copy.get_ordered_ops():
        source = node.input_value(0) if node.get_type_name() in KINDS else None
        if source is not None and source.get_partial_shape().rank.get_length() > 1:
            channels = _channels(node, len(source.get_partial_shape()))
            key = (source.get_node().get_friendly_name(), source.get_index(), channels)
            layers[node.get_friendly_name()] = key
            ends[key] = source
    if not ends:
        return {}
    results = [operators.result(end) for key, source in ends.items() for end in _ends(source, key[-1])]
    reaches = dict(zip(ends, _over(ov.Model(results, copy.get_parameters()), samples), strict=True))
    return {name: reaches[key] for name, key in layers.items()}


def along(model: Any, axes: Mapping[Port, int], samples: Sequence[Mapping[str, Array]]) -> dict[Port, Reach]:
    """How far tensors of a float ``openvino.Model`` go in each place along an axis of theirs; there is one at least."""
    copy = model.clone()
    nodes = {node.get_friendly_name(): node for node in copy.get_ordered_ops()}
    ends = [_ends(nodes[name].output(index), axis) for (name, index), axis in axes.items()]
    results = [operators.result(end) for both in ends for end in both]
    return dict(zip(axes, _over(ov.Model(results, copy.get_parameters()), samples), strict=True))


def _over(model: Any, samples: Sequence[Mapping[str, Array]]) -> Iterator[Reach]:
    """What a model gives of samples whose results are `_ends`, over all of them."""
    compiled = CORE.compile_model(model, "CPU", EXACT)
    rules, found = (np.minimum, np.maximum) * (len(compiled.outputs) // 2), list[Array]()
    for sample in samples:
        made = compiled(sample)
        new = [np.array(made[port]) for port in compiled.outputs]
        found = [rule(one, other) for rule, one, other in zip(rules, found or new, new, strict=True)]
    return map(Reach, found[::2], found[1::2])


def _channels(layer: Any, rank: int) -> int:
    """The axis of a layer's input that it adds up."""
    if layer.get_type_name() != "MatMul":
        return 1
    return rank - 2 if layer.get_attributes()["transpose_a"] else rank - 1


def _ends(source: Any, channels: int) -> tuple[Any, Any]:
    """The least and the largest value of each channel."""
    others = np.array([axis for axis in range(len(source.get_partial_shape())) if axis != channels], np.int64)
    return operators.reduce_min(source, others), operators.reduce_max(source, others)
