"""Whether a training made a network better, or only looks so on the few samples that judge."""

from math import sqrt

import numpy as np

from edgekit.waist.tensors import Array


def gain(before: Array, after: Array) -> tuple[float, float] | None:
    """By how much the loss of the same samples fell on average, and the standard error of that mean.

    Samples are compared pair by pair, so that hard ones do not hide a gain which all have. One sample has no spread to
    tell it from chance: its error is as large as what it shows.

    Args:
        before: the loss of each sample ``[n]``, n ≥ 1.
        after: the same of what was trained.

    Returns:
        None if a loss is infinite or no number.
    """
    with np.errstate(invalid="ignore"):
        apart = before.astype(np.float64) - after.astype(np.float64)
    if not np.isfinite(apart).all():
        return None
    mean = float(apart.mean())
    return mean, abs(mean) if len(apart) == 1 else float(apart.std(ddof=1)) / sqrt(len(apart))
