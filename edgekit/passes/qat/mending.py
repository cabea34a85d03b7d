"""Scales of weights that serve no kernel, mended before training.

A channel that computes next to nothing gets a scale so small that its bias is no int32 any more: it is cut off there,
and sums wrap to the other sign. A channel of zeros alone gets the scale 0, which XNNPACK refuses.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.passes.qat.held import clusters, pruned
from edgekit.passes.qat.operators.layers import LAYERS, SumOfProducts
from edgekit.passes.qat.specification import Specification
from edgekit.waist import edit, graph
from edgekit.waist.tensors import Array

MOST = float(1 << 30)
"""The greatest magnitude of a bias that leaves room for the sum that it is added to."""

WANTED = float(1 << 20)
"""What the bias of a mended channel comes to: fine enough, and exact in float32."""


def mended(spec: Specification, real: Mapping[int, Array]) -> Specification:
    """A specification whose layers have scales that their biases fit.

    Args:
        spec: as the quantizer made it.
        real: what constants were rounded from, by tensor.
    """
    tree, changed = graph.parse(spec.content, Path("mended.tflite")), False
    for operator in spec.main.operators:
        layer = LAYERS.get(operator.name)
        if layer is not None and spec.on_grid(operator.inputs[layer.source]):
            changed |= _mend(spec, tree, layer, operator, real)
    for tensor, values in real.items():
        changed |= _even_out(spec, tree, tensor, values) or _zero(spec, tree, tensor, values)
    return Specification.read(graph.pack(tree)) if changed else spec


def _even_out(spec: Specification, tree: Any, tensor: int, values: Array) -> bool:
    """Give clustered weights one scale for all channels, so that they go on sharing values; whether any is."""
    described = spec.main.tensors[tensor]
    if described.dtype != "int8" or len(described.scales) < 2 or clusters(values) is None:
        return False
    scale = np.float32(np.abs(values).max() / 127)
    rounded = np.rint(values.astype(np.float32) / scale).astype(np.int8).reshape(described.shape)
    edit.set_constant(tree, tensor, rounded)
    tree.subgraphs[0].tensors[tensor].quantization.scale = np.full(len(described.scales), scale)
    return True


def _zero(spec: Specification, tree: Any, tensor: int, values: Array) -> bool:
    """Give pruned weights the integer of 0, in place, which learned rounding may have left; whether any has another."""
    described = spec.main.tensors[tensor]
    if described.dtype != "int8" or not pruned(values):
        return False
    integers, zero = spec.integers(tensor), described.zero_points[0]
    wrong = (values.reshape(integers.shape) == 0) & (integers != zero)
    if wrong.any():
        edit.set_constant(tree, tensor, np.where(wrong, zero, integers).astype(np.int8))
    return bool(wrong.any())


def _mend(
    spec: Specification, tree: Any, layer: SumOfProducts, operator: graph.Operator, real: Mapping[int, Array]
) -> bool:
    """Give the poor channels of a layer other scales, in place; whether there are any."""
    source, weights = operator.inputs[layer.source], operator.inputs[layer.weights]
    bias = operator.inputs[layer.bias] if len(operator.inputs) > layer.bias else -1
    if not all(spec.is_constant(tensor) and spec.on_grid(tensor) for tensor in (weights, bias)):
        return False
    described = spec.main.tensors[weights]
    scales, step = np.array(described.scales), spec.main.tensors[source].scales[0]
    stored = spec.integers(bias).astype(np.float64)
    poor = (scales <= 0) | (np.abs(stored) >= MOST)
    if scales.size != stored.size or not poor.any():
        return False
    shift = np.asarray(real.get(bias, stored * scales * step), np.float64).reshape(-1)
    better = _better(scales, poor, np.abs(shift) / (WANTED * step))
    shape = [1] * len(described.shape)
    shape[described.axis] = -1
    rounded = np.rint(spec.integers(weights).astype(np.float64) * (scales / better).reshape(shape)).astype(np.int8)
    edit.set_constant(tree, weights, rounded)
    edit.set_constant(tree, bias, np.where(poor, np.rint(shift / (better * step)), stored).astype(np.int32))
    tree.subgraphs[0].tensors[weights].quantization.scale = better.astype(np.float32)
    tree.subgraphs[0].tensors[bias].quantization.scale = (better * step).astype(np.float32)
    return True


def _better(scales: NDArray[np.float64], poor: NDArray[np.bool_], needed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scales of which each poor one is what its bias needs; of a channel without any, the least of the others."""
    least = scales[~poor].min() if (~poor).any() else 1.0
    return np.where(poor, np.where(needed > 0, np.maximum(needed, scales), least), scales)
