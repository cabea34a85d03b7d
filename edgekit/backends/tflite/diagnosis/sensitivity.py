"""What the error of a single tensor does to the outputs of the float network: it alone is put in, all else is exact."""

from collections.abc import Mapping

import numpy as np

from edgekit.backends.tflite.diagnosis.matching import Side
from edgekit.waist import cutting
from edgekit.waist.causes import level_db, noise
from edgekit.waist.stepwise import Stepwise
from edgekit.waist.tensors import Array

MACS = 3e11
"""Multiply-accumulates spent on all tensors of a network: some ten seconds on two cores."""

OPERATORS = 300_000
"""The most operators that are run again in all: each costs about 0.1 ms to pack and to load."""


def affordable(macs: int, operators: int, samples: int) -> int:
    """On how many samples each of a network's tensors may be tried; 0 if it is too large.

    Args:
        macs: of the network.
        operators: that it has; half of them run again, on average.
        samples: there are.
    """
    if operators**2 / 2 > OPERATORS:
        return 0
    return int(min(samples, MACS / max(1.0, macs * operators / 2)))


class Tails:
    """Runs what lies behind a tensor.

    Args:
        waist: the float network.
        outputs: what it makes of all samples, by tensor index.
        samples: how many of them are used.
    """

    def __init__(self, waist: Side, outputs: Mapping[int, Array], samples: int) -> None:
        self._waist, self._samples = waist, samples
        self._stepwise = Stepwise(waist.model)
        self._wanted = {t: values[:samples] for t, values in outputs.items() if values.dtype == np.float32}

    def __call__(self, values: Mapping[int, Array], tensor: int, changed: Array) -> float | None:
        """SQNR of the outputs in dB if a tensor has other values.

        Args:
            values: the float network's, as far as they are held; its inputs are among them.
            tensor: one of these.
            changed: its other values ``[N, *shape]``.

        Returns:
            None if no output changes.
        """
        behind = self._behind(tensor)
        outputs = [t for t in self._wanted if t in behind]
        given = {t: found[: self._samples] for t, found in values.items() if t not in behind}
        given[tensor] = changed[: self._samples].astype(np.float32)
        indices, _ = cutting.between(self._waist.graph, set(given), [t for t in outputs if t != tensor])
        made = {tensor: given[tensor]}
        if indices:
            operators = [self._waist.graph.operators[k] for k in indices]
            made |= self._stepwise.run_part(operators, given, [t for t in outputs if t != tensor])
        return level_db(noise(self._wanted, {t: made[t] for t in outputs}))

    def _behind(self, tensor: int) -> set[int]:
        """All that depends on a tensor, itself included."""
        found = {tensor}
        for operator in self._waist.graph.operators:
            if found.intersection(operator.inputs):
                found |= set(operator.outputs)
        return found
