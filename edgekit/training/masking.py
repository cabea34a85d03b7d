"""Which weights become zero: exactly as many as are asked for, in a pattern or anywhere.

Kernels lie as in the file: output channels first and, but for depthwise convolutions, input channels last.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.waist.tensors import Array

Pattern = Literal["unstructured", "2:4", "block"]

GROUP = 4
"""How many weights a 2:4 pattern counts, and how many output channels a block takes."""

Mask = NDArray[np.bool_]


def fits(shape: tuple[int, ...], pattern: Pattern) -> bool:
    """Whether a pattern can lie in a kernel."""
    if pattern == "2:4":
        return shape[-1] % GROUP == 0
    return pattern == "unstructured" or shape[0] % GROUP == 0


def choose(
    kernels: Sequence[Array], share: float, *, pattern: Pattern, each: bool, factors: Sequence[float] | None = None
) -> list[Mask]:
    """Masks with False at weights that become zero.

    Args:
        kernels: float32, each of its own shape.
        share: of zeros in all, rounded to whole weights or blocks; of a 2:4 pattern half of it is the share of groups
            that have one already, so that 0.5 is the whole pattern.
        pattern: where they may lie.
        each: the same share of each kernel, not of all together.
        factors: by which magnitudes of each kernel are multiplied before all are compared; None: kernels are compared
            by the share of themselves that a weight is (`relative`), since magnitudes alone say nothing across them: a
            network computes the same if one is scaled up and the next down, and one that reads 0..255 begins with a
            small one.

    Returns:
        For each kernel a mask of its shape.
    """
    if pattern == "2:4":
        return [two_of_four(kernel, share) for kernel in kernels]
    scores = [_scores(kernel, pattern) for kernel in kernels]
    if factors is not None:
        scores = [score * factor for score, factor in zip(scores, factors, strict=True)]
    elif not each:
        scores = [relative(score) for score in scores]
    if each:
        kept = [largest(score, share) for score in scores]
    else:
        whole = largest(np.concatenate([score.reshape(-1) for score in scores]), share) if scores else np.ones(0, bool)
        ends = np.cumsum([score.size for score in scores])[:-1]
        kept = [part.reshape(s.shape) for part, s in zip(np.split(whole, ends), scores, strict=True)]
    return [_spread(mask, kernel.shape, pattern) for mask, kernel in zip(kept, kernels, strict=True)]


def largest(scores: Array, share: float) -> Mask:
    """True at all but the smallest: ``round(share · size)`` are False, ties in their order."""
    count = round(share * scores.size)
    mask = np.ones(scores.size, bool)
    mask[np.argsort(scores.reshape(-1), kind="stable")[:count]] = False
    return mask.reshape(scores.shape)


def relative(magnitudes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The square of each over the sum of the squares of all that are no smaller; the order stays.

    "Layer-adaptive Sparsity for the Magnitude-based Pruning" (Lee et al., 2021).
    """
    squares, order = np.square(magnitudes).reshape(-1), np.argsort(magnitudes.reshape(-1), kind="stable")
    left = np.empty(squares.shape)
    left[order] = squares[order][::-1].cumsum()[::-1]
    return np.asarray((squares / np.maximum(left, np.finfo(np.float64).tiny)).reshape(magnitudes.shape))


def _scores(kernel: Array, pattern: Pattern) -> NDArray[np.float64]:
    wide = np.abs(kernel.astype(np.float64))
    if pattern == "unstructured":
        return wide
    blocks = wide.reshape(-1, GROUP, *kernel.shape[1:])
    return np.asarray(np.sqrt(np.square(blocks).mean(1)))


def _spread(mask: Mask, shape: tuple[int, ...], pattern: Pattern) -> Mask:
    return mask if pattern == "unstructured" else np.repeat(mask, GROUP, 0).reshape(shape)


def two_of_four(kernel: Array, share: float = 0.5) -> Mask:
    """Zeros among the input channels: of each four the two smallest at a share of 1/2, fewer of them below that."""
    groups = np.abs(kernel.astype(np.float64)).reshape(-1, GROUP)
    order = np.argsort(groups, axis=-1, kind="stable")
    mask = np.ones(groups.shape, bool)
    np.put_along_axis(mask, order[:, :2], values=False, axis=-1)
    back = len(groups) * 2 - round(min(share, 0.5) * groups.size)
    losses = np.take_along_axis(groups, order[:, 1:2], -1).reshape(-1)
    for row in np.argsort(-losses, kind="stable")[:back]:
        mask[row, order[row, 1]] = True
    return mask.reshape(kernel.shape)
