"""Parts of different scale that are joined in front of a layer: each is given the scale of the widest.

A CONCATENATION of integers has one range, and a part that spans a hundredth of it keeps two of 256 levels. Where
only convolutions and dense layers read it, a part may be multiplied by a constant and the layer's weights
for it divided by the same: the float network stays as it is, and in integers the product is the part's own
levels under another scale. (Cross-layer equalization, Nagel et al. 2019, across a join.)
"""

from typing import Any

import numpy as np

from edgekit.backends.tflite.ranges import Range
from edgekit.backends.tflite.ready.parts import APART
from edgekit.waist import edit, graph
from edgekit.waist.exact import Wiring
from edgekit.waist.graph import Operator

_LAYERS = {"CONV_2D", "FULLY_CONNECTED"}
"""Layers whose weights ``[out, ..., in]`` meet the channels of their input in the last axis."""


def even_out(model: Any, ranges: dict[int, Range]) -> dict[int, Range] | None:
    """Bring the parts of joins to one scale, in place. Tensors keep their indices, operators do not.

    Args:
        model: object tree of a float file.
        ranges: of its activations, by tensor index.

    Returns:
        The ranges with those of the new file, or None if no join has parts that are apart.
    """
    wiring = Wiring(graph.describe(model)[0])
    made = dict(ranges)
    changed = [_even(model, wiring, join, made) for join in wiring.graph.operators if join.name == "CONCATENATION"]
    edit.sweep(model)
    return made if any(changed) else None


def _even(model: Any, wiring: Wiring, join: Operator, ranges: dict[int, Range]) -> bool:
    readers = wiring.readers.get(join.outputs[0], [])
    shape = wiring.graph.tensors[join.outputs[0]].shape
    layers = [
        o for o in readers if o.name in _LAYERS and o.inputs[0] == join.outputs[0] and _weights(model, o) is not None
    ]
    last = join.options.get("axis", 0) in {-1, len(shape) - 1}
    if not layers or len(layers) < len(readers) or not last or join.outputs[0] in wiring.graph.outputs:
        return False
    if not all(tensor in ranges for tensor in join.inputs) or len(set(join.inputs)) < len(join.inputs):
        return False
    widths = [ranges[tensor][1] - ranges[tensor][0] for tensor in join.inputs]
    factors = [float(np.exp2(np.floor(np.log2(max(widths) / width)))) for width in widths]
    channels = [wiring.graph.tensors[tensor].shape[-1] for tensor in join.inputs]
    if max(factors) < APART or any(_weights(model, layer).shape[-1] != shape[-1] for layer in layers):
        return False
    for slot, factor in enumerate(factors):
        if factor > 1:
            _stretch(model, join, slot, factor, ranges)
    each = np.repeat(factors, channels).astype(np.float32)
    for layer in layers:
        weights = edit.add_constant(model, f"even_weights_{layer.index}", _weights(model, layer) / each)
        edit.reread(model, layer.outputs[0], 1, weights)
    ends = [(ranges[t][0] * f, ranges[t][1] * f) for t, f in zip(join.inputs, factors, strict=True)]
    ranges[join.outputs[0]] = min(low for low, _ in ends), max(high for _, high in ends)
    return True


def _weights(model: Any, layer: Operator) -> Any:
    return graph.constant(model, 0, layer.inputs[1])


def _stretch(model: Any, join: Operator, slot: int, factor: float, ranges: dict[int, Range]) -> None:
    main, tensor = model.subgraphs[0], join.inputs[slot]
    constant = edit.add_constant(model, f"even_{join.index}_{slot}", np.array([factor], np.float32))
    new = edit.add_tensor(main, f"even_part_{join.index}_{slot}", graph.ints(main.tensors[tensor].shape))
    at = edit.producer(model, join.outputs[0])
    edit.add_operator(model, "MUL", [tensor, constant], [new], at=at, kind="MulOptions")
    ranges[new] = ranges[tensor][0] * factor, ranges[tensor][1] * factor
    edit.reread(model, join.outputs[0], slot, new)
