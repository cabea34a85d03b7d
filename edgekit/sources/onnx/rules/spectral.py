"""Fourier transforms as products with constant matrices; sizes must be constants."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekit.sources.onnx.network import Builder, attributes

Array = NDArray[Any]


def _basis(length: int, kept: int, *, inverse: bool) -> tuple[Array, Array]:
    """Cos and sin of ±2πkn/length, each [length, kept], float32; the inverse is scaled by 1/length."""
    angle = 2 * np.pi * np.outer(np.arange(length), np.arange(kept)) / length
    scale = 1 / length if inverse else 1
    sign = 1 if inverse else -1
    return (np.cos(angle) * scale).astype(np.float32), (sign * np.sin(angle) * scale).astype(np.float32)


def _matrices(size: int, length: int, *, inverse: bool, onesided: bool) -> tuple[Array, Array]:
    """Cos and sin matrices [size, results] of a transform of ``length``, for an axis of ``size``.

    What the axis lacks counts as zeros, what it has beyond is cut off.
    """
    cos, sin = _basis(length, length // 2 + 1 if onesided else length, inverse=inverse)
    taken = min(size, length)
    rows = [(0, size - taken), (0, 0)]
    return np.pad(cos[:taken], rows), np.pad(sin[:taken], rows)


def dft(builder: Builder, node: onnx.NodeProto) -> bool:
    """DFT (17 and 20), also inverse, one-sided and of another length, by matrix products over the axis.

    Not the one-sided inverse: ONNX's definition and ONNX Runtime 1.26 make two different things of it.
    """
    shape = builder.network.shape(node.input[0])
    attrs = attributes(node)
    constants = [builder.network.constants.get(name) if name else None for name in [*node.input[1:], "", ""][:2]]
    if shape is None or any(v is None and n for v, n in zip(constants, node.input[1:], strict=False)):
        return False
    axis = int(constants[1].reshape(-1)[0]) if constants[1] is not None else attrs.get("axis", _axis(builder))
    axis %= len(shape)
    inverse, onesided = bool(attrs.get("inverse", 0)), bool(attrs.get("onesided", 0))
    length = int(constants[0].reshape(-1)[0]) if constants[0] is not None else shape[axis]
    if (inverse and onesided) or not 0 < length <= MAX_LENGTH or shape[axis] > MAX_LENGTH:
        return False
    order = [*(a for a in range(len(shape) - 1) if a != axis), axis]  # without the last axis: real, imaginary
    parts = [_part(builder, node.input[0], i, shape, order) for i in range(shape[-1])]
    matrices = _matrices(shape[axis], length, inverse=inverse, onesided=onesided)
    cos, sin = (builder.const(matrix) for matrix in matrices)
    real, imaginary = builder.op("MatMul", parts[0], cos), builder.op("MatMul", parts[0], sin)
    if len(parts) == 2:
        real = builder.op("Sub", real, builder.op("MatMul", parts[1], sin))
        imaginary = builder.op("Add", imaginary, builder.op("MatMul", parts[1], cos))
    back = [order.index(a) for a in range(len(shape) - 1)]
    sizes = [*(matrices[0].shape[1] if a == axis else size for a, size in enumerate(shape[:-1])), 1]
    pieces = [builder.reshape(builder.transpose(value, back), sizes) for value in (real, imaginary)]
    builder.op("Concat", *pieces, axis=len(shape) - 1, out=node.output[0])
    return True


MAX_LENGTH = 4096
"""Longest transform: its two matrices have as many rows and columns."""


def _axis(builder: Builder) -> int:
    """The axis that is not said: DFT-17's first after the batch, DFT-20's last before the parts."""
    return 1 if builder.network.opset < 20 else -2


def _part(builder: Builder, value: str, index: int, shape: tuple[int, ...], order: list[int]) -> str:
    """The real (0) or imaginary (1) part, with the transformed axis last."""
    rank = len(shape) - 1
    part = builder.reshape(builder.slice(value, rank, index, index + 1), shape[:-1])
    return builder.transpose(part, order) if order != sorted(order) else part


def stft(builder: Builder, node: onnx.NodeProto) -> bool:
    """STFT of a real signal as one strided convolution with windowed cosines and sines."""
    signal, step, window, frame = [*node.input, "", ""][:4]
    shape = builder.network.shape(signal)
    known = builder.network.constants
    if shape is None or step not in known or (window and window not in known) or (frame and frame not in known):
        return False
    if len(shape) == 3 and shape[-1] == 2:
        return False  # a complex signal, of which ONNX Runtime 1.26 makes numbers of its own
    length = int(known[frame].reshape(-1)[0]) if frame else len(known[window])
    shaped = known[window] if window else np.ones(length, np.float32)
    kept = length // 2 + 1 if attributes(node).get("onesided", 1) else length
    cos, sin = _basis(length, kept, inverse=False)
    filters = np.concatenate([cos.T, sin.T]) * shaped[None, :]
    wave = builder.reshape(signal, [shape[0], 1, shape[1]])
    stride = int(known[step].reshape(-1)[0])
    bins = builder.op("Conv", wave, builder.const(filters[:, None, :].astype(np.float32)), strides=[stride])
    frames = (shape[1] - length) // stride + 1
    split = builder.reshape(bins, [shape[0], 2, kept, frames])
    builder.transpose(split, [0, 3, 2, 1], out=node.output[0])
    return True
