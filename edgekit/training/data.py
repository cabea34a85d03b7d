"""What a network is trained on: samples, labels, the part that is held out, and the teacher's file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.nouns.model import Signature
from edgekit.nouns.passing import Task
from edgekit.nouns.recipe import name_of
from edgekit.trainable.form import Lifted
from edgekit.waist.tensors import Array, arrays, load_array, to_file

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class TrainingData:
    """Samples as they lie in files, and how they are divided.

    Attributes:
        signature: of the network that is trained.
        samples: ``[N, *source_shape]`` by the source's names.
        labels: one for each sample, ``[N, …]``; None without.
        trained: the samples that are trained on.
        held_out: those that judge; none if nothing is held out.
        teacher: the file whose outputs are to be met.
        teacher_signature: of that file.
    """

    signature: Signature
    samples: Mapping[str, Array]
    labels: Array | None
    trained: Indices
    held_out: Indices
    teacher: Path
    teacher_signature: Signature

    def rows(self, lifted: Lifted, numbers: Indices) -> list[Array]:
        """Samples by their numbers as a lifted network takes them."""
        return lifted.given(self.by_name(numbers))

    def some(self, count: int) -> dict[str, Array]:
        """The first samples that are trained on, by the file's names, ``[N, *shape]``."""
        return self.by_name(np.sort(self.trained[:count]))

    def by_name(self, numbers: Indices) -> dict[str, Array]:
        """Samples by their numbers, by the file's names, ``[N, *shape]``."""
        return {spec.name: to_file(spec, self.samples[spec.source_name][numbers]) for spec in self.signature.inputs}


def read(task: Task) -> TrainingData:
    """Find and divide what a pass was given. Samples stay in their files until they are looked at.

    Raises:
        InputError: there are no samples, or fewer than a step takes.
    """
    settings, samples = task.settings, arrays(Path(task.samples))
    labels = None if task.labels is None else load_array(Path(task.labels))
    count = min(map(len, samples.values()), default=0)
    if not count:
        raise InputError("There are no samples to train on.", place="--data", fix="give some samples with --data")
    order = np.random.default_rng([task.seed, count]).permutation(count)
    held = min(round(settings.holdout * count), count - 1)
    if count - held < settings.batch_size and settings.epochs:
        raise _too_few(count, held, settings.batch_size, name_of(settings))
    return TrainingData(
        task.signature, samples, labels, order[held:], np.sort(order[:held]),
        Path(task.teacher), task.teacher_signature,
    )  # fmt: skip


def _too_few(count: int, held: int, size: int, name: str) -> InputError:
    """What is wrong if a step takes more samples than there are."""
    away, left = f" ({held} of {count} are held out)" if held else "", count - held
    smaller = f"give more samples, or smaller steps: --set {name}.batch_size={max(1, left // 4)}"
    fewer = f"hold out less: --set {name}.holdout=0.1"
    return InputError(
        f"A step of training takes {size} samples, and there are {left}{away}.",
        place="--data",
        fix=fewer if count >= 2 * size and held > left else smaller,
    )
