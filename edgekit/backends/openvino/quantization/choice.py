"""Which of NNCF's ways comes closest to a network: tried on some calibration samples, judged on others.

What corrects biases fits them to the samples that it sees. On these it looks better than it is: of LeNet on MNIST
correcting layer by layer came first on its own samples, and was 4 dB worse than no correction on other digits.

Mixtures of the samples that judge count as well (`edgekit.waist.mixtures`), each as much as a sample. Of 23
spectrograms of a wake word 8 judge, which is too few: they took ranges 6 dB worse than others on 22 more.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from edgekit.backends.openvino.quantization import control
from edgekit.waist.mixtures import mixtures
from edgekit.waist.ordering import evenly
from edgekit.waist.tensors import Array

Way = tuple[str, str]
"""How biases are corrected, and how ranges of activations are found."""

DEFAULT: Way = ("bias-correction", "nncf")
"""What NNCF does if it is told nothing: tried as well, so that it is beaten or taken."""

Sample = dict[str, Array]

Maker = Callable[[Way, list[Sample]], Any]
"""Quantizes a network in a way, on samples."""

FEWEST = 12
"""Samples of which some can be held out."""

MOST_TRIED = 64
"""Samples that calibrate a trial; the file is calibrated on all."""

TIE_DB = 0.3
"""What comes so close to the best is as good, and the plainest of these is taken."""

AGAIN = 2
"""Ways that are tried again with another form of a network: those that come closest as it was read."""

EVERY = 3
"""One sample of so many judges."""

BETWEEN_MACS = 1.2e10
"""Multiply-accumulates for mixtures in each trial: 30 of them for EfficientNet-Lite0."""

FEWEST_BETWEEN = 4
"""Mixtures that judge however large the network is."""

JOINING = frozenset({"Concat"})

HIDING = JOINING | {"Sigmoid", "Softmax"}
"""Operators whose results hide what comes before them.

Saturated ones tell of most samples that one class is sure; and where boxes in pixels are joined with scores, the boxes
have all of the energy.
"""

PASSED = frozenset({"Convert", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})


def held_out(samples: list[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Samples that calibrate trials, and those that judge them; all do both if they are few."""
    if len(samples) < FEWEST:
        return samples, samples
    rest = [sample for place, sample in enumerate(samples) if place % EVERY]
    return [rest[place] for place in evenly(len(rest), MOST_TRIED)], samples[::EVERY]


class Trials(NamedTuple):
    """What calibrates trials, and what judges them: samples, and mixtures ``between`` them."""

    calibrating: list[Sample]
    judging: list[Sample]
    between: list[Sample]


def between(judging: list[Sample], macs: float) -> list[Sample]:
    """Mixtures of samples that judge, by the multiply-accumulates of one run: `control.SAMPLES` at most."""
    count = max(FEWEST_BETWEEN, min(control.SAMPLES, int(BETWEEN_MACS / max(macs, 1.0))))
    mixed = [judging[place] for place in evenly(len(judging), 2 * count)]
    made = mixtures({name: np.stack([sample[name] for sample in mixed]) for name in mixed[0]}, count)
    return [{name: values[place] for name, values in made.items()} for place in range(count if made else 0)]


def trials(samples: list[Sample], macs: float) -> Trials:
    """What calibrates and judges trials of a network of so many multiply-accumulates; see `held_out`."""
    calibrating, judging = held_out(samples)
    return Trials(calibrating, judging, between(judging, macs))


class HeldOutJudge:
    """What tells the SQNR of quantized models in dB, the mean of both sets that judge by their numbers of samples.

    Args:
        floats: the float ``openvino.Model``.
        samples: what judges.
    """

    def __init__(self, floats: Any, samples: Trials) -> None:
        self._seen = _hidden(floats)
        sets = [found for found in (samples.judging, samples.between) if found]
        self._judges = [control.closeness(_told(floats, self._seen), found) for found in sets]
        self._counts = [min(len(found), control.SAMPLES) for found in sets]

    def __call__(self, made: Any) -> float:
        """The SQNR of a quantized ``openvino.Model``."""
        told = _told(made, self._seen)
        return float(np.average([judge(told) for judge in self._judges], weights=self._counts))


def again(floats: Any, make: Maker, ways: Iterable[Way], samples: Trials) -> dict[Way, float]:
    """The SQNR in dB of another form of a network in some ways; see `best`."""
    judge = HeldOutJudge(floats, samples)
    return {way: judge(make(way, samples.calibrating)) for way in ways}


def closest(levels_db: Mapping[Way, float], most: int) -> list[Way]:
    """The ways that come closest, the best first."""
    return sorted(levels_db, key=levels_db.__getitem__, reverse=True)[:most]


def best(
    floats: Any,
    make: Maker,
    biases: tuple[str, ...],
    estimators: tuple[str, ...],
    samples: Trials,
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
    judge, levels = HeldOutJudge(floats, samples), dict[Way, float]()

    def tried(way: Way) -> None:
        """Quantize in a way and note its SQNR in dB."""
        levels[way] = judge(make(way, samples.calibrating))

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


def _hidden(model: Any) -> list[tuple[str, int]]:
    """What operators at the ends of a network hide, saturating or joining: their names, and which of their inputs.

    What goes into a sigmoid before a Concat is not told: scores of a detector are mostly background, whose logits
    matter to nobody.
    """
    waiting = [(result.input_value(0).get_node(), HIDING) for result in model.get_results()]
    found, seen = dict[tuple[str, int], tuple[str, int]](), set[str]()
    while waiting:
        node, hiding = waiting.pop()
        kind, values = node.get_type_name(), node.input_values()
        if node.get_friendly_name() in seen:
            continue
        seen.add(node.get_friendly_name())
        for place, value in enumerate(values if kind in hiding else ()):
            port = value.get_node().get_friendly_name(), value.get_index()
            if value.get_element_type().is_real() and value.get_node().get_type_name() != "Constant":
                found.setdefault(port, (node.get_friendly_name(), place))
        waiting += [(value.get_node(), JOINING) for value in values if kind in JOINING]
        waiting += [(value.get_node(), hiding) for value in values[:1] if kind in PASSED]
    return list(found.values())


def _told(model: Any, hidden: list[tuple[str, int]]) -> Any:
    """A copy of a model that also tells what is hidden."""
    copy = model.clone()
    nodes = {node.get_friendly_name(): node for node in copy.get_ordered_ops()}
    copy.add_outputs([nodes[name].input_value(place) for name, place in hidden if name in nodes])
    return copy
