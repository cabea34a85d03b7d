"""Layers at an output whose channels differ in range: an age beside a probability, from one dense layer.

One scale cannot hold both. The weights and biases of large channels are divided by powers of 2, and a product
behind the layer, which stays float (`edgekit.backends.tflite.parts`), multiplies again: the same function.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.waist import edit, graph
from edgekit.waist.exact import Wiring
from edgekit.waist.graph import Operator
from edgekit.waist.tensors import Array

FAR_APART = 32.0
"""Ranges of channels that differ by this: three of eight bits are left to the narrowest. Scores of classes do not."""

_CHANNELS = {"CONV_2D": 0, "FULLY_CONNECTED": 0, "DEPTHWISE_CONV_2D": 3}
"""Layers, and the axis of their weights that counts their outputs."""

_HOMOGENEOUS = {0, 1}
"""Fused activations for which f(c·x) is c·f(x): none, and RELU."""

_FLAT = {"RESHAPE", "SQUEEZE", "EXPAND_DIMS"}


def part(model: Any, outputs: dict[str, Array]) -> int:
    """Give channels of such layers one range, in place. Tensors keep their indices, operators do not.

    Args:
        model: object tree of a float file.
        outputs: of it, ``[N, *shape]`` by name, on some samples.

    Returns:
        How many layers were changed.
    """
    wiring = Wiring(graph.describe(model)[0])
    changed = 0
    for output in wiring.graph.outputs:
        layer = _layer(wiring, output)
        seen = outputs.get(wiring.graph.tensors[output].name)
        if layer is None or seen is None:
            continue
        largest = np.abs(seen.reshape(-1, seen.shape[-1])).max(0).astype(np.float64)
        told = largest[largest > 0]
        if told.size > 1 and told.max() >= FAR_APART * told.min():
            changed += _scale(model, wiring, layer, largest, float(told.min()))
    return changed


def _layer(wiring: Wiring, output: int) -> Operator | None:
    """The layer that alone makes an output, its channels last; None if something else does."""
    tensors, tensor, readers = wiring.graph.tensors, output, 0
    made = wiring.producer.get(output)
    while made is not None and len(wiring.readers.get(tensor, [])) == readers:
        if made.name in _CHANNELS:
            return made if made.options.get("fusedActivationFunction", 0) in _HOMOGENEOUS else None
        if made.name not in _FLAT or tensors[made.inputs[0]].shape[-1:] != tensors[output].shape[-1:]:
            return None
        tensor, readers = made.inputs[0], 1
        made = wiring.producer.get(tensor)
    return None


def _scale(model: Any, wiring: Wiring, layer: Operator, largest: NDArray[np.float64], least: float) -> int:
    """Divide the weights of a layer by powers of 2, and multiply behind it."""
    constants = [graph.constant(model, 0, index) if index >= 0 else None for index in layer.inputs[1:3]]
    factors = np.exp2(np.floor(np.log2(np.maximum(largest, least) / least))).astype(np.float32)
    weights, axis, name = constants[0], _CHANNELS[layer.name], wiring.graph.tensors[layer.outputs[0]].name
    if weights is None or weights.dtype != np.float32 or weights.shape[axis] != len(factors):
        return 0
    if len(constants) > 1 and layer.inputs[2] >= 0 and constants[1] is None:
        return 0
    shape = [-1 if k == axis else 1 for k in range(weights.ndim)]
    made = layer.outputs[0]
    edit.reread(model, made, 1, edit.add_constant(model, f"{name}_weights", weights / factors.reshape(shape)))
    if len(constants) > 1 and constants[1] is not None:
        edit.reread(model, made, 2, edit.add_constant(model, f"{name}_bias", constants[1] / factors))
    main, at = model.subgraphs[0], edit.producer(model, made)
    alike = edit.add_tensor(main, f"{name}_alike", wiring.graph.tensors[made].shape)
    main.operators[at].outputs = [alike]
    by = edit.add_constant(model, f"{name}_factors", factors)
    edit.add_operator(model, "MUL", [alike, by], [made], at=at + 1, kind="MulOptions")
    return 1
