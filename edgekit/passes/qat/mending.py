"""Integers of weights that would not keep what earlier passes have made: shared values, and zeros."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.passes.qat.grids import LIMITS
from edgekit.passes.qat.held import clusters, pruned
from edgekit.passes.qat.specification import KERNELS, Specification
from edgekit.waist import edit, graph
from edgekit.waist.tensors import Array


def mended(spec: Specification, real: Mapping[int, Array]) -> Specification:
    """A specification whose weights share values and are zero where the floats are.

    Args:
        spec: as the quantizer made it.
        real: what constants were rounded from, by tensor.
    """
    tree, changed = graph.parse(spec.content, Path("mended.tflite")), False
    for tensor, values in real.items():
        changed |= _even_out(spec, tree, tensor, values) or _zero(spec, tree, tensor, values)
    return Specification.read(graph.pack(tree)) if changed else spec


def _even_out(spec: Specification, tree: Any, tensor: int, values: Array) -> bool:
    """Give clustered weights one scale for all channels, so that they go on sharing values; whether any is."""
    described = spec.main.tensors[tensor]
    if described.dtype not in KERNELS or len(described.scales) < 2 or clusters(values) is None:
        return False
    scale = np.float32(np.abs(values).max() / LIMITS[described.dtype][1])
    rounded = np.rint(values.astype(np.float32) / scale).astype(np.int8).reshape(described.shape)
    edit.set_constant(tree, tensor, rounded)
    tree.subgraphs[0].tensors[tensor].quantization.scale = np.full(len(described.scales), scale)
    return True


def _zero(spec: Specification, tree: Any, tensor: int, values: Array) -> bool:
    """Give pruned weights the integer of 0, in place, which learned rounding may have left; whether any has another."""
    described = spec.main.tensors[tensor]
    if described.dtype not in KERNELS or not pruned(values):
        return False
    integers, zero = spec.integers(tensor), described.zero_points[0]
    wrong = (values.reshape(integers.shape) == 0) & (integers != zero)
    if wrong.any():
        edit.set_constant(tree, tensor, np.where(wrong, zero, integers).astype(np.int8))
    return bool(wrong.any())
