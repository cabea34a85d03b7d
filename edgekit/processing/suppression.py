"""Non-maximum suppression: of boxes that overlap the one with the highest score stays."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def overlaps(box: Floats, others: Floats) -> Floats:
    """Intersection over union of a box ``[4]`` with others ``[N, 4]`` (left, top, right, bottom); 0 of empty ones."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    sides = (high - low).clip(min=0)
    common = sides[:, 0] * sides[:, 1]
    union = _area(box[np.newaxis]) + _area(others) - common
    shares: Floats = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return shares


def _area(boxes: Floats) -> Floats:
    sides = (boxes[:, 2:] - boxes[:, :2]).clip(min=0)
    areas: Floats = sides[:, 0] * sides[:, 1]
    return areas


def suppressed(boxes: Floats, scores: Floats, groups: NDArray[np.int64], limit: float, most: int) -> list[int]:
    """Which boxes stay, highest score first (of equal ones the first).

    Greedy (Felzenszwalb et al. 2010): a box goes if one of its group that stays overlaps it by more than ``limit``.

    Args:
        boxes: ``[N, 4]``, left, top, right, bottom.
        scores: ``[N]``.
        groups: ``[N]``, the class of each, or one number for all to suppress across classes.
        limit: of the overlap, 0..1.
        most: how many stay at most.
    """
    waiting = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while waiting.size and len(kept) < most:
        first, waiting = int(waiting[0]), waiting[1:]
        kept.append(first)
        near = (overlaps(boxes[first], boxes[waiting]) > np.float32(limit)) & (groups[waiting] == groups[first])
        waiting = waiting[~near]
    return kept
