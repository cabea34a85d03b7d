"""Weights on the grid of a symmetric quantizer, rounded one after another so that the layer's output errs least.

Each weight that is rounded leaves an error, and the weights of the same output that are not rounded yet take up as
much of it as they can: "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers"
(Frantar et al., 2023), after "Optimal Brain Surgeon" (Hassibi et al., 1993). Its order is that of the largest inputs.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DAMPING = 0.01
"""Added to the diagonal, as a part of its mean: inputs that nearly depend on one another (GPTQ's ``percdamp``)."""

BLOCK = 64
"""Columns that take up the errors of those before them together, for the sake of speed."""

CLIPS = np.linspace(0.25, 1, 61)
"""Shares of an output's largest weight at which clipping to 4 bits is tried."""

Granularity = Literal["channel", "column", "tensor"]
"""What has a scale: each output, each output for all groups alike (BATCH_MATMUL), or all weights together."""

_SHARED = {"channel": (2,), "column": (0, 2), "tensor": (0, 1, 2)}


@dataclass(frozen=True)
class Scheme:
    """How a layer's weights are stored, in 8 or 4 bits, and whether they are learned or rounded to the nearest."""

    bits: int = 8
    granularity: Granularity = "channel"
    learned: bool = True

    @property
    def top(self) -> int:
        """The last level; the first is its negative."""
        return int(2 ** (self.bits - 1) - 1)


def scales(weights: Floats, scheme: Scheme, energy: Floats | None = None) -> Floats:
    """The scale of each output ``[groups, outputs, 1]`` at which a quantizer puts the largest weight on the last level.

    Weights of 4 bits with a scale for each output are clipped first where their error is least: the largest would
    leave too few of 15 levels to the others.

    Args:
        weights: ``[groups, outputs, taps]``.
        scheme: how they are stored.
        energy: the mean square of what each weight is multiplied with ``[groups, taps]``; alike if None.
    """
    largest = np.abs(weights).max(_SHARED[scheme.granularity], keepdims=True)
    if scheme.bits == 4 and scheme.granularity == "channel":
        largest = largest * _least_erring(weights, largest, scheme.top, energy)
    found: Floats = np.maximum(largest, np.finfo(np.float32).tiny) / scheme.top
    return np.broadcast_to(found, (*weights.shape[:2], 1))


def _least_erring(weights: Floats, largest: Floats, top: int, energy: Floats | None) -> Floats:
    """The share of each output's largest weight at which clipping errs least ``[groups, outputs, 1]``."""
    each = np.ones(1) if energy is None else energy[:, None] + DAMPING * energy.mean(1)[:, None, None]
    shares, least = np.ones_like(largest), np.full_like(largest, np.inf)
    for share in CLIPS:
        step = np.maximum(largest * share / top, 1e-30)
        lost = np.clip(np.rint(weights / step), -top, top) * step - weights
        error = (lost**2 * each).sum(2, keepdims=True)
        shares, least = np.where(error < least, share, shares), np.minimum(error, least)
    return shares


def nearest(weights: Floats, scale: Floats, top: int) -> Floats:
    """Each weight on the nearest level."""
    found: Floats = np.clip(np.rint(weights / scale), -top, top) * scale
    return found


def plain(weights: Floats, scheme: Scheme) -> Floats:
    """Each weight on the nearest level of the grid that a quantizer without samples chooses."""
    return nearest(weights, scales(weights, scheme), scheme.top)


def learned(weights: Floats, gram: Floats, scale: Floats, top: int) -> Floats:
    """Weights on the same grid for which the layer's output errs least on samples; zeros stay, which somebody pruned.

    Args:
        weights: ``[groups, outputs, taps]``.
        gram: the mean of ``x·xᵀ`` over what the weights are multiplied with, ``[groups, taps, taps]``.
        scale: as `scales` has it.
        top: the last level.

    Returns:
        The weights, each a level of its output's grid times its scale. Those at and beyond the last level stay there,
        so that a quantizer finds the same scale.

    Raises:
        numpy.linalg.LinAlgError: the samples hold NaN or infinity.
    """
    energy = np.einsum("gtt->gt", gram)
    order = np.argsort(-energy, axis=1, kind="stable")
    sorted_gram = np.take_along_axis(np.take_along_axis(gram, order[:, :, None], 1), order[:, None, :], 2)
    damping = DAMPING * energy.mean(1) + np.finfo(np.float32).tiny
    damped = sorted_gram + damping[:, None, None] * np.eye(gram.shape[1])
    upper = np.linalg.cholesky(damped[:, ::-1, ::-1])[:, ::-1, ::-1]  # damped = upper · upperᵀ
    taken_up = upper / np.einsum("gtt->gt", upper)[:, None]
    levels = np.empty_like(weights)
    sorted_weights = np.take_along_axis(weights, order[:, None, :], 2)
    np.put_along_axis(levels, order[:, None, :], _rounded(sorted_weights, taken_up, scale[..., 0], top), 2)
    near = nearest(weights, scale, top)
    ends = np.abs(weights) >= scale * (top - AT_THE_END)
    found: Floats = np.where(ends, near, levels * scale)
    better = _errors(weights - found, gram) <= _errors(weights - near, gram)  # of few weights it may be worse
    return np.where(better[..., None], found, near)


AT_THE_END = 1e-3
"""Levels short of the last one at which a weight may still be what the scale was taken from."""


def _errors(lost: Floats, gram: Floats) -> Floats:
    """The mean squared error of each output ``[groups, outputs]``."""
    found: Floats = ((lost @ gram) * lost).sum(2)
    return found


def _rounded(weights: Floats, taken_up: Floats, scale: Floats, top: int) -> Floats:
    """Levels ``[groups, outputs, taps]``, in the order of the taps.

    Args:
        weights: in that order.
        taken_up: column j of ``[groups, taps, taps]``: what weight j takes up of the errors of those before it.
        scale: ``[groups, outputs]``.
        top: the last level.
    """
    levels, lost, pruned = np.empty_like(weights), np.empty_like(weights), weights == 0
    taps = weights.shape[2]
    for start in range(0, taps, BLOCK):
        end = min(start + BLOCK, taps)
        wanted = weights[..., start:end] + lost[..., :start] @ taken_up[:, :start, start:end]
        for j in range(start, end):
            rounded = np.clip(np.rint(wanted[..., j - start] / scale), -top, top)
            levels[..., j] = np.where(pruned[..., j], 0, rounded)
            lost[..., j] = weights[..., j] - levels[..., j] * scale
            wanted[..., j - start + 1 :] += lost[..., j, None] * taken_up[:, None, j, j + 1 : end]
    return levels
