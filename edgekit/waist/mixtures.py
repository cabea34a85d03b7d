"""Inputs between two samples, on which networks are less sure, so that ways to quantize them differ more.

Where a classifier is sure, its softmax hides nearly every error, so that a few samples decide: of 1,000 photographs or
keywords 50 have between half and nine tenths of all noise. Half way between two samples it is seldom sure, so that
mixtures tell more (inputs as in "mixup: Beyond Empirical Risk Minimization", Zhang et al., 2018), and there may be more
of them than samples.
"""

from collections.abc import Mapping

import numpy as np

from edgekit.waist.tensors import Array

BETWEEN = 0.3, 0.7
"""The part of the first of two samples in a mixture."""


def mixtures(samples: Mapping[str, Array], count: int) -> dict[str, Array]:
    """Inputs between two of the samples, ``[count, *shape]`` each; those that are no floats are the first's.

    Of one sample, or without floats, there are none.

    Args:
        samples: for each input's name ``[N, *shape]``.
        count: how many.
    """
    held = len(next(iter(samples.values())))
    if held < 2 or not any(values.dtype == np.float32 for values in samples.values()):
        return {}
    random = np.random.default_rng(0)
    first = np.arange(count) % held
    second = (first + random.integers(1, held, count)) % held
    parts = random.uniform(*BETWEEN, count).astype(np.float32)

    def between(values: Array) -> Array:
        """Mixtures of one input."""
        if values.dtype != np.float32:
            return np.asarray(values[first])
        part = parts.reshape(-1, *[1] * (values.ndim - 1))
        found: Array = part * values[first] + (1 - part) * values[second]
        return found

    return {name: between(values) for name, values in samples.items()}
