"""The range of each activation for which the *outputs* err least, found one tensor after another.

Ways to choose ranges look at each activation alone, and are tried on all of them at once. Here one range changes at a
time, the file is made and run, and the change stays if the outputs come closer: first the ranges that the other ways
choose for this tensor, then narrower and wider ones (coordinate descent). The file itself is run, so that rounding,
clipping and kernels are those of the device's runtime. Samples that were not searched with check what is gained.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from edgekit.backends.tflite import engines
from edgekit.backends.tflite.judge import Candidate, Judge
from edgekit.backends.tflite.layerwise import holdout
from edgekit.backends.tflite.layerwise.fitting import LEAST, Fold
from edgekit.backends.tflite.layerwise.holdout import Holdout
from edgekit.backends.tflite.plan import QuantizationSettings
from edgekit.backends.tflite.ranges import METHODS, SAME_RANGE, Range, right_factors
from edgekit.errors import EndlessError
from edgekit.host import events
from edgekit.waist import graph
from edgekit.waist.ordering import evenly
from edgekit.waist.tensors import Array

SEARCHED = "searched"
"""The name of this way to choose ranges."""

STEPS = 0.8, 0.9, 1.1, 1.25
"""By what a range is made narrower and wider."""

GAIN_DB = 0.1
"""What a change must gain to stay."""

CHECKED_GAIN_DB = 0.3
"""What all changes must gain together on samples that check: less is chance."""

ROUNDS = 3
"""The most walks over all tensors; the first tries what other ways choose as well."""

SAMPLES = 128
"""The most samples that are searched with, and the most mixtures of two."""

ALIKE = 1e-3
"""Ends of two ranges that differ by no more than this part of their width are the same."""

FIXED = SAME_RANGE | {"MAX_POOL_2D", "SOFTMAX", "LOGISTIC", "TANH", "L2_NORMALIZATION"}
"""Operators whose result has its input's range, or one that the runtime decides."""


def searched(
    found: Candidate,
    judge: Judge,
    inputs: Mapping[str, Array],
    fold: Fold,
    settings: QuantizationSettings,
    *,
    most: int,
) -> tuple[Candidate, tuple[str, ...]]:
    """A file with ranges that were searched for, and notes; the file as it was if none is better.

    Args:
        found: the file to start from.
        judge: of files.
        inputs: all samples, for each input's name ``[N, *shape]``.
        fold: which of them may be searched with, and which check.
        settings: how it was quantized.
        most: the most files that are made: work is counted and not timed, so that every host finds the same ranges.
    """
    if len(fold.fit) < LEAST:
        return found, ("ranges were not searched for: too few samples, or each goes on from the one before",)
    count = holdout.most(found.plan.path)
    places = evenly(len(fold.fit), min(SAMPLES, count))
    shown, checked = ({n: v[rows] for n, v in inputs.items()} for rows in (fold.fit[places], fold.check))
    start = _Trials(found, Holdout(judge, shown, min(SAMPLES, count)), settings, most)
    ranges = start.descend()
    if ranges is None:
        return found, ("ranges were searched for: none is better than those at the start",)
    plan = replace(found.plan, ranges=lambda _: ranges)
    made = judge(engines.quantized(found.engine, plan, SEARCHED, settings), found.engine, SEARCHED, plan)
    check = Holdout(judge, checked, count)
    if check.expected_db(made) <= check.expected_db(found) + CHECKED_GAIN_DB:
        return found, ("ranges were searched for: they are no better on other samples",)
    return made, ()


@dataclass
class _Trials:
    """Files with other ranges, ``most`` of them, scored on samples."""

    found: Candidate
    score: Holdout
    settings: QuantizationSettings
    most: int

    def descend(self) -> dict[int, Range] | None:
        """The best ranges of all activations that a file with them was made of; None if those at the start are."""
        plan = self.found.plan
        ranges, changed, tried = dict(plan.ranges(self.found.method)), False, 0
        level, choices = self.score.expected_db(self.found), {name: plan.ranges(name) for name in METHODS}
        main = graph.read(plan.path)[0]
        tensors, centred = _free(main, ranges), right_factors(main)
        for turn in range(ROUNDS):
            settled = True
            for tensor in tensors:
                others = [chosen[tensor] for chosen in choices.values() if tensor in chosen] if not turn else []
                for proposal in _proposals(ranges[tensor], others, centred=tensor in centred):
                    if tried >= self.most:
                        return ranges if changed else None
                    events.progress(tried / self.most, f"searching ranges, {level:.1f} dB")
                    tried += 1
                    reached = self._level(ranges | {tensor: proposal})
                    if reached > level + GAIN_DB:
                        ranges[tensor], level, changed, settled = proposal, reached, True, False
            if settled:
                break
        return ranges if changed else None

    def _level(self, ranges: dict[int, Range]) -> float:
        plan = replace(self.found.plan, ranges=lambda _: ranges)
        try:
            content = engines.quantized(self.found.engine, plan, SEARCHED, self.settings)
            return self.score.expected_db(replace(self.found, content=content))
        except EndlessError:
            raise
        except engines.FAILURES:  # a kernel refuses these ranges
            return -np.inf


def _free(main: graph.Graph, ranges: Mapping[int, Range]) -> list[int]:
    """Activations whose range is free, those of inputs first."""
    made = [tensor for operator in main.operators if operator.name not in FIXED for tensor in operator.outputs]
    return [tensor for tensor in (*main.inputs, *made) if tensor in ranges]


def _proposals(current: Range, others: list[Range], *, centred: bool) -> Iterator[Range]:
    """Ranges to try in place of one, each once; ``centred``: the zero point is to stay where it is."""
    tried, (low, high) = [current], current
    ends = [(low * step, high * step) for step in STEPS]
    ends += [
        end for step in STEPS for end in ((low * step, high), (low, high * step)) if low < 0 < high and not centred
    ]
    for one in (*others, *ends):
        if not any(_alike(one, other) for other in tried):
            tried.append(one)
            yield one


def _alike(one: Range, other: Range) -> bool:
    width = max(other[1] - other[0], 1e-30)
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) <= ALIKE * width
