"""What a network is held against: pairs of tensors, its own and its teacher's, and the losses between them."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import InputError, Unsupported
from edgekit.host import events
from edgekit.nouns.model import TensorSpec
from edgekit.nouns.training import Training
from edgekit.trainable.form import Lifted
from edgekit.trainable.libraries import tf, tf_keras
from edgekit.trainable.lifting import lift
from edgekit.trainable.stock import short
from edgekit.training import features, labelling, losses, points
from edgekit.training.data import Indices, TrainingData
from edgekit.training.labelling import Labelled
from edgekit.training.points import ComparedPoint, Kind
from edgekit.waist.rows import NpyFile
from edgekit.waist.tensors import Array, load_array

MEASURED = 256
"""Samples on which the variance of what the teacher makes is measured."""

BATCH = 32
"""Samples that the teacher is given at once."""


@dataclass(frozen=True)
class TaughtPair:
    """A tensor of the network and the teacher's that it is to equal.

    Attributes:
        student: where it is in the network.
        teacher: where it is in the teacher.
        output: the number of the output behind it.
        kind: what the numbers are.
        shape: of one sample, as the network has it.
        scale: of squared errors: one over the teacher's variance.
    """

    student: ComparedPoint
    teacher: ComparedPoint
    output: int
    kind: Kind
    shape: tuple[int, ...]
    scale: float = 1.0


class Teaching:
    """A network, its teacher, and what is between them.

    Args:
        student: the network that is trained.
        data: with the teacher's file.
        settings: of the training.

    Raises:
        InputError: the teacher's outputs, or the labels, are not those of the network.
        Unsupported: nothing that can be trained decides an output.
    """

    def __init__(self, student: Lifted, data: TrainingData, settings: Training) -> None:
        self._student, self._data, self._settings = student, data, settings
        self._teacher = lift(data.teacher)
        self.pairs = _pairs(student, self._teacher, data)
        self.labelled: Labelled | None = None
        if data.labels is not None:
            self.labelled = labelling.found(data.labels, [p.kind for p in self.pairs], [p.shape for p in self.pairs])
        self.pairs = [replace(pair, kind=self._kind(number, pair)) for number, pair in enumerate(self.pairs)]
        self.features = features.pairs(student, self._teacher, settings.features)
        taught = [*(pair.teacher.tensor for pair in self.pairs), *(pair.teacher for pair in self.features)]
        self._teacher_model = model_of(self._teacher, taught)
        self._traced = tf.function(self.targets, autograph=False, reduce_retracing=True)
        self._measure()
        if self.features:
            self._fit_adapters()

    @property
    def taught(self) -> bool:
        """Whether the teacher's outputs count at all."""
        return self.labelled is None or self._settings.alpha < 1

    @property
    def unlike(self) -> tuple[str, ...]:
        """Outputs that are logits where the teacher's are scores of them, or scores of the teacher's logits.

        They are compared as logits all the same, and an app would take one for the other.
        """
        heads, outputs = {"classes": "a softmax", "binary": "a sigmoid"}, self._data.signature.outputs
        found = [
            (outputs[p.output].source_name, heads.get(p.student.kind), heads.get(p.teacher.kind)) for p in self.pairs
        ]
        return tuple(
            f"the output {name} has {own or 'no scores'}, and the teacher's has {theirs or 'none'}: apps must be told"
            for name, own, theirs in found
            if own != theirs
        )

    @property
    def told(self) -> tuple[str, ...]:
        """Which of several outputs labels belong to, as nobody has said it."""
        outputs = self._data.signature.outputs
        if self.labelled is None or len(outputs) < 2:
            return ()
        return (f"labels are those of the output {outputs[self.pairs[self.labelled.point].output].source_name}",)

    @property
    def wanted(self) -> tuple[int, ...]:
        """The network's tensors that are compared: those of the pairs, then feature maps."""
        return *(pair.student.tensor for pair in self.pairs), *(pair.student for pair in self.features)

    @property
    def adapters(self) -> list[Any]:
        """Variables that are trained beside the network."""
        return [pair.adapter for pair in self.features]

    def _kind(self, number: int, pair: TaughtPair) -> Kind:
        """As what a pair is compared."""
        if self._settings.loss == "mse":
            return "values"
        several = bool(pair.shape) and pair.shape[-1] > 1
        classed = self.labelled is not None and (self.labelled.point, self.labelled.kind) == (number, "classes")
        chosen = several and (classed or self._settings.loss == "kl")
        return "classes" if pair.kind == "values" and chosen else pair.kind

    def _measure(self) -> None:
        """Set the scales of squared errors."""
        some = self.outputs(self._data.trained[:MEASURED])
        scales = [1 / labelling.variance(values) for values in some]
        self.pairs = [replace(pair, scale=scale) for pair, scale in zip(self.pairs, scales, strict=True)]

    def _fit_adapters(self) -> None:
        """Let the adapters of feature maps begin with what fits a batch best."""
        rows, count = self._data.rows(self._student, self._data.trained[:BATCH]), len(self.pairs)
        own = called(model_of(self._student, self.wanted), rows)[count:]
        for pair, mine, theirs in zip(self.features, own, self._traced(rows)[count:], strict=True):
            pair.fit(mine.numpy(), theirs.numpy())

    def targets(self, given: Sequence[Any]) -> list[Any]:
        """What the teacher makes of the network's inputs ``[N, …]``, for each pair as the network has it.

        Feature maps follow. All are tensors of TensorFlow.
        """
        specs = {spec.source_name: spec for spec in self._data.teacher_signature.inputs}
        taken = [
            tf.cast(_moved(values, own, specs[own.source_name]), specs[own.source_name].dtype)
            for values, own in zip(given, self._data.signature.inputs, strict=True)
        ]
        order = [own.source_name for own in self._data.signature.inputs]
        sorted_ = [taken[order.index(spec.source_name)] for spec in self._data.teacher_signature.inputs]
        made = called(self._teacher_model, sorted_)
        found = []
        count = len(self.pairs)
        for pair, values in zip(self.pairs, made[:count], strict=True):
            theirs, own = self._specs(pair)
            whole = tuple(values.shape[1:]) == short(theirs.shape)
            there = _moved(values, theirs, own) if whole else values
            found.append(tf.reshape(there, [-1, *pair.shape]) * pair.teacher.factor)
        return [*found, *made[count:]]

    def _specs(self, pair: TaughtPair) -> tuple[TensorSpec, TensorSpec]:
        """The teacher's output of a pair, and the network's."""
        own = self._data.signature.outputs[pair.output]
        return next(s for s in self._data.teacher_signature.outputs if s.source_name == own.source_name), own

    def outputs(self, numbers: Indices) -> list[Array]:
        """What the teacher makes of samples, one array ``[n, …]`` for each pair."""
        parts = [self._run(numbers[start : start + BATCH]) for start in range(0, len(numbers), BATCH)]
        return [np.concatenate(rows) for rows in zip(*parts, strict=True)][: len(self.pairs)]

    def _run(self, numbers: Indices) -> list[Array]:
        return [values.numpy() for values in self._traced(self._data.rows(self._student, numbers))]

    def stored(self, folder: Path) -> list[Array]:
        """What the teacher makes of all samples, ``[N, …]`` for each pair: computed once, kept in a folder.

        Raises:
            OSError: the disk is full.
        """
        files = [folder / f"teacher{number}.npy" for number in range(len(self.pairs))]
        if not all(file.exists() for file in files):
            self._store(files)
        return [load_array(file) for file in files]

    def _store(self, files: Sequence[Path]) -> None:
        count = len(next(iter(self._data.samples.values())))
        asides = [file.with_suffix(".part") for file in files]
        with ExitStack() as open_:
            opened = [
                open_.enter_context(NpyFile(aside, pair.shape, np.float32))
                for aside, pair in zip(asides, self.pairs, strict=True)
            ]
            for start in range(0, count, BATCH):
                events.progress(start / count, "what the teacher computes")
                made = self._run(np.arange(start, min(start + BATCH, count)))
                for file, values in zip(opened, made[: len(opened)], strict=True):
                    file.add(values)
        for aside, path in zip(asides, files, strict=True):
            aside.replace(path)

    def loss(self, values: Sequence[Any], targets: Sequence[Any], labels: Any) -> Any:
        """How far the network is from teacher and labels, sample by sample: ``[N]``.

        Args:
            values: what the network has at `wanted`, ``[N, …]`` each.
            targets: what the teacher has; none if it does not count.
            labels: ``[N, …]``, or None.
        """
        own = [v * p.student.factor for v, p in zip(values[: len(self.pairs)], self.pairs, strict=True)]
        total: Any = 0.0
        if self.taught:
            parts = [self._between(*three) for three in zip(self.pairs, own, targets[: len(self.pairs)], strict=True)]
            total = tf.add_n(parts) / len(parts)
        if self.labelled is None:
            return total
        task = self.labelled.loss(own, labels, self._settings.label_smoothing)
        return self._settings.alpha * task + (1 - self._settings.alpha) * total

    def feature_loss(self, values: Sequence[Any], targets: Sequence[Any]) -> Any:
        """How far feature maps are from the teacher's, on average of all pairs; arguments as those of `loss`."""
        count = len(self.pairs)
        parts = [f.loss(*two) for f, *two in zip(self.features, values[count:], targets[count:], strict=True)]
        return tf.add_n(parts) / len(parts)

    def _between(self, pair: TaughtPair, student: Any, teacher: Any) -> Any:
        if pair.kind == "classes":
            return losses.divergence(student, teacher, self._settings.temperature)
        if pair.kind == "binary":
            return losses.binary_divergence(student, teacher, self._settings.temperature)
        return losses.squared(student, teacher, pair.scale)


def called(model: Any, given: Sequence[Any], *, training: bool = False) -> list[Any]:
    """What a model makes of its inputs, as a list whatever their number."""
    made = model(given[0] if len(given) == 1 else list(given), training=training)
    return list(made) if isinstance(made, list | tuple) else [made]


def model_of(lifted: Lifted, tensors: Sequence[int]) -> Any:
    """A model that gives some of a lifted network's tensors."""
    return tf_keras.Model(lifted.model.inputs, [lifted.tensors[tensor] for tensor in tensors])


def _moved(values: Any, before: TensorSpec, after: TensorSpec) -> Any:
    """Values in the layout of one file in that of another; both without a leading 1."""
    if before.permutation != after.permutation:
        values = tf.reshape(values, [-1, *before.shape])
        rank = len(before.shape)
        there = np.argsort(before.permutation or range(rank))
        chained = [int(there[axis]) for axis in after.permutation or range(rank)]
        values = tf.transpose(values, [0, *(axis + 1 for axis in chained)])
    return tf.reshape(values, [-1, *short(after.shape)])


def _pairs(student: Lifted, teacher: Lifted, data: TrainingData) -> list[TaughtPair]:
    """The tensors that are to be equal, output by output."""
    theirs = {
        spec.source_name: found for spec, found in zip(data.teacher_signature.outputs, points.of(teacher), strict=True)
    }
    pairs: dict[ComparedPoint, TaughtPair] = {}
    for number, (spec, own) in enumerate(zip(data.signature.outputs, points.of(student), strict=True)):
        other = theirs.get(spec.source_name)
        shapes = [[_shape(form, point) for point in found] for form, found in ((student, own), (teacher, other or []))]
        if other is None or len(own) != len(other) or any(prod(a) != prod(b) for a, b in zip(*shapes, strict=True)):
            raise InputError(
                f"The teacher's output for {spec.source_name} is not that of the network.",
                place=data.teacher.name,
                fix="give a teacher with the same outputs in the same order and shapes",
            )
        for mine, its, shape in zip(own, other, shapes[0], strict=True):
            kind = its.kind if mine.kind == "values" else mine.kind
            pairs.setdefault(mine, TaughtPair(mine, its, number, kind, shape))
    if not pairs:
        raise Unsupported(
            "Nothing that can be trained decides what the network makes.",
            place=", ".join(sorted({operator.name for operator in student.main.operators})),
            fix="leave out the passes that train",
        )
    return list(pairs.values())


def _shape(lifted: Lifted, point: ComparedPoint) -> tuple[int, ...]:
    return tuple(int(size) for size in lifted.tensors[point.tensor].shape[1:])
