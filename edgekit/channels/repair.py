"""Weights solved anew by least squares, so that each layer of a cut network makes what it made before.

Layer by layer in the order of execution: what the layer reads in the cut network, behind layers that are repaired
already, against what it made in the whole one, before its activation (He et al., "Channel pruning for accelerating
very deep neural networks", ICCV 2017). No labels, no gradients: one pass over the samples.
"""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from edgekit.channels import least_squares, linear
from edgekit.channels.cutting import Rest
from edgekit.channels.dependencies import Dependencies
from edgekit.channels.least_squares import PIECE, Moments, parts
from edgekit.channels.linear import Linear
from edgekit.channels.walking import ActivationWalk
from edgekit.waist import edit, graph
from edgekit.waist.tensors import Array

HELD_OUT = 4
"""Every so-manieth sample chooses the ridge."""


def repair(rest: Rest, tree: Any, samples: Mapping[int, Array]) -> int:
    """Solve the layers of a cut network anew, in place.

    Args:
        rest: what is left of which network.
        tree: the cut one (`edgekit.channels.cutting.cut`'s).
        samples: inputs by tensor index, ``[N, *shape]``.

    Returns:
        How many layers were changed.
    """
    whole = rest.dependencies
    before, after = ActivationWalk(whole.tree, samples), ActivationWalk(tree, samples)
    count = 0
    for operator in before.through("least squares, layer by layer"):
        layer = linear.described(operator, whole.graph.tensors)
        if layer is not None and _alone(whole, operator):
            count += _repaired(layer, rest, tree, before, after)
        after.run(operator.index)
    return count


def _alone(whole: Dependencies, operator: graph.Operator) -> bool:
    """Whether nobody else reads its weights."""
    return all(len(whole.readers(tensor)) == 1 for tensor in operator.inputs[1:] if tensor >= 0)


def _repaired(layer: Linear, rest: Rest, tree: Any, before: ActivationWalk, after: ActivationWalk) -> bool:
    """Solve one layer, in place; False if nothing has changed for it."""
    operator, old = layer.operator, rest.dependencies.graph.tensors
    source, made = operator.inputs[0], operator.outputs[0]
    beside = _lost_beside(rest, operator, before, after)
    if beside is None and np.array_equal(before.values[source], after.values[source]):
        return False
    kernel, bias = (*after.graph.operators[operator.index].inputs[1:], -1)[:2]
    current, kept = _constant(tree, kernel), rest.kept(rest.dependencies.tensors[made][-1])
    wanted, has = before.linear(operator.index), after.linear(operator.index)
    features = prod(current.shape[axis] for axis in layer.order[: layer.features])
    places = layer.picked(len(has), features, old[made].shape)
    sums = {judging: Moments() for judging in (False, True)}
    for judging, part in parts(len(has), max(1, PIECE // (features * len(places))), HELD_OUT):
        missing = np.subtract(wanted[part][..., kept], has[part])
        if beside is not None:
            missing += np.subtract(before.values[beside][part][..., kept], after.values[beside][part])
        rows = layer.rows(after.values[source][part], current.shape, old[made].shape, places)
        sums[judging].add(rows, layer.made(missing, places))
    change, offset = least_squares.solved(sums[False], sums[True], centered=bias >= 0)
    if not np.isfinite(change).all():
        return False
    moved = layer.matrix(current) + layer.together(change)
    edit.set_constant(tree, kernel, layer.weights(moved, current.shape))
    if bias >= 0:
        edit.set_constant(tree, bias, _constant(tree, bias) + offset.ravel().astype(np.float32))
    return True


def _lost_beside(rest: Rest, operator: graph.Operator, before: ActivationWalk, after: ActivationWalk) -> int | None:
    """The tensor of a residual connection to which the layer's result is added, if it has lost something.

    The layer is to make up for it: He et al. call it multi-branch enhancement. None if it is not there yet.
    """
    main, (made,), readers = rest.dependencies.graph, operator.outputs, rest.dependencies.readers(operator.outputs[0])
    if len(readers) != 1 or operator.options.get("fusedActivationFunction"):
        return None
    ((reader, slot),) = readers
    if main.operators[reader].name != "ADD":
        return None
    other = main.operators[reader].inputs[1 - slot]
    if other not in before.values or other not in after.values or main.tensors[other].shape != main.tensors[made].shape:
        return None
    return other


def _constant(tree: Any, index: int) -> Array:
    found = graph.constant(tree, 0, index)
    assert found is not None, "it is a weight"
    return found
