"""Labels: which output they belong to, what kind of labels they are, and their loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from edgekit.errors import InputError
from edgekit.trainable.libraries import tf
from edgekit.training import losses
from edgekit.training.points import Kind
from edgekit.waist.rows import pieces
from edgekit.waist.tensors import Array


@dataclass(frozen=True)
class Labelled:
    """The point that labels belong to.

    Attributes:
        point: which of the points that are compared.
        kind: what its numbers are, by the labels.
        shape: of one sample's labels.
        scale: of squared errors.
        classes: how many there are if labels are their numbers; samples that are mixed have shares of them instead.
    """

    point: int
    kind: Kind
    shape: tuple[int, ...]
    scale: float = 1.0
    classes: int | None = None

    def loss(self, values: Sequence[Any], labels: Any, smoothing: float) -> Any:
        """The labels' loss of each sample ``[N]``; ``values`` are those of all points."""
        found = values[self.point]
        mixed = self.classes is not None and prod(labels.shape[1:]) > prod(self.shape)
        labels = tf.reshape(labels, [-1, *self.shape, *([self.classes] if mixed else [])])
        if self.kind == "classes":
            labels = tf.cast(labels, tf.float32 if mixed or self.classes is None else tf.int32)
            return losses.class_entropy(found, labels, smoothing)
        if self.kind == "binary":
            return losses.binary_entropy(found, labels, smoothing)
        return losses.squared(found, tf.cast(labels, tf.float32), self.scale)


def found(labels: Array, kinds: Sequence[Kind], shapes: Sequence[tuple[int, ...]]) -> Labelled:
    """Find where labels belong: the first point that they fit, and of those the first with scores of classes.

    Numbers of classes fit any row of numbers, so that a box in front of the classes would be taken for them.

    Args:
        labels: ``[N, …]``.
        kinds: of the points.
        shapes: of one sample there.

    Raises:
        InputError: they fit none, or name classes that there are not.
    """
    whole_numbers = labels.dtype.kind in "iub" or all(np.all(np.mod(labels[part], 1) == 0) for part in pieces(labels))
    own = tuple(size for size in labels.shape[1:] if size != 1)
    points = [(n, kind, shape) for n, (kind, shape) in enumerate(zip(kinds, shapes, strict=True))]
    fitting = [(each, named) for each in points if (named := _fits(own, whole_numbers, *each[1:])) is not None]
    scores = [(each, named) for each, named in fitting if each[1] != "values"]
    rest = [(each, named) for each, named in fitting if each[1] == "values" and not (scores and named)]
    if not fitting:
        raise _unfit(labels, shapes, plain=bool(own) or whole_numbers)
    refusal: InputError | None = None
    for each, named in (*scores, *rest):
        try:
            return _numbered(labels, *each) if named else _given(labels, *each, whole_numbers=whole_numbers)
        except InputError as error:  # out of range here: another output may have as many classes
            refusal = refusal or error
    assert refusal is not None
    raise refusal


def _fits(own: tuple[int, ...], whole_numbers: bool, kind: Kind, shape: tuple[int, ...]) -> bool | None:  # noqa: FBT001  a fact of the labels
    """Whether labels would be the numbers of a point's classes; False: what it should be itself; None: neither."""
    classes, places = (shape[-1] if shape else 1), tuple(size for size in shape[:-1] if size != 1)
    if kind != "binary" and whole_numbers and classes > 1 and own == places:
        return True
    return False if own == tuple(size for size in shape if size != 1) else None


def _numbered(labels: Array, point: int, _: Kind, shape: tuple[int, ...]) -> Labelled:
    """Labels that are numbers of classes.

    Raises:
        InputError: there are not so many.
    """
    _within(labels, shape[-1])
    return Labelled(point, "classes", shape[:-1], classes=shape[-1])


def _given(labels: Array, point: int, kind: Kind, shape: tuple[int, ...], *, whole_numbers: bool) -> Labelled:
    """Labels that are what a point should be.

    Raises:
        InputError: they are shares of classes, and not from 0 to 1.
    """
    classes = shape[-1] if shape else 1
    if kind == "values" and classes > 1 and whole_numbers and _one_hot(labels, classes):
        return Labelled(point, "classes", shape)
    if kind == "values":
        return Labelled(point, kind, shape, 1 / variance(labels))
    _within(labels, 2, shares=True)
    return Labelled(point, kind, shape)


def _unfit(labels: Array, shapes: Sequence[tuple[int, ...]], *, plain: bool) -> InputError:
    """What is wrong with labels that fit nothing."""
    outputs = " and ".join(f"[{', '.join(map(str, shape))}]" for shape in shapes)
    given = f"Labels of the shape {list(labels.shape[1:])}" if plain else "Labels with fractions"
    return InputError(
        f"{given} do not fit outputs of {outputs}.",
        place="--data",
        fix="give the number of the class for each sample, or what the output should be; or give no labels",
    )


def _one_hot(labels: Array, classes: int) -> bool:
    """Whether labels ``[N, …]`` name one class each, by a 1 among zeros: then they are of logits, and no values."""
    rows = (labels[part].reshape(-1, classes) for part in pieces(labels))
    return all(bool(((part == 0) | (part == 1)).all() and (part.sum(-1) == 1).all()) for part in rows)


LEAST_VARIANCE = 1e-12
"""What is constant is not scaled by more than one over this."""


def variance(values: Array) -> float:
    """The variance of all numbers of an array, for errors to be scaled by; never 0."""
    return max(float(np.var(values.astype(np.float64))), LEAST_VARIANCE)


def _within(labels: Array, classes: int, *, shares: bool = False) -> None:
    """Refuse numbers of classes that there are not, or shares that are none."""
    low = min(float(labels[part].min()) for part in pieces(labels))
    high = max(float(labels[part].max()) for part in pieces(labels))
    top = classes - 1
    if low < 0 or high > top:
        bad = low if low < 0 else high
        numbers = labels.reshape(len(labels), -1).astype(np.float64)
        where = int(np.flatnonzero(((numbers < 0) | (numbers > top)).any(1))[0])
        numbered = f"the output has {classes} classes, 0 to {top:g}"
        counted = "count classes from 0, and give the model that has all of them; or leave those samples out"
        raise InputError(
            f"Label {bad:g} is out of range: {'what a class has lies from 0 to 1' if shares else numbered}"
            f" (sample {where}).",
            place="--data",
            fix="give each class 0, 1, or what lies between; or leave those samples out" if shares else counted,
        )
