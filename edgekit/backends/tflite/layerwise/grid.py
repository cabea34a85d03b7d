"""Weights on the grid of a symmetric quantizer, rounded one after another so that the layer's output errs least.

Each weight that is rounded leaves an error, and the weights of the same output that are not rounded yet take up as
much of it as they can: "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers"
(Frantar et al., 2023), after "Optimal Brain Surgeon" (Hassibi et al., 1993). Its order is that of the largest inputs.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DAMPING = 0.01
"""Added to the diagonal, as a part of its mean: inputs that nearly depend on one another (GPTQ's ``percdamp``)."""

BLOCK = 64
"""Columns whose errors are passed on together, for the sake of speed."""


def scales(weights: Floats, bits: int, *, per_channel: bool) -> Floats:
    """The scale of each output ``[groups, outputs, 1]`` as LiteRT's quantizer has it: the largest is the last level."""
    largest = np.abs(weights).max(2, keepdims=True)
    if not per_channel:
        largest = np.full_like(largest, largest.max())
    found: Floats = np.maximum(largest, np.finfo(np.float32).tiny) / (2 ** (bits - 1) - 1)
    return found


def nearest(weights: Floats, bits: int, *, per_channel: bool) -> Floats:
    """Each weight on the nearest level."""
    scale = scales(weights, bits, per_channel=per_channel)
    found: Floats = np.rint(weights / scale) * scale
    return found


def learned(weights: Floats, gram: Floats, bits: int, *, per_channel: bool) -> Floats:
    """Weights on the same grid for which the layer's output errs least on samples.

    Args:
        weights: ``[groups, outputs, taps]``.
        gram: the mean of ``x·xᵀ`` over what the weights are multiplied with, ``[groups, taps, taps]``.
        bits: 8 or 4.
        per_channel: each output has a scale of its own.

    Returns:
        The weights, each a level of its output's grid times its scale. The largest weight of each scale stays on the
        last level, so that a quantizer finds the same scale.

    Raises:
        numpy.linalg.LinAlgError: the samples hold NaN or infinity.
    """
    scale, top = scales(weights, bits, per_channel=per_channel), 2 ** (bits - 1) - 1
    energy = np.einsum("gtt->gt", gram)
    order = np.argsort(-energy, axis=1, kind="stable")
    sorted_gram = np.take_along_axis(np.take_along_axis(gram, order[:, :, None], 1), order[:, None, :], 2)
    damping = DAMPING * energy.mean(1) + np.finfo(np.float32).tiny
    damped = sorted_gram + damping[:, None, None] * np.eye(gram.shape[1])
    passing = np.linalg.cholesky(np.linalg.inv(damped)).transpose(0, 2, 1)
    levels = np.empty_like(weights)
    sorted_weights = np.take_along_axis(weights, order[:, None, :], 2)
    np.put_along_axis(levels, order[:, None, :], _rounded(sorted_weights, passing, scale[..., 0], top), 2)
    ends = np.abs(weights) >= scale * (top - 0.5)
    if per_channel:
        ends = np.zeros_like(ends)
        np.put_along_axis(ends, np.abs(weights).argmax(2, keepdims=True), values=True, axis=2)
    found: Floats = np.where(ends, np.rint(weights / scale), levels) * scale
    plain = nearest(weights, bits, per_channel=per_channel)
    better = _errors(weights - found, gram) <= _errors(weights - plain, gram)  # of few weights it may be worse
    return np.where(better[..., None], found, plain)


def _errors(lost: Floats, gram: Floats) -> Floats:
    """The mean squared error of each output ``[groups, outputs]``."""
    found: Floats = ((lost @ gram) * lost).sum(2)
    return found


def _rounded(left: Floats, passing: Floats, scale: Floats, top: int) -> Floats:
    """Levels ``[groups, outputs, taps]``, in the order of the taps.

    Args:
        left: the weights; overwritten with what is left of them to be rounded.
        passing: row j of ``[groups, taps, taps]``: how an error of weight j is shared out among those after it.
        scale: ``[groups, outputs]``.
        top: the last level.
    """
    levels = np.empty_like(left)
    taps = left.shape[2]
    for start in range(0, taps, BLOCK):
        end = min(start + BLOCK, taps)
        errors = np.empty((*left.shape[:2], end - start))
        for j in range(start, end):
            levels[..., j] = np.clip(np.rint(left[..., j] / scale), -top, top)
            error = (left[..., j] - levels[..., j] * scale) / passing[:, j, j, None]
            left[..., j + 1 : end] -= error[..., None] * passing[:, None, j, j + 1 : end]
            errors[..., j - start] = error
        left[..., end:] -= errors @ passing[:, start:end, end:]
    return levels
