"""Which of several fitted files is best on what none of them was fitted to: samples, and mixtures of two of these.

Samples and mixtures (`edgekit.waist.mixtures`) count alike, since nobody says that mixtures are like what an app sees.
"""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.backends.tflite.judge import SCORED_BYTES, Candidate, Judge, Noise
from edgekit.errors import Unsupported
from edgekit.waist import cost, graph
from edgekit.waist.mixtures import mixtures
from edgekit.waist.tensors import Array

HELD_MACS = 1.2e10
"""Multiply-accumulates for the samples, and again for the mixtures: 30 each for EfficientNet-Lite0, a second or two."""

MOST, LEAST = 2048, 4
"""How many samples there are at most and at least, and how many mixtures."""

DRAWS = 1000
"""Draws of a bootstrap, so that no single input decides."""


def most(path: Path) -> int:
    """How many samples, and how many mixtures, files of a float network are scored on."""
    main = graph.read(path)[0]
    held = sum(4 * int(np.prod(main.tensors[tensor].shape)) for tensor in (*main.inputs, *main.outputs))
    return max(LEAST, min(MOST, int(HELD_MACS / max(cost.count(path).macs, 1)), SCORED_BYTES // max(held, 1)))


class Holdout:
    """Scores files on samples that nothing was fitted to.

    Args:
        judge: of these files.
        samples: for each input's name ``[N, *shape]``.
        count: of mixtures.
    """

    def __init__(self, judge: Judge, samples: Mapping[str, Array], count: int) -> None:
        self._judges = [judge.on(samples)]
        between = mixtures(samples, count)
        if between:
            self._judges.append(judge.on(between))

    def expected_db(self, file: Candidate) -> float:
        """The mean of its SQNR on samples and on mixtures; -inf if it gives NaN on one of them."""
        try:
            return float(np.mean([_expected_db(judge.noise(file.content)) for judge in self._judges]))
        except Unsupported:
            return -np.inf


def _expected_db(noise: Noise) -> float:
    if not len(noise):  # all of these inputs drive the float network to NaN or infinity
        return 0.0
    return float(-10 * np.log10(np.maximum(noise[_draws(len(noise))].sum(1), 1e-12)).mean())


@lru_cache(maxsize=2)  # samples and mixtures, for one file after another
def _draws(count: int) -> NDArray[np.int_]:
    found: NDArray[np.int_] = np.random.default_rng(0).integers(0, count, (DRAWS, count))
    return found
