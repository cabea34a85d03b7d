"""Biases that are no int32 on their channel's scale, and scales of 0.

A channel that computes next to nothing gets a scale so small that its bias is cut off at the end of int32; the sum that
it is added to then wraps to the other sign in XNNPACK, which also refuses the scale 0 of a channel of zeros alone.
Both get a scale that the bias fits: of the weights there was nothing to keep.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.waist import edit, graph

SLOTS = {
    "CONV_2D": (0, 1, 2),
    "DEPTHWISE_CONV_2D": (0, 1, 2),
    "FULLY_CONNECTED": (0, 1, 2),
    "TRANSPOSE_CONV": (2, 1, 3),
}
"""Operators with a bias → the slots of what comes in, of weights and of the bias."""

MOST = 1.5 * (1 << 30)
"""The greatest magnitude of a bias that leaves room for the sum that it is added to. LiteRT's quantizer keeps to 2³⁰;
corrections of biases may go beyond."""

WANTED = float(1 << 20)
"""What a bias that was too large comes to: fine enough, and exact in float32."""


def fit(tree: Any, waist: Path) -> int:
    """Give channels whose bias does not fit other scales, in place.

    Args:
        tree: a network of integers.
        waist: the float network that it was made from: biases that were cut off are read there, by their names.

    Returns:
        How many channels there were.
    """
    main, real = graph.describe(tree)[0], _constants(waist)
    return sum(_fit(tree, main, operator, real) for operator in main.operators if operator.name in SLOTS)


def _constants(waist: Path) -> dict[str, NDArray[np.float64]]:
    tree = graph.load(waist)
    tensors = (tensor for tensor in graph.describe(tree)[0].tensors if tensor.dtype == "float32")
    found = ((tensor.name, graph.constant(tree, 0, tensor.index)) for tensor in tensors)
    return {name: values.astype(np.float64).reshape(-1) for name, values in found if values is not None}


def _fit(tree: Any, main: graph.Graph, operator: graph.Operator, real: dict[str, NDArray[np.float64]]) -> int:
    given, weights, bias = (operator.inputs[s] if s < len(operator.inputs) else -1 for s in SLOTS[operator.name])
    if bias < 0 or len(main.tensors[given].scales) != 1 or main.tensors[bias].dtype != "int32":
        return 0
    kernel, stored = graph.constant(tree, 0, weights), graph.constant(tree, 0, bias)
    scales, step = np.array(main.tensors[weights].scales, np.float64), main.tensors[given].scales[0]
    if kernel is None or stored is None or kernel.dtype != np.int8 or scales.size != stored.size:
        return 0
    poor = (scales <= 0) | (np.abs(stored.astype(np.float64)) >= MOST)
    if not poor.any():
        return 0
    name = main.tensors[bias].name
    known = real[name] if name in real and real[name].size == stored.size else stored * scales * step
    least = scales[~poor].min() if (~poor).any() else 1.0
    needed = np.maximum(np.abs(known) / (WANTED * step), scales)
    better = np.where(poor, np.where(needed > 0, needed, least), scales)
    shape = [1] * kernel.ndim
    shape[main.tensors[weights].axis] = -1
    edit.set_constant(tree, weights, np.rint(kernel * (scales / better).reshape(shape)).astype(np.int8))
    edit.set_constant(tree, bias, np.where(poor, np.rint(known / (better * step)), stored).astype(np.int32))
    tree.subgraphs[0].tensors[weights].quantization.scale = better.astype(np.float32)
    tree.subgraphs[0].tensors[bias].quantization.scale = (better * step).astype(np.float32)
    return int(poor.sum())
