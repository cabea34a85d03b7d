"""Made-up outputs that lie close to each threshold of a description: a test on them notices when one was changed.

What a network gives for the samples of a build rarely comes near a threshold. These are no outputs of the network, and
only post-processing is tested on them:

| case | what it holds | a change that it shows |
| --- | --- | --- |
| above | all candidates, or one class, score just above the threshold | a higher threshold, another ``max_boxes`` |
| below | all of them score just below it | a lower threshold |
| overlap | boxes that overlap a little more, and a little less, than allowed | ``iou_threshold``, ``suppression`` |

Boxes of the first two cases are empty, so that none suppresses another.
"""

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np

from edgekit.bundles import encoding
from edgekit.bundles.encoding import SURE, Doubles, logit
from edgekit.bundles.facts import BundleFacts, ResultFacts, TensorFacts
from edgekit.nouns.description import Activation, ClassificationOutput, DetectionOutput, SegmentationOutput
from edgekit.waist.tensors import Array

Case = Literal["above", "below", "overlap"]

ORIGINS: dict[Case, str] = {
    "above": "made up: scores just above the threshold",
    "below": "made up: scores just below the threshold",
    "overlap": "made up: boxes that overlap about as much as allowed",
}

NEAR = 2.0**-8
"""How far from a threshold, as a part of it: far more than roundings of `exp`, far less than anyone changes one by."""


class Decision(NamedTuple):
    """One case: all outputs in the source's terms ``[*source_shape]``, by the source's names; reals are float32."""

    case: Case
    outputs: dict[str, Array]


def of(facts: BundleFacts) -> list[Decision]:
    """The cases of a bundle; none if nothing in it is decided by a threshold."""
    deciding = [one for one in facts.results if _decides(one)]
    cases: list[Case] = ["above", "below"] if deciding else []
    if any(isinstance(one.row, DetectionOutput) and one.row.suppression != "none" for one in deciding):
        cases.append("overlap")
    empty: dict[str, Array] = {one.title: np.zeros(one.source_shape, one.seen) for one in facts.outputs}
    found = []
    for case in cases:
        outputs = dict(empty)
        for one in deciding:
            made = _made(one, case)
            outputs |= {tensor.title: _held(tensor, made[tensor.title]) for tensor in one.tensors}
        found.append(Decision(case, outputs))
    return found


def stored(tensor: TensorFacts, values: Array) -> Array:
    """An output in the source's terms in the layout of the file, as the file's dequantized."""
    moved = values if tensor.permutation is None else values.transpose(tensor.permutation)
    return moved.reshape(tensor.shape)


def _decides(result: ResultFacts) -> bool:
    row, shape = result.row, result.tensor.source_shape
    if isinstance(row, SegmentationOutput):
        maps = 1 if len(shape) == 3 else shape[1 if row.layout == "NCHW" else 3]
        return result.tensor.real and maps == 1
    return isinstance(row, DetectionOutput) or (isinstance(row, ClassificationOutput) and row.threshold > 0)


def _held(tensor: TensorFacts, values: Doubles) -> Array:
    """Numbers in the dtype that an app sees."""
    if tensor.real or tensor.seen == "bool":
        return values.astype(tensor.seen)
    limits = np.iinfo(tensor.seen)
    return values.round().clip(limits.min, limits.max).astype(tensor.seen)


def _made(result: ResultFacts, case: Case) -> Mapping[str, Doubles]:
    """What a result is made of: its outputs by the source's names."""
    row, shape = result.row, result.tensor.source_shape
    if isinstance(row, DetectionOutput):
        return _detection(result, row, case)
    if isinstance(row, ClassificationOutput):
        share = _near(row.threshold, above=case != "below", whole=not result.tensor.real)
        return {row.name: _scores(share, math.prod(shape), row.activation).reshape(shape)}
    assert isinstance(row, SegmentationOutput)
    near = [_near(row.threshold, above=above) for above in (case == "below", case != "below")]
    pixels = np.resize(near, shape)
    return {row.name: logit(pixels) if row.activation == "sigmoid" else pixels}


def _near(threshold: float, *, above: bool, whole: bool = False) -> float:
    """A number just above or just below a threshold; a whole one if outputs are such."""
    distance = NEAR * max(threshold, 1 / 16)
    if whole:
        return math.ceil(threshold) if above else math.ceil(threshold) - 1
    return threshold + distance if above else threshold - distance


def _scores(share: float, classes: int, activation: Activation, *, background: bool = False) -> Doubles:
    """What stands in an output ``[classes]`` if the first class has a share, and no other scores more than it must.

    With ``background`` the first score is that of no object, and the share is that of the next.
    """
    found = np.full(classes, -SURE if activation != "none" else min(0.0, share - 1))
    first = int(background)
    if activation == "none":
        found[first] = share
    elif activation == "sigmoid":
        found[first] = logit(np.asarray(share))
    else:
        found[first] = 0.0
        # As few others as leave the first the highest; a share that cannot be the highest leaves the rest to one.
        needed = math.ceil(1 / share) - 1 if share > 0 else classes
        others = [0] if background else list(range(1, 1 + (needed if needed < classes else 1)))
        if share < 1 and len(others) < classes:
            found[others] = np.log((1 - share) / (len(others) * max(share, 1e-9)))
    return found


def _detection(result: ResultFacts, row: DetectionOutput, case: Case) -> Mapping[str, Doubles]:
    """Candidates that score near the threshold, or some that overlap about as much as allowed."""
    count, whole = result.candidates, not result.roles.get("scores", result.tensor).real
    share = _near(row.score_threshold, above=case == "above", whole=whole)
    scores = np.tile(_of_class(0, share, result, row), (count, 1))
    made = _Candidates(np.tile(encoding.empty(row), (count, 1)), scores, np.zeros(count))
    if case == "overlap":
        _overlap(made, result, row)
    return _joined(result, row, made)


def _of_class(number: int, share: float, result: ResultFacts, row: DetectionOutput) -> Doubles:
    """Scores ``[scored]`` of which a class has the highest, a share; the first class if there is no other."""
    if row.activation == "softmax" and not row.background:
        share = max(share, 1 / result.scored)  # the highest of so many is no less
    found = _scores(share, result.scored, row.activation, background=row.background)
    first = int(row.background)
    if first + number < len(found):
        found[[first, first + number]] = found[[first + number, first]]
    return found


def _overlap(made: "_Candidates", result: ResultFacts, row: DetectionOutput) -> None:
    """Give four candidates one centre: a box, one that it hides, one that it does not, and one of another class."""
    place = encoding.together(row, result.candidates, result.size)
    chosen = place.candidates
    given = np.tile(np.concatenate([place.centre, place.size]), (len(chosen), 1))
    heights = [1.0, _near(row.iou_threshold, above=True), _near(row.iou_threshold, above=False), 1.0]
    given[:, 3] *= np.clip(heights, 1e-6, 1)[: len(chosen)]
    made.boxes[chosen] = encoding.encoded(given, chosen, row, result.size)
    least = _near(row.score_threshold, above=True)
    for i, candidate in enumerate(chosen):
        other = int(i == 3)
        made.classes[candidate] = other
        share = (1 + row.score_threshold) / 2 - other * (1 - row.score_threshold) / 4
        made.scores[candidate] = _of_class(other, max(least, share), result, row)


class _Candidates(NamedTuple):
    """As they stand in outputs: boxes ``[N, 4]``, scores ``[N, scored]``, numbers of classes ``[N]``."""

    boxes: Doubles
    scores: Doubles
    classes: Doubles


def _joined(result: ResultFacts, row: DetectionOutput, made: _Candidates) -> Mapping[str, Doubles]:
    """Candidates as the outputs that hold them, by the source's names."""
    count = len(made.boxes)
    if row.scores is None:
        sure = np.full((count, int(row.objectness)), 1 if row.activation == "none" else SURE)
        parts = {"name": np.concatenate([made.boxes, sure, made.scores], 1)}
    else:
        parts = {"name": made.boxes, "scores": made.scores}
    turned = {key: values.T if row.transposed else values for key, values in parts.items()}
    turned |= {"classes": made.classes, "count": np.array(count)}
    return {tensor.title: np.resize(turned[key], tensor.source_shape) for key, tensor in result.roles.items()}
