"""Which of NNCF's ways comes closest to a network: tried on some calibration samples, judged on others.

What corrects biases fits them to the samples that it sees. On these it looks better than it is: of LeNet on MNIST
correcting layer by layer came first on its own samples, and was 4 dB worse than no correction on other digits.
"""

from collections.abc import Callable, Iterator
from typing import Any

from edgekit.backends.openvino import control
from edgekit.waist.ordering import evenly
from edgekit.waist.tensors import Array

Way = tuple[str, str]
"""How biases are corrected, and how ranges of activations are found."""

DEFAULT: Way = ("bias-correction", "nncf")
"""What NNCF does if it is told nothing: tried as well, so that it is beaten or taken."""

Sample = dict[str, Array]

FEWEST = 12
"""Samples of which some can be held out."""

MOST_TRIED = 64
"""Samples that calibrate a trial; the file is calibrated on all."""

TIE_DB = 0.3
"""What comes so close to the best is as good, and the plainest of these is taken."""

EVERY = 3
"""One sample of so many judges."""

SATURATING = frozenset({"Sigmoid", "Softmax"})
"""Operators whose results hide what comes before them: of most samples they tell that one class is sure."""

PASSED = frozenset({"Convert", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})


def held_out(samples: list[Sample], *, in_order: bool) -> tuple[list[Sample], list[Sample]]:
    """Samples that calibrate trials, and those that judge them; all do both if they are few.

    If they are ``in_order``, as a network with a state reads them, the last ones judge.
    """
    if len(samples) < FEWEST:
        return samples, samples
    if in_order:
        first = len(samples) - len(samples) // EVERY
        return samples[:first][-MOST_TRIED:], samples[first:]
    rest = [sample for place, sample in enumerate(samples) if place % EVERY]
    return [rest[place] for place in evenly(len(rest), MOST_TRIED)], samples[::EVERY]


def best(
    floats: Any,
    make: Callable[[Way, list[Sample]], Any],
    biases: tuple[str, ...],
    estimators: tuple[str, ...],
    samples: tuple[list[Sample], list[Sample]],
) -> tuple[Way, dict[Way, float]]:
    """The way that comes closest, and the SQNR of each that was tried, in dB; of a single one nothing is tried.

    First all ways to correct biases by the first estimator, then the best of them by the other estimators, and
    `DEFAULT`, which must be clearly better to be taken.

    Args:
        floats: the float ``openvino.Model``.
        make: quantizes it in a way, on samples.
        biases: ways to correct biases, the plainest first.
        estimators: ways to find ranges, the preferred one first.
        samples: what calibrates trials, and what judges them.
    """
    if len(biases) * len(estimators) == 1:
        return (biases[0], estimators[0]), {}
    calibrating, judging = samples
    seen = list(_saturated(floats))
    levels: dict[Way, float] = {}

    def tried(way: Way) -> None:
        made = {"float": _told(floats, seen), "made": _told(make(way, calibrating), seen)}
        levels[way] = control.distance_db(made["float"], made["made"], judging)

    for bias in biases:
        tried((bias, estimators[0]))
    chosen = _plainest(levels)[0]
    for estimator in estimators[1:]:
        tried((chosen, estimator))
    way = _plainest({way: level for way, level in levels.items() if way[0] == chosen})
    if DEFAULT[0] in biases and DEFAULT[1] in estimators and DEFAULT not in levels:
        tried(DEFAULT)
        if levels[DEFAULT] > levels[way] + TIE_DB:
            way = DEFAULT
    return way, levels


def _plainest(levels: dict[Way, float]) -> Way:
    """The first way that comes as close as the best one."""
    return next(way for way, level in levels.items() if level >= max(levels.values()) - TIE_DB)


def _saturated(model: Any) -> Iterator[str]:
    """The operators at the ends of a network that saturate, by name."""
    for result in model.get_results():
        node = result.input_value(0).get_node()
        while node.get_type_name() in PASSED:
            node = node.input_value(0).get_node()
        if node.get_type_name() in SATURATING:
            yield node.get_friendly_name()


def _told(model: Any, saturated: list[str]) -> Any:
    """A copy of a model that also tells what goes into such operators."""
    copy = model.clone()
    nodes = {node.get_friendly_name(): node for node in copy.get_ordered_ops()}
    copy.add_outputs([nodes[name].input_value(0) for name in saturated if name in nodes])
    return copy
