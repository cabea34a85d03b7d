"""Weights solved anew by least squares, so that each layer of a cut network makes what it made before.

Layer by layer in the order of execution: what the layer reads in the cut network, behind layers that are repaired
already, against what it made in the whole one, before its activation (He et al., "Channel pruning for accelerating
very deep neural networks", ICCV 2017). No labels, no gradients: one pass over the samples.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgekit.channels import linear
from edgekit.channels.cutting import Rest
from edgekit.channels.dependencies import Dependencies
from edgekit.channels.linear import Linear, Matrix, Rows
from edgekit.channels.walking import ActivationWalk
from edgekit.waist import edit, graph
from edgekit.waist.tensors import Array

RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Weights of the distance to the weights before, beside the mean variance of a feature; held-out samples choose."""

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
    lost = _lost_beside(rest, operator, before, after)
    if lost is None and np.array_equal(before.values[source], after.values[source]):
        return False
    kernel, bias = (*after.graph.operators[operator.index].inputs[1:], -1)[:2]
    weights, current = rest.dependencies.values((operator.index, 1)), _constant(tree, kernel)
    read = [
        layer.rows(walk.values[source], shape, old[made].shape, seed=operator.index)
        for walk, shape in ((before, weights.shape), (after, current.shape))
    ]
    kept = rest.kept(rest.dependencies.tensors[made][-1])
    wanted = product(layer, read[0], layer.matrix(weights)[:, kept], kept)
    if lost is not None:
        wanted += layer.made(lost, seed=operator.index)
    start = layer.matrix(current)
    problem = _each_channel if layer.depthwise else _together
    change, offset = problem(
        read[1], wanted - product(layer, read[1], start), len(before.values[source]), centered=bias >= 0
    )
    if not np.isfinite(change).all():
        return False
    edit.set_constant(tree, kernel, layer.weights(start + change, current.shape))
    if bias >= 0:
        edit.set_constant(tree, bias, _constant(tree, bias) + offset.astype(np.float32))
    return True


def _lost_beside(rest: Rest, operator: graph.Operator, before: ActivationWalk, after: ActivationWalk) -> Rows | None:
    """What a residual connection has lost to which the layer's result is added: the layer is to make up for it.

    He et al. call it multi-branch enhancement. None if there is none, or if it is not there yet.
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
    axes = rest.dependencies.tensors[other]
    found: Rows = np.subtract(before.values[other][..., rest.kept(axes[-1])], after.values[other])
    return found


def _constant(tree: Any, index: int) -> Array:
    found = graph.constant(tree, 0, index)
    assert found is not None, "it is a weight"
    return found


def product(layer: Linear, rows: Rows, matrix: Matrix, kept: Array | slice = slice(None)) -> Any:
    """What a layer makes, without its bias: ``[places, outputs]``."""
    single = matrix.astype(np.float32)
    return np.einsum("rtc,tc->rc", rows[:, :, kept], single) if layer.depthwise else rows @ single


def _together(rows: Rows, missing: Rows, samples: int, *, centered: bool) -> tuple[Matrix, Matrix]:
    """The change of a matrix, and an offset, for which ``rows · change + offset`` is nearest to what is missing.

    It is as small as the samples allow (ridge regression): how small is chosen on every fourth sample, by the others.

    Args:
        rows: ``[places, features]``, as many places of each sample.
        missing: ``[places, outputs]``.
        samples: how many samples there are.
        centered: there is an offset.
    """
    means = [m.mean(axis=0) * centered for m in (rows, missing)]
    rows, missing = rows - means[0], missing - means[1]
    held_out = np.arange(len(rows)) // (len(rows) // samples) % HELD_OUT == HELD_OUT - 1
    parts = [_products(rows[chosen], missing[chosen]) for chosen in (~held_out, held_out)]
    whole = parts[0][0] + parts[1][0], parts[0][1] + parts[1][1]
    scale = np.trace(whole[0]) / len(whole[0]) + 1e-12

    def solved(moments: tuple[Matrix, Matrix], ridge: float) -> Matrix:
        gram, against = moments
        return np.linalg.solve(gram + ridge * scale * np.eye(len(gram)), against)

    def error(ridge: float) -> float:
        change, (gram, against) = solved(parts[0], ridge), parts[1]
        return float(np.sum(change * (gram @ change)) - 2 * np.sum(change * against))

    change = solved(whole, min(RIDGES, key=error) if held_out.any() else RIDGES[2])
    return change, means[1] - means[0] @ change


def _products(rows: Rows, missing: Rows) -> tuple[Matrix, Matrix]:
    return (rows.T @ rows).astype(np.float64), (rows.T @ missing).astype(np.float64)


def _each_channel(rows: Rows, missing: Rows, _: int, *, centered: bool) -> tuple[Matrix, Matrix]:
    """The same for a depthwise layer, whose channels see taps of their own: ``[places, taps, channels]``."""
    means = [m.mean(axis=0) * centered for m in (rows, missing)]
    turned = (rows - means[0]).transpose(2, 1, 0).astype(np.float64)
    grams = turned @ turned.transpose(0, 2, 1)
    scales = np.trace(grams, axis1=1, axis2=2)[:, None, None] / grams.shape[1] + 1e-12
    against = turned @ (missing - means[1]).T[:, :, None]
    change = np.linalg.solve(grams + RIDGES[2] * scales * np.eye(grams.shape[1]), against)[:, :, 0].T
    return change, means[1] - np.einsum("tc,tc->c", means[0], change)
