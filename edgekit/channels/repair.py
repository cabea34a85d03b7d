"""Weights solved anew by least squares, so that each layer of a cut network makes what it made before.

Layer by layer in the order of execution: what the layer reads in the cut network, behind layers that are repaired
already, against what it made in the whole one (He et al., "Channel pruning for accelerating very deep neural
networks", ICCV 2017). Where a ReLU follows, only what passes it counts, as in Zhang et al., "Accelerating very deep
convolutional networks for classification and detection", 2015; see `edgekit.channels.targets`. No labels, no gradients.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from edgekit.channels import linear, targets
from edgekit.channels.cutting import Rest
from edgekit.channels.dependencies import Dependencies
from edgekit.channels.least_squares import PIECE, Moments, Ridge, Rows, parts, spanned
from edgekit.channels.linear import Linear, Matrix
from edgekit.channels.walking import ActivationWalk
from edgekit.waist import copies, edit, graph
from edgekit.waist.ordering import evenly
from edgekit.waist.tensors import Array

HELD_OUT = 4
"""Every so-manieth sample chooses the ridge."""

MOST_FEATURES = 5000
"""Of a layer that reads more the weights are solved for in the span of `MOST_ROWS` rows: what all read is too large."""

MOST_ROWS = 2048
"""So many directions at most, whose products with one another take seconds."""

ROUNDS = 6
"""How often a layer in front of an activation is solved once more, each time nearer to what passes it."""


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
    count, reads = 0, _reads(whole)
    for operator in before.through("least squares, layer by layer"):
        layer = linear.described(operator, whole.graph.tensors)
        if layer is not None and all(reads[t] == 1 for t in operator.inputs[1:] if t >= 0):
            count += _repaired(layer, rest, tree, before, after)
        after.run(operator.index)
    return count


def _reads(whole: Dependencies) -> Mapping[int, int]:
    """By tensor how often it, or a copy of it, is read: what several layers share is not solved for one of them."""
    read = [tensor for operator in whole.graph.operators for tensor in operator.inputs if tensor >= 0]
    keys = copies.keys(whole.tree, 0, whole.graph)
    counts = Counter(keys[tensor] for tensor in read)
    return {tensor: counts[keys[tensor]] for tensor in read}


def _repaired(layer: Linear, rest: Rest, tree: Any, before: ActivationWalk, after: ActivationWalk) -> bool:
    """Solve one layer, in place; False if nothing has changed for it."""
    operator = layer.operator
    beside = _beside(rest, operator, before, after)
    if beside is None and np.array_equal(before.values[operator.inputs[0]], after.values[operator.inputs[0]]):
        return False
    kernel, bias = (*after.graph.operators[operator.index].inputs[1:], -1)[:2]
    current = _constant(tree, kernel)
    problem = _Problem(layer, rest, current.shape, beside, (before, after))
    change, offset = problem.solved(centered=bias >= 0)
    if not (np.isfinite(change).all() and np.isfinite(offset).all()):
        return False
    moved = layer.matrix(current) + layer.together(change)
    edit.set_constant(tree, kernel, layer.weights(moved, current.shape))
    if bias >= 0:
        edit.set_constant(tree, bias, _constant(tree, bias) + offset.ravel().astype(np.float32))
    return True


@dataclass(frozen=True)
class Piece:
    """Some samples: what the layer reads, what it is to make and makes, at the same places ``[groups, places, …]``."""

    judging: bool
    rows: Rows
    wanted: Rows
    has: Rows


class _Problem:
    """What one layer of a cut network is to make of what it reads.

    Args:
        layer: its operator in the whole network.
        rest: what is left.
        shape: of its weights in the cut one.
        beside: the tensor to which its result is added, if that is there already.
        walks: through the whole network and the cut one, just before the layer.
    """

    def __init__(
        self,
        layer: Linear,
        rest: Rest,
        shape: tuple[int, ...],
        beside: int | None,
        walks: tuple[ActivationWalk, ActivationWalk],
    ) -> None:
        before, after = walks
        index, (made,) = layer.operator.index, layer.operator.outputs
        self._rest, self._axes = rest, rest.dependencies.tensors[made]
        self._layer, self._shape, self._made = layer, shape, rest.shape(self._axes)
        self._wanted, self._has = before.linear(index), after.linear(index)
        self._sides = None if beside is None else (before.values[beside], after.values[beside])
        self._source = after.values[layer.operator.inputs[0]]
        self._nearest = targets.behind(rest.dependencies, layer.operator, added=beside is not None)
        features = prod(shape[axis] for axis in layer.order[: layer.features])
        self._places = layer.picked(len(self._has), features, self._made)
        self._size = max(1, PIECE // (features * len(self._places)))
        self._basis = self._spanned() if features > min(MOST_FEATURES, len(self._has) * len(self._places)) else None

    def _spanned(self) -> Rows | None:
        """What some of its rows span, if it reads more features than there are rows, or than can be solved for."""
        if self._layer.depthwise:
            return None
        chosen = evenly(len(self._has), max(1, MOST_ROWS // len(self._places)))
        rows = self._layer.rows(self._source[chosen], self._shape, self._made, self._places)[0]
        return spanned(rows[evenly(len(rows), MOST_ROWS)])

    def solved(self, *, centered: bool) -> tuple[Matrix, Matrix]:
        """The change of its matrix ``[groups, features, outputs]`` and of its bias ``[groups, outputs]``."""
        sums = {judging: Moments() for judging in (False, True)}
        for piece in self._pieces():
            sums[piece.judging].add(piece.rows, piece.wanted - piece.has)
        ridge = Ridge(sums[False], sums[True], centered=centered)
        change, offset = ridge.solved(sums[False] + sums[True])
        nearest, rounds = self._nearest, ROUNDS
        while nearest is not None and rounds:
            rounds -= 1
            nearer = Moments()
            for piece in self._pieces():
                now = piece.has + (piece.rows @ change.astype(np.float32) + offset[:, None].astype(np.float32))
                nearer.add(piece.rows, nearest(piece.wanted, now) - piece.has, squares=False)
            change, offset = ridge.solved(nearer)
        return change if self._basis is None else self._basis @ change, offset

    def _pieces(self) -> Iterator[Piece]:
        layer, places = self._layer, self._places
        for judging, part in parts(len(self._has), self._size, HELD_OUT):
            wanted, has = self._left(self._wanted[part]), self._has[part]
            if self._sides is not None:
                wanted = np.add(wanted, self._left(self._sides[0][part]))
                has = np.add(has, self._sides[1][part])
            rows = layer.rows(self._source[part], self._shape, self._made, places)
            if self._basis is not None:
                rows = rows @ self._basis
            yield Piece(judging, rows, layer.made(wanted, places), layer.made(has, places))

    def _left(self, whole: Array) -> Array:
        """Of what the whole network makes what the cut one makes, too: channels may lie along any axis."""
        return self._rest.values(self._axes, whole)


def _beside(rest: Rest, operator: graph.Operator, before: ActivationWalk, after: ActivationWalk) -> int | None:
    """The tensor of a residual connection to which the layer's result is added.

    The layer is to make up for what it has lost: He et al. call it multi-branch enhancement. None if it is not there
    yet.
    """
    main, (made,) = rest.dependencies.graph, operator.outputs
    reader = targets.added(rest.dependencies, operator)
    if reader is None:
        return None
    others = [tensor for tensor in reader.inputs if tensor != made]
    if len(others) != 1 or main.tensors[others[0]].shape != main.tensors[made].shape:
        return None
    return others[0] if others[0] in before.values and others[0] in after.values else None


def _constant(tree: Any, index: int) -> Array:
    found = graph.constant(tree, 0, index)
    assert found is not None, "it is a weight"
    return found
