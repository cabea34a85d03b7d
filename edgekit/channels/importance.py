"""What channels are worth: by their weights, by how much they vary, by what the next layer cannot make up for."""

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from edgekit.channels import cutting, linear, second_order
from edgekit.channels.budget import Ranking
from edgekit.channels.cells import Ids
from edgekit.channels.dependencies import Dependencies, Family
from edgekit.channels.site import Place
from edgekit.channels.walking import ActivationWalk
from edgekit.host import events
from edgekit.waist.tensors import Array

Values = NDArray[np.float64]


def by_weights(dependencies: Dependencies, power: int) -> list[Ranking]:
    """By the mean absolute (``power`` 1) or squared (2) weights that make a channel, as a share of the layer's.

    Li et al., "Pruning filters for efficient ConvNets", ICLR 2017.
    """
    return [ranked(family, _norms(dependencies, family, power)) for family in dependencies.families]


def _norms(dependencies: Dependencies, family: Family, power: int) -> Values:
    found: Values = np.sum([_shares(dependencies, family, place, power) for place in family.origins], axis=0)
    return found


def _shares(dependencies: Dependencies, family: Family, place: Place, power: int) -> Values:
    operator, slot, axis = place
    values = np.abs(dependencies.values((operator, slot)).astype(np.float64)) ** power
    along = values.sum(axis=tuple(other for other in range(values.ndim) if other != axis))
    found: Values = summed(family, dependencies.constants[operator, slot][axis], along) / (along.sum() + 1e-30)
    return found


def summed(family: Family, ids: Ids, values: Values) -> Values:
    """What the indices of an axis hold, added up for each channel of a family."""
    numbers = {channel: number for number, channel in enumerate(family.channels)}
    found = np.zeros(len(family.channels))
    for channel, value in zip(ids.tolist(), values.tolist(), strict=True):
        if channel in numbers:
            found[numbers[channel]] += value
    return found


def ranked(family: Family, worth: Values) -> Ranking:
    """The least worth first; what is lost adds up."""
    order = np.argsort(worth, kind="stable")
    losses = np.concatenate([[0.0], np.cumsum(worth[order])])
    return Ranking(family, tuple(family.channels[number] for number in order), losses)


def by_activations(dependencies: Dependencies, samples: Mapping[int, Array]) -> list[Ranking]:
    """By the variance of what is summed over, as a share of that layer's."""
    walk = ActivationWalk(dependencies.tree, samples)
    worth = {number: np.zeros(len(family.channels)) for number, family in enumerate(dependencies.families)}
    for operator in walk.through("how much channels vary"):
        for number, family in enumerate(dependencies.families):
            for contraction in family.contractions:
                at, slot, axis = contraction.place
                read = walk.values.get(operator.inputs[contraction.source]) if at == operator.index else None
                ids = dependencies.constants[at, slot][axis]
                if read is not None and read.shape[-1] == ids.size:
                    varying = read.reshape(-1, ids.size).astype(np.float64).var(axis=0)
                    worth[number] += summed(family, ids, varying) / (varying.sum() + 1e-30)
    return [ranked(family, worth[number]) for number, family in enumerate(dependencies.families)]


def by_error(dependencies: Dependencies, samples: Mapping[int, Array]) -> list[Ranking]:
    """By the error of the network's outputs that is left after a least-squares repair of the next layers.

    Layers that have no such repair (with groups, transposed, recurrent, very wide) lose what their weights make of it.
    """
    grams = second_order.grams(dependencies, samples)
    measuring = second_order.Measuring(dependencies, samples)
    found: dict[int, Ranking] = {}
    for number in sorted(range(len(dependencies.families)), key=lambda one: _first(dependencies.families[one])):
        family = dependencies.families[number]
        events.progress(len(found) / len(dependencies.families), "what the next layers cannot make up for")
        places = list(dict.fromkeys(contraction.place for contraction in family.contractions))
        sums = [
            second_order.Sum(gram, _positions(dependencies, family, place, gram.layer))
            for place in places
            if place[0] in grams
            for gram in (grams[place[0]],)
        ]
        others = [place for place in places if place[0] not in grams]
        fixed = sum((_read(dependencies, family, place) for place in others), np.zeros(len(family.channels)))
        made = second_order.eliminated(sums, fixed)
        order = tuple(family.channels[number] for number in made.order)
        zeroed = {count: cutting.zeroed(dependencies, others, order[:count]) for count in made.matrices}
        found[number] = Ranking(family, order, measuring.measured(made, sums, zeroed, _first(family)))
    return [ranking for _, ranking in sorted(found.items())]


def _first(family: Family) -> int:
    """The first operator that sums over a family's channels."""
    return min((contraction.place[0] for contraction in family.contractions), default=0)


def _read(dependencies: Dependencies, family: Family, place: Place) -> Values:
    """What a layer reads of each channel, by the weights that make it and those that read it, as a share of all."""
    found = _norms(dependencies, family, 2) * _shares(dependencies, family, place, 2)
    return np.asarray(found / (found.sum() + 1e-30))


def _positions(
    dependencies: Dependencies, family: Family, place: Place, layer: linear.Linear
) -> Sequence[NDArray[np.int64]]:
    """The features of a layer that each channel of a family makes up."""
    operator, slot, axis = place
    axes = dependencies.constants[operator, slot]
    where = layer.order[: layer.features].index(axis)
    sizes = [axes[other].size for other in layer.order[: layer.features]]
    features = axes[axis][np.unravel_index(np.arange(prod(sizes)), sizes)[where]]
    return [np.flatnonzero(features == channel) for channel in family.channels]
