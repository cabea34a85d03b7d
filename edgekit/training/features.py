"""Feature maps of a network held against those of its teacher, through learned 1×1 adapters.

"FitNets: Hints for Thin Deep Nets" (Romero et al., 2015); an adapter is a matrix from the network's channels to the
teacher's, applied at each place, and is thrown away after training. It begins as the one that fits best, so that the
first steps teach the network and do not undo what it knows to suit a matrix drawn at random.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.errors import InputError
from edgekit.trainable.form import Lifted
from edgekit.trainable.libraries import tf
from edgekit.trainable.operators.products import rows_times
from edgekit.training.labelling import LEAST_VARIANCE
from edgekit.waist.tensors import Array

AUTO = "auto"

RIDGE = 1e-4
"""Weight of the adapters' size beside the mean square of a channel: channels may be zero throughout, or equal."""


@dataclass(frozen=True)
class FeaturePair:
    """A tensor of the network and one of the teacher's, by their places; equal but for the number of channels.

    ``adapter`` is a variable ``[channels, teacher's channels]``.
    """

    student: int
    teacher: int
    adapter: Any

    def loss(self, student: Any, teacher: Any) -> Any:
        """The mean squared error over the teacher's variance: 1 is as good as the mean."""
        variance = tf.maximum(tf.math.reduce_variance(teacher), LEAST_VARIANCE)
        return tf.reduce_mean(tf.math.squared_difference(rows_times(student, self.adapter), teacher)) / variance

    def fit(self, student: Array, teacher: Array) -> None:
        """Let the adapter be the matrix that takes the network's values nearest to the teacher's, by least squares.

        Args:
            student: values ``[N, …, channels]``, float32.
            teacher: those of the same samples, ``[N, …, teacher's channels]``.
        """
        read, wanted = (values.reshape(-1, values.shape[-1]).astype(np.float64) for values in (student, teacher))
        squares = read.T @ read
        squares += (RIDGE * np.trace(squares) / len(squares) + LEAST_VARIANCE) * np.eye(len(squares))
        found = np.linalg.solve(squares, read.T @ wanted)
        if np.isfinite(found).all():
            self.adapter.assign(found.astype(np.float32))


def pairs(student: Lifted, teacher: Lifted, names: Sequence[str]) -> list[FeaturePair]:
    """The pairs that settings name; their adapters are 1 for equal channels, until `FeaturePair.fit` sets them.

    Args:
        student: the network.
        teacher: its teacher.
        names: ``"teacher's=student's"`` each, names of tensors in the files; or ``auto``.

    Raises:
        InputError: there is no such tensor, or two differ in more than the number of channels.
    """
    found = dict[tuple[int, int], None]()
    for name in names:
        found |= dict.fromkeys(_automatic(student, teacher) if name == AUTO else [_named(student, teacher, name)])
    return [FeaturePair(one, other, _adapter(student, teacher, (one, other))) for one, other in found]


def _adapter(student: Lifted, teacher: Lifted, pair: tuple[int, int]) -> Any:
    sizes = [int(form.tensors[tensor].shape[-1]) for form, tensor in zip((student, teacher), pair, strict=True)]
    return tf.Variable(np.eye(*sizes, dtype=np.float32))


def _features(lifted: Lifted) -> dict[int, tuple[int, ...]]:
    """Float tensors with places and channels that operators make → the shape of a sample; in order of execution."""
    made = [tensor for operator in lifted.main.operators for tensor in operator.outputs if tensor in lifted.tensors]
    shapes = {tensor: tuple(int(n) for n in lifted.tensors[tensor].shape[1:]) for tensor in made}
    return {
        tensor: shape
        for tensor, shape in shapes.items()
        if len(shape) > 1 and lifted.main.tensors[tensor].dtype == "float32" and tensor not in lifted.main.outputs
    }


def _automatic(student: Lifted, teacher: Lifted) -> list[tuple[int, int]]:
    """For each size that both have, the last tensors of that size."""
    last = [{shape[:-1]: tensor for tensor, shape in _features(form).items()} for form in (student, teacher)]
    return [(tensor, last[1][size]) for size, tensor in last[0].items() if size in last[1] and max(size) > 1]


def _named(student: Lifted, teacher: Lifted, name: str) -> tuple[int, int]:
    theirs, _, own = name.partition("=")
    found = []
    for form, whose, wanted in ((student, "network that is trained", own or theirs), (teacher, "teacher", theirs)):
        names = {form.main.tensors[tensor].name: tensor for tensor in _features(form)}
        if wanted not in names:
            some = ", ".join([*list(names)[:8], *(["…"] if len(names) > 8 else [])])
            raise InputError(
                f"The {whose} has no feature map called {wanted!r}.", place=f"features {name!r}",
                fix=f"name one that it has ({some}) as \"teacher's=student's\", or write auto",
            )  # fmt: skip
        found.append(names[wanted])
    one, other = _features(student)[found[0]], _features(teacher)[found[1]]
    if one[:-1] != other[:-1]:
        raise InputError(
            f"The feature maps are {list(one)} in the network and {list(other)} in the teacher.",
            place=f"features {name!r}",
            fix="pair maps that differ in the number of channels alone, or write auto",
        )
    return found[0], found[1]
