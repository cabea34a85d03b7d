"""What a layer cannot make up for if channels that it reads are gone: least squares, in closed form.

With the second moments H of what a layer reads and its weights W, the least error after the channels S are removed
and all other weights are solved anew is ‖W_S‖² in the norm of ((H⁻¹)_SS)⁻¹; the weights and H⁻¹ that are left follow by
one elimination (Hassibi and Stork, "Second order derivatives for network pruning: optimal brain surgeon", 1992; for
layers, Frantar and Alistarh, "Optimal brain compression", 2022). Its share of the layer's energy, times what noise of
such a share there does to the outputs, makes it comparable among layers.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.channels import linear
from edgekit.channels.dependencies import Dependencies
from edgekit.channels.linear import Linear, Matrix
from edgekit.channels.walking import ActivationWalk
from edgekit.host import events
from edgekit.waist import edit, graph
from edgekit.waist.stepwise import Stepwise
from edgekit.waist.tensors import Array

DAMPING = 1e-3
"""What is added to the second moments' diagonal, beside its mean."""

INDEPENDENT = 0.25
"""The share of the places of a map that counts as samples of their own: neighbours are alike."""

MOST_FEATURES = 5000
"""A layer that reads more is judged by its weights: the inverse of its moments would take gigabytes."""

NOISE = 1e-2
"""The share of a layer's energy that noise has while it is seen what becomes of it."""

NOISY_SAMPLES = 16

STEPS = 48
"""In so many steps about, each taking several channels, a layer is emptied."""


@dataclass(frozen=True)
class Gram:
    """Second moments ``[features, features]`` of what a layer reads, its weights, and the energy of what it makes."""

    layer: Linear
    moments: Matrix
    matrix: Matrix
    energy: float


@dataclass(frozen=True)
class Sum:
    """A sum over channels of a family: the layer, the gain of errors there, and each channel's features."""

    gram: Gram
    gain: float
    positions: Sequence[NDArray[np.int64]]


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
                made = main.tensors[operator.outputs[0]].shape
                rows = layer.rows(walk.values[operator.inputs[0]], weights.shape, made, operator.index)
                rows = rows - rows.mean(axis=0)
                moments = _shrunk(
                    (rows.T @ rows).astype(np.float64) / len(rows), len(walk.values[operator.inputs[0]]), len(rows)
                )
                found[operator.index] = Gram(layer, moments, matrix, float(np.sum(matrix * (moments @ matrix))) + 1e-30)
    return found


def _shrunk(moments: Matrix, samples: int, rows: int) -> Matrix:
    """Moments with less beside the diagonal, the fewer the samples: what few samples tell of one another is chance.

    Of 1,280 features that 128 samples show, 1,152 would seem to follow from the others (Ledoit and Wolf, "A
    well-conditioned estimator for large-dimensional covariance matrices", 2004, shrink as well).
    """
    known = samples + INDEPENDENT * (rows - samples)
    share = len(moments) / (len(moments) + known)
    return np.asarray((1 - share) * moments + share * np.diag(np.diag(moments)))


def gains(dependencies: Dependencies, found: Mapping[int, Gram], samples: Mapping[int, Array]) -> dict[int, float]:
    """By operator the error of the outputs over that of the layer, each as a share of its energy.

    It is seen by noise in the layer's weights.
    """
    given = {index: values[:NOISY_SAMPLES] for index, values in samples.items()}
    clean = _outputs(dependencies.tree, given)
    made = {}
    for count, (index, gram) in enumerate(found.items()):
        events.progress(count / len(found), "what errors of layers do")
        noise = np.random.default_rng(index).standard_normal(gram.matrix.shape)
        noise *= np.sqrt(NOISE * gram.energy / (np.sum(noise * (gram.moments @ noise)) + 1e-30))
        shape = dependencies.graph.tensors[dependencies.operand((index, 1))].shape
        tree = _with_weights(dependencies, index, gram.layer.weights(gram.matrix + noise, shape))
        noisy = _outputs(tree, given)
        shares = [np.mean(np.square(a - b)) / (np.var(a) + 1e-30) for a, b in zip(clean, noisy, strict=True)]
        made[index] = float(np.mean(shares)) / NOISE
    return made


def _with_weights(dependencies: Dependencies, operator: int, weights: Array) -> Any:
    """The object tree in which one operator has other weights; all else is shared with the original."""
    tree, main = copy(dependencies.tree), copy(dependencies.tree.subgraphs[0])
    tree.subgraphs, tree.buffers = [main, *tree.subgraphs[1:]], list(tree.buffers)
    main.tensors, main.operators = list(main.tensors), list(main.operators)
    index = edit.add_constant(tree, "noisy", weights)
    changed = main.operators[operator] = copy(main.operators[operator])
    inputs = list(graph.ints(changed.inputs))
    inputs[1] = index
    changed.inputs = inputs
    return tree


def _outputs(tree: Any, samples: Mapping[int, Array]) -> list[Matrix]:
    """A network's float outputs, before a last softmax, which hides what is sure."""
    stepwise = Stepwise(tree)
    main = stepwise.graph
    makers = {index: operator for operator in main.operators for index in operator.outputs}
    chosen = [
        makers[index].inputs[0] if makers[index].name == "SOFTMAX" else index
        for index in main.outputs
        if index in makers and main.tensors[index].dtype == "float32"
    ]
    made = stepwise.run_part(main.operators, samples, chosen)
    return [made[index].astype(np.float64) for index in chosen]


def eliminated(sums: Sequence[Sum], channels: int) -> tuple[list[int], NDArray[np.float64]]:
    """The order in which channels go, least error first, and the error after the first 0, 1, … of them."""
    states = [_State(one) for one in sums]
    left: NDArray[np.int64] = np.arange(channels)
    order, losses = list[int](), [0.0]
    while len(left) > 1:
        errors = sum((state.errors(left) for state in states), np.zeros(len(left)))
        taken = left[np.argsort(errors, kind="stable")[: max(1, channels // STEPS)]][: len(left) - 1]
        lost = sum(state.remove(taken) for state in states)
        losses += [losses[-1] + lost * (number + 1) / len(taken) for number in range(len(taken))]
        order += taken.tolist()
        left = left[~np.isin(left, taken)]
    return [*order, *left.tolist()], np.array([*losses, losses[-1] * 2 + 1])


class _State:
    """What is left of a sum while channels go."""

    def __init__(self, what: Sum) -> None:
        self._positions = np.array(what.positions)
        gram = what.gram
        size = len(gram.moments)
        damped = gram.moments + DAMPING * (np.trace(gram.moments) / size + 1e-12) * np.eye(size)
        self._inverse, self._matrix = np.linalg.inv(damped), gram.matrix.copy()
        self._scale = what.gain / gram.energy

    def errors(self, channels: NDArray[np.int64]) -> NDArray[np.float64]:
        """What each would cost alone."""
        at = self._positions[channels]
        blocks = self._inverse[at[:, :, None], at[:, None, :]]
        rows = self._matrix[at]
        found: NDArray[np.float64] = np.sum(rows * np.linalg.solve(blocks, rows), axis=(1, 2)) * self._scale
        return found

    def remove(self, channels: NDArray[np.int64]) -> float:
        """Remove some, with what all others make up for; what that costs."""
        at = self._positions[channels].ravel()
        across = self._inverse[:, at]
        solved = np.linalg.solve(self._inverse[np.ix_(at, at)], np.hstack([self._matrix[at], across.T]))
        outputs = self._matrix.shape[1]
        lost = float(np.sum(self._matrix[at] * solved[:, :outputs])) * self._scale
        self._matrix -= across @ solved[:, :outputs]
        self._inverse -= across @ solved[:, outputs:]
        self._matrix[at] = 0
        return max(0.0, lost)
