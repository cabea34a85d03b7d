"""Weight clustering: the weights of a kernel share a few values, which are trained; zeros stay zeros.

"Deep Compression" (Han, Mao and Dally, 2016), section 3: each value moves by what its members would move on average.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import Unsupported
from edgekit.nouns.recipe import Cluster
from edgekit.passes import Passed, Task, TrainingPass
from edgekit.trainable.form import Weight
from edgekit.trainable.libraries import tf
from edgekit.training import data, finishing
from edgekit.training.fitting import fit
from edgekit.training.hooks import Hooks
from edgekit.training.preparing import is_kernel, prepared
from edgekit.waist.tensors import Array

ROUNDS = 30
"""The most rounds of k-means: of one dimension it settles in a dozen."""


class ClusterPass(TrainingPass):
    """Lets weights share values."""

    def apply(self, task: Task, out: Path) -> Passed:
        """See `TrainingPass.apply`."""
        settings = task.settings
        assert isinstance(settings, Cluster)
        found = data.read(task)
        lifted = prepared(task, found, folds=False)
        random = np.random.default_rng(task.seed)
        if not any(map(is_kernel, lifted.weights)):
            raise Unsupported("The network has no kernels.", place="cluster", fix="leave the pass out")
        shared = [Shared(weight, settings.clusters, random) for weight in lifted.weights if is_kernel(weight)]

        def keep(_: Any) -> None:
            for one in shared:
                one.keep()

        hooks = Hooks(after_step=keep)
        fitted = fit(lifted, found, settings, hooks=hooks, checkpoints=Path(task.checkpoints), seed=task.seed)
        return finishing.passed(task, lifted, out, fitted)


class Shared:
    """A kernel whose weights are members of clusters, from now on.

    Args:
        weight: the kernel.
        clusters: how many values it may have; one of them is 0 if some weights are.
        random: draws the first centroids.
    """

    def __init__(self, weight: Weight, clusters: int, random: np.random.Generator) -> None:
        self._variable = weight.variable
        values = self._variable.numpy()
        zeros = values == 0
        members = np.zeros(values.shape, np.int32)
        centroids = np.zeros(1, np.float32)
        if not zeros.all():
            found, members[~zeros] = k_means(values[~zeros], clusters - int(zeros.any()), random)
            members[~zeros] += 1
            centroids = np.concatenate([centroids, found])
        self._members, self._count = tf.constant(members), len(centroids)
        self._variable.assign(centroids[members])

    def keep(self) -> None:
        """Give all members their mean; in TensorFlow's graph. Those of the first cluster are 0."""
        mean = tf.math.unsorted_segment_mean(self._variable, self._members, self._count)
        mean = tf.concat([[0.0], mean[1:]], 0)
        self._variable.assign(tf.gather(mean, self._members))


def k_means(values: Array, clusters: int, random: np.random.Generator) -> tuple[Array, NDArray[np.int64]]:
    """Cluster numbers, starting as k-means++ does (Arthur and Vassilvitskii, 2007).

    Args:
        values: float32 ``[n]``.
        clusters: at most so many.
        random: draws the first centroids.

    Returns:
        The centroids in ascending order, and for each value the number of its own ``[n]``.
    """
    wide = values.astype(np.float64)
    centroids = np.array([random.choice(wide)])
    away = np.square(wide - centroids[0])
    while len(centroids) < clusters and away.any():
        centroids = np.append(centroids, random.choice(wide, p=away / away.sum()))
        away = np.minimum(away, np.square(wide - centroids[-1]))
    centroids = np.sort(centroids)
    for _ in range(ROUNDS):
        members = np.searchsorted((centroids[1:] + centroids[:-1]) / 2, wide)
        counts = np.bincount(members, minlength=len(centroids))
        sums = np.bincount(members, wide, len(centroids))
        moved = np.sort(np.where(counts > 0, sums / np.maximum(counts, 1), centroids))
        if np.array_equal(moved, centroids):
            break
        centroids = moved
    return centroids.astype(np.float32), np.searchsorted((centroids[1:] + centroids[:-1]) / 2, wide)
