"""What a layer cannot make up for if channels that it reads are gone: least squares, in closed form.

With the second moments H of what a layer reads and its weights W, the least error after the channels S are removed
and all other weights are solved anew is ‖W_S‖² in the norm of ((H⁻¹)_SS)⁻¹; the weights and H⁻¹ that are left follow by
one elimination (Hassibi and Stork, "Second order derivatives for network pruning: optimal brain surgeon", 1992; for
layers, Frantar and Alistarh, "Optimal brain compression", 2022). That gives the order. What the first of it cost is
then measured: the whole network runs with the weights of a few of these steps, and its outputs tell.
"""

from collections.abc import Collection, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.channels import linear
from edgekit.channels.dependencies import Dependencies, Use
from edgekit.channels.least_squares import PIECE, Moments
from edgekit.channels.linear import Linear, Matrix
from edgekit.channels.walking import ActivationWalk
from edgekit.waist import cost, edit, graph
from edgekit.waist.ordering import evenly
from edgekit.waist.stepwise import Stepwise
from edgekit.waist.tensors import Array

DAMPING = 1e-3
"""What is added to the second moments' diagonal, beside its mean."""

INDEPENDENT = 0.25
"""The share of the places of a map that counts as samples of their own: neighbours are alike."""

MOST_FEATURES = 5000
"""A layer that reads more is judged by its weights: the inverse of its moments would take gigabytes."""

MEASURED, MEASURED_MACS = 64, 1 << 36
"""On so many samples at least, or as many as take so many multiply-adds, it is measured what becomes of the outputs.

What layers lose is compared by it; on few samples chance decides between them."""

SHARES = (0.08, 0.17, 0.25, 0.375, 0.5, 0.75)
"""Shares of a family's channels without which the outputs are measured; in between errors are scaled alike."""

STEPS = 48
"""In so many steps about, each taking several channels, a layer is emptied."""


@dataclass(frozen=True)
class Gram:
    """Moments ``[features, features]`` and means of what a layer reads, its weights, the energy of what it makes."""

    layer: Linear
    moments: Matrix
    means: Matrix
    matrix: Matrix
    energy: float


@dataclass(frozen=True)
class Sum:
    """A sum over channels of a family: the layer, and each channel's features."""

    gram: Gram
    positions: Sequence[NDArray[np.int64]]


@dataclass(frozen=True)
class Elimination:
    """Channels in the order in which they go.

    Attributes:
        order: their numbers.
        losses: the error after the first 0, 1, … of them, as a share of the layers' energy.
        matrices: by how many are gone the weights of all layers that make up for them.
    """

    order: Sequence[int]
    losses: NDArray[np.float64]
    matrices: Mapping[int, Sequence[Matrix]]


def grams(dependencies: Dependencies, samples: Mapping[int, Array]) -> dict[int, Gram]:
    """The moments of all layers that sum over channels that can go, by operator."""
    wanted = {c.place[0] for family in dependencies.families for c in family.contractions}
    walk, found, main = ActivationWalk(dependencies.tree, samples), dict[int, Gram](), dependencies.graph
    for operator in walk.through("what layers read"):
        layer = linear.described(operator, main.tensors) if operator.index in wanted else None
        if layer is not None and not layer.depthwise:
            weights = dependencies.values((operator.index, 1))
            matrix = layer.matrix(weights)
            if len(matrix) <= MOST_FEATURES:
                sums = read(
                    layer, walk.values[operator.inputs[0]], weights.shape, main.tensors[operator.outputs[0]].shape
                )
                moments = _shrunk(sums.covariances()[0][0], len(walk.values[operator.inputs[0]]), sums.places)
                energy = float(np.sum(matrix * (moments @ matrix))) + 1e-30
                found[operator.index] = Gram(layer, moments, sums.means()[0][0], matrix, energy)
    return found


def read(layer: Linear, values: Array, shape: tuple[int, ...], made: tuple[int, ...]) -> Moments:
    """The moments of what a layer reads; the arguments are those of `Linear.rows`."""
    features = prod(shape[axis] for axis in layer.order[: layer.features])
    places, sums = layer.picked(len(values), features, made), Moments()
    size = max(1, PIECE // (features * len(places)))
    for start in range(0, len(values), size):
        rows = layer.rows(values[start : start + size], shape, made, places)
        sums.add(rows, rows[:, :, :0])
    return sums


def _shrunk(moments: Matrix, samples: int, rows: int) -> Matrix:
    """Moments with less beside the diagonal, the fewer the samples: what few samples tell of one another is chance.

    Of 1,280 features that 128 samples show, 1,152 would seem to follow from the others (Ledoit and Wolf, "A
    well-conditioned estimator for large-dimensional covariance matrices", 2004, shrink as well).
    """
    known = samples + INDEPENDENT * (rows - samples)
    share = len(moments) / (len(moments) + known)
    return np.asarray((1 - share) * moments + share * np.diag(np.diag(moments)))


class Measuring:
    """Tells how far a network's outputs are from its own if layers have other weights.

    What comes before these layers is as it was: it runs once, for all. So layers are to come in the order of execution.

    Args:
        dependencies: of the network.
        samples: inputs by tensor index, ``[N, *shape]``; some of them are run.
    """

    def __init__(self, dependencies: Dependencies, samples: Mapping[int, Array]) -> None:
        self._dependencies = dependencies
        most = max(MEASURED, MEASURED_MACS // max(1, _macs(dependencies)))
        chosen = evenly(len(next(iter(samples.values()))), most)
        samples = {index: values[chosen] for index, values in samples.items()}
        self._ends = _ends(dependencies.graph)
        self._clean = _made(dependencies.tree, dependencies.graph.operators, samples, self._ends)
        self._walk = ActivationWalk(dependencies.tree, samples)
        self._done = 0

    def measured(
        self, found: Elimination, sums: Sequence[Sum], others: Mapping[int, Mapping[Use, Array]], first: int
    ) -> NDArray[np.float64]:
        """The squared change of the outputs, over their variance, after the first 0, 1, … channels are gone.

        Args:
            found: the channels in their order.
            sums: what makes up for them.
            others: by how many are gone the weights that nothing makes up for.
            first: the first operator whose weights change.
        """
        if not self._clean:  # outputs of integers tell too little
            return found.losses
        counts, factors, operators = [0], [0.0], self._behind(first)
        for count, matrices in sorted(found.matrices.items()):
            counts.append(count)
            factors.append(self._change(sums, matrices, others[count], operators) / max(found.losses[count], 1e-30))
        factors[0] = factors[1] if len(factors) > 1 else 1.0
        scaled = found.losses * np.interp(np.arange(len(found.losses)), counts, factors)
        return np.asarray(np.maximum.accumulate(scaled))

    def _change(
        self,
        sums: Sequence[Sum],
        matrices: Sequence[Matrix],
        others: Mapping[Use, Array],
        operators: Sequence[graph.Operator],
    ) -> float:
        changed = dict(others)
        for one, matrix in zip(sums, matrices, strict=True):
            gram, operator = one.gram, one.gram.layer.operator
            weights = self._dependencies.values((operator.index, 1))
            changed[operator.index, 1] = gram.layer.weights(matrix, weights.shape)
            if len(operator.inputs) > BIAS and operator.inputs[BIAS] >= 0:
                offset = gram.means @ (gram.matrix - matrix)
                changed[operator.index, BIAS] = np.add(self._dependencies.values((operator.index, BIAS)), offset)
        ends = {end: classes for end, classes in self._ends.items() if any(end in one.outputs for one in operators)}
        made = _made(_with_constants(self._dependencies.tree, changed), operators, self._walk.values, ends)
        apart = (_apart(self._clean[end], made[end], classes=classes) for end, classes in ends.items())
        return sum(apart) / len(self._ends)

    def _behind(self, first: int) -> Sequence[graph.Operator]:
        """All operators from one on, once what they read is there."""
        assert first >= self._done, "layers come in the order of execution"
        for index in range(self._done, first):
            self._walk.run(index)
        self._done = first
        return self._walk.graph.operators[first:]


BIAS = 2
"""The slot of a bias."""


def _macs(dependencies: Dependencies) -> int:
    """The multiply-adds of a sample."""
    return int(sum(cost.macs(dependencies.graph, operator) for operator in dependencies.graph.operators))


def _with_constants(whole: Any, changed: Mapping[Use, Array]) -> Any:
    """The object tree in which operators read other constants; all else is shared with the original."""
    tree, main = copy(whole), copy(whole.subgraphs[0])
    tree.subgraphs, tree.buffers = [main, *tree.subgraphs[1:]], list(tree.buffers)
    main.tensors, main.operators = list(main.tensors), list(main.operators)
    for (operator, slot), values in changed.items():
        operand = main.operators[operator] = copy(main.operators[operator])
        inputs = list(graph.ints(operand.inputs))
        inputs[slot] = edit.add_constant(tree, "changed", values.astype(np.float32))
        operand.inputs = inputs
    return tree


def _ends(main: graph.Graph) -> dict[int, bool]:
    """A network's float outputs, and whether a softmax comes behind: before it, since it hides what is sure."""
    makers = {index: operator for operator in main.operators for index in operator.outputs}
    return dict(
        (makers[index].inputs[0], True) if makers[index].name == "SOFTMAX" else (index, False)
        for index in main.outputs
        if index in makers and main.tensors[index].dtype == "float32"
    )


def _made(
    tree: Any, operators: Sequence[graph.Operator], values: Mapping[int, Array], ends: Collection[int]
) -> dict[int, Matrix]:
    """What operators make of some tensors."""
    found = Stepwise(tree).run_part(operators, values, list(ends)) if ends else {}
    return {end: made.astype(np.float64) for end, made in found.items()}


def _apart(right: Matrix, made: Matrix, *, classes: bool) -> float:
    """The divergence of two outputs that a softmax follows, the squared error over the variance of all others."""
    if not classes:
        return float(np.mean(np.square(right - made)) / (np.var(right) + 1e-30))
    one, other = map(_log_softmax, (right, made))
    return float(np.mean(np.sum(np.exp(one) * (one - other), axis=-1)))


def _log_softmax(values: Matrix) -> Matrix:
    shifted = values - values.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True)))


def eliminated(sums: Sequence[Sum], fixed: NDArray[np.float64]) -> Elimination:
    """Let channels go, least error first.

    Args:
        sums: over them, whose other weights make up for those that are gone.
        fixed: what each costs elsewhere, whatever else goes ``[channels]``.
    """
    states, channels = [_State(one) for one in sums], len(fixed)
    left: NDArray[np.int64] = np.arange(channels)
    order, losses, matrices = list[int](), [0.0], dict[int, Sequence[Matrix]]()
    wanted = [share * channels for share in SHARES]
    while len(left) > 1:
        errors = sum((state.errors(left) for state in states), fixed[left])
        taken = left[np.argsort(errors, kind="stable")[: max(1, channels // STEPS)]][: len(left) - 1]
        lost = sum((state.remove(taken) for state in states), float(fixed[taken].sum()))
        losses += [losses[-1] + lost * (number + 1) / len(taken) for number in range(len(taken))]
        order += taken.tolist()
        left = left[~np.isin(left, taken)]
        if wanted and len(order) >= wanted[0]:
            matrices[len(order)] = [state.matrix.copy() for state in states]
            wanted = [count for count in wanted if count > len(order)]
    return Elimination([*order, *left.tolist()], np.array([*losses, losses[-1] * 2 + 1]), matrices)


class _State:
    """What is left of a sum while channels go."""

    def __init__(self, what: Sum) -> None:
        self._positions = np.array(what.positions)
        gram = what.gram
        size = len(gram.moments)
        damped = gram.moments + DAMPING * (np.trace(gram.moments) / size + 1e-12) * np.eye(size)
        self._inverse, self.matrix = np.linalg.inv(damped), gram.matrix.copy()
        self._scale = 1 / gram.energy

    def errors(self, channels: NDArray[np.int64]) -> NDArray[np.float64]:
        """What each would cost alone."""
        at = self._positions[channels]
        blocks = self._inverse[at[:, :, None], at[:, None, :]]
        rows = self.matrix[at]
        found: NDArray[np.float64] = np.sum(rows * np.linalg.solve(blocks, rows), axis=(1, 2)) * self._scale
        return found

    def remove(self, channels: NDArray[np.int64]) -> float:
        """Remove some, with what all others make up for; what that costs."""
        at = self._positions[channels].ravel()
        across = self._inverse[:, at]
        solved = np.linalg.solve(self._inverse[np.ix_(at, at)], np.hstack([self.matrix[at], across.T]))
        outputs = self.matrix.shape[1]
        lost = float(np.sum(self.matrix[at] * solved[:, :outputs])) * self._scale
        self.matrix -= across @ solved[:, :outputs]
        self._inverse -= across @ solved[:, outputs:]
        self.matrix[at] = 0
        return max(0.0, lost)
