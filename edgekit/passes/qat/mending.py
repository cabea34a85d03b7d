"""Integers of weights that would not keep what is so of the floats: shared values, zeros, copies; and their biases."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.passes.qat.grids import LIMITS
from edgekit.passes.qat.held import clusters, pruned
from edgekit.passes.qat.operators.layers import LAYERS
from edgekit.passes.qat.specification import KERNELS, Specification
from edgekit.waist import edit, graph
from edgekit.waist.tensors import Array


def mended(
    spec: Specification, real: Mapping[int, Array], copies: Iterable[Sequence[int]]
) -> tuple[Specification, dict[int, int]]:
    """A specification whose weights share values and are zero where the floats are, and whose copies are equal.

    Args:
        spec: as the quantizer made it.
        real: what constants were rounded from, by tensor.
        copies: tensors that were rounded from one weight, again and again.

    Returns:
        It, and by each copy the first of them.
    """
    tree, changed = graph.parse(spec.content, Path("mended.tflite")), False
    for tensor, values in real.items():
        changed |= _even_out(spec, tree, tensor, values) or _zero(spec, tree, tensor, values)
    spec = Specification.read(graph.pack(tree)) if changed else spec
    tree, tied = graph.parse(spec.content, Path("mended.tflite")), dict[int, int]()
    for first, *others in copies:
        alike = [tensor for tensor in others if _alike(spec, first, tensor)]
        tied |= dict.fromkeys(alike, first)
        for tensor in alike:
            _copy(spec, tree, first, tensor)
    return (Specification.read(graph.pack(tree)) if tied else spec), tied


def _alike(spec: Specification, first: int, other: int) -> bool:
    """Whether a constant can be the copy of another; not those on a grid of activations."""
    both = [spec.main.tensors[tensor] for tensor in (first, other)]
    one, two = ((t.dtype, t.axis, len(t.scales), t.zero_points) for t in both)
    return one == two and not {first, other} & spec.shared.keys()


def _copy(spec: Specification, tree: Any, first: int, other: int) -> None:
    """Give weights the integers of their first copy, in place, and biases their scale."""
    one, two = spec.main.tensors[first], spec.main.tensors[other]
    if one.dtype not in KERNELS:
        return
    edit.set_constant(tree, other, spec.integers(first).reshape(two.shape))
    if one.scales == two.scales:
        return
    tree.subgraphs[0].tensors[other].quantization.scale = np.array(one.scales, np.float32)
    for bias in _biases(spec, other):
        _follow(spec, tree, bias, np.array(two.scales, np.float64) / np.array(one.scales, np.float64))


def _even_out(spec: Specification, tree: Any, tensor: int, values: Array) -> bool:
    """Give clustered weights one scale for all channels, so that they go on sharing values; whether any is."""
    described = spec.main.tensors[tensor]
    if described.dtype not in KERNELS or len(described.scales) < 2 or clusters(values) is None:
        return False
    scale = np.float32(np.abs(values).max() / LIMITS[described.dtype][1])
    rounded = np.rint(values.astype(np.float32) / scale).astype(np.int8).reshape(described.shape)
    edit.set_constant(tree, tensor, rounded)
    tree.subgraphs[0].tensors[tensor].quantization.scale = np.full(len(described.scales), scale)
    for bias in _biases(spec, tensor):
        _follow(spec, tree, bias, np.array(described.scales, np.float64) / scale)
    return True


def _biases(spec: Specification, weights: int) -> Iterator[int]:
    """The biases of integers that stand on the scale of some weights."""
    for operator in spec.main.operators:
        layer = LAYERS.get(operator.name)
        if layer is None or operator.inputs[layer.weights] != weights or len(operator.inputs) <= layer.bias:
            continue
        bias = operator.inputs[layer.bias]
        if bias >= 0 and spec.is_constant(bias) and spec.main.tensors[bias].scales:
            yield bias


def _follow(spec: Specification, tree: Any, bias: int, ratio: Array) -> None:
    """Let a bias say the same on other scales, in place.

    Args:
        spec: the file.
        tree: its object tree, which is changed.
        bias: a tensor of integers.
        ratio: how many new steps an old one has ``[channels]``.
    """
    described = spec.main.tensors[bias]
    limits = np.iinfo(described.dtype)
    levels = np.clip(np.rint(spec.integers(bias).astype(np.float64) * ratio.astype(np.float64)), limits.min, limits.max)
    edit.set_constant(tree, bias, levels.astype(described.dtype))
    tree.subgraphs[0].tensors[bias].quantization.scale = (np.array(described.scales) / ratio).astype(np.float32)


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
