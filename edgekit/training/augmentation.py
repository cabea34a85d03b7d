"""What is done to samples at random while training: maps over batches of TensorFlow, by their names in recipes.

A name may carry a value, ``span-mask=103``. What a name means depends on the input: an image ``[H, W, C]``, a series
``[T]``, ``[T, C]`` or ``[T, F, 1]`` (one that is longer than it has channels), or token ids ``[L]`` (integers). Images
and series of integers of 8 and 16 bits are changed as floats, and rounded; wider ones are ids and masks, and stay.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import InputError
from edgekit.trainable.libraries import tf, tf_keras
from edgekit.training.feeding import Batch

Change = Callable[[Any, Any], Any]
"""Changes one input ``[n, …]``; the second argument is a seed ``[2]`` of integers."""

TURN, SHIFT, ZOOM = 15 / 360, 0.125, 0.15
"""The most by which images are turned (of a turn), shifted (of their size; 4 of 32 pixels, as He et al., 2015, do
for CIFAR-10) and scaled."""

COLOUR, HOLE = 0.2, 0.25
"""The spread of brightness and contrast, of the batch's own; the side of what is cut out ("Cutout", DeVries and Taylor,
2017: 8 of 32 pixels)."""

TOKENS, SPAN = 0.1, 3
"""The share of tokens that are changed; how many are masked in a row ("SpanBERT", Joshi et al., 2020: 3.8)."""

JITTER, STRETCH, MOVED, MASKED = 0.05, 0.1, 0.1, 0.15
"""Of a series: noise and scale (of its own spread), how far in time it is warped or shifted, how much is masked."""


def _uniform(seed: Any, shape: Any, low: float, high: float, number: int = 0) -> Any:
    return tf.random.stateless_uniform(shape, seed + number, low, high)


def _per_sample(x: Any) -> Any:
    """The shape of one number for each sample, that broadcasts against ``x``."""
    return tf.stack([tf.shape(x)[0], *[1] * (len(x.shape) - 1)])


def _colour(x: Any, seed: Any) -> Any:
    """Brightness and contrast."""
    axes = list(range(1, len(x.shape)))
    mean = tf.reduce_mean(x, axes, keepdims=True)
    contrast = _uniform(seed, _per_sample(x), 1 - COLOUR, 1 + COLOUR)
    brightness = _uniform(seed, _per_sample(x), -COLOUR, COLOUR, 1) * tf.math.reduce_std(x)
    return (x - mean) * contrast + mean + brightness


def _hidden(x: Any, seed: Any, axes: Sequence[int], share: float) -> Any:
    """The mean in place of a stretch of each sample, along some axes."""
    inside = tf.ones([1] * len(x.shape), tf.bool)
    for number, axis in enumerate(axes):
        size = int(x.shape[axis])
        length = max(1, round(share * size))
        start = _uniform(seed, _per_sample(x), 0.0, float(size - length + 1), number)
        shape = [1] * len(x.shape)
        shape[axis] = size
        place = tf.reshape(tf.range(size, dtype=tf.float32), shape)
        inside &= (place >= tf.floor(start)) & (place < tf.floor(start) + length)
    return tf.where(inside, tf.reduce_mean(x, list(range(1, len(x.shape))), keepdims=True), x)


def _jitter(x: Any, seed: Any) -> Any:
    return x + JITTER * tf.math.reduce_std(x) * tf.random.stateless_normal(tf.shape(x), seed)


def _amplitude(x: Any, seed: Any) -> Any:
    return x * _uniform(seed, _per_sample(x), 1 - STRETCH, 1 + STRETCH)


def _along(x: Any, places: Any) -> Any:
    """A series at places in time ``[n, T]``, linearly between its samples."""
    last = int(x.shape[1]) - 1
    places = tf.clip_by_value(places, 0.0, float(last))
    low = tf.cast(tf.floor(places), tf.int32)
    share = tf.reshape(places - tf.floor(places), tf.concat([tf.shape(places), [1] * (len(x.shape) - 2)], 0))
    before = tf.gather(x, low, batch_dims=1)
    return before + share * (tf.gather(x, tf.minimum(low + 1, last), batch_dims=1) - before)


def _time_warp(x: Any, seed: Any) -> Any:
    """Time runs faster in one part and slower in another: a sine of random size is added to it."""
    size = int(x.shape[1])
    time = tf.range(size, dtype=tf.float32)[None]
    most = _uniform(seed, [tf.shape(x)[0], 1], -STRETCH, STRETCH)
    return _along(x, time + most * size / 3.14159 * tf.sin(time * (3.14159 / size)))


def _shift(x: Any, seed: Any) -> Any:
    size = int(x.shape[1])
    by = _uniform(seed, [tf.shape(x)[0], 1], -MOVED * size, MOVED * size)
    return _along(x, tf.range(size, dtype=tf.float32)[None] + tf.round(by))


def _spec_augment(x: Any, seed: Any) -> Any:
    """A stretch of time and one of frequencies is masked ("SpecAugment", Park et al., 2019)."""
    hidden = _hidden(x, seed, [1], MASKED)
    return _hidden(hidden, seed + 7, [2], MASKED) if len(x.shape) > 2 and x.shape[2] > 1 else hidden


def _chosen(ids: Any, seed: Any, share: float) -> Any:
    """Which tokens are changed: none of padding (0), and never the first, which often stands for the whole."""
    drawn = _uniform(seed, tf.shape(ids), 0.0, 1.0) < share
    return drawn & (ids != 0) & (tf.range(int(ids.shape[1]))[None] > 0)


def _later(chosen: Any, step: int) -> Any:
    """What stands so many places behind those that are chosen."""
    return tf.pad(chosen, [(0, 0), (step, 0)])[:, : int(chosen.shape[1])]


LARGEST_ID = 10_000_000
"""No vocabulary is larger."""


def _dropped(value: str) -> Change:
    stand_in = _number("drop", value or "0")
    return lambda ids, seed: tf.where(_chosen(ids, seed, TOKENS), tf.cast(stand_in, ids.dtype), ids)


def _span_masked(value: str) -> Change:
    stand_in = _number("span-mask", value)

    def change(ids: Any, seed: Any) -> Any:
        """Token ids ``[N, length]``; as many are hidden as by single masks, in spans of `SPAN`, and no padding (0)."""
        starts = _chosen(ids, seed, TOKENS / SPAN)
        inside = starts
        for step in range(1, SPAN):
            inside |= _later(starts, step)
        return tf.where(inside & (ids != 0), tf.cast(stand_in, ids.dtype), ids)

    return change


def _swapped(ids: Any, seed: Any) -> Any:
    """Some neighbours change places."""
    first = _chosen(ids, seed, TOKENS) & tf.pad(ids[:, 1:] != 0, [(0, 0), (0, 1)])
    first &= ~_later(first, 1)  # of two that overlap neither moves twice
    return tf.where(first, tf.roll(ids, -1, 1), tf.where(_later(first, 1), tf.roll(ids, 1, 1), ids))


def _synonyms(value: str) -> Change:
    """Some tokens are replaced by another of their line in a file of lines of ids."""
    path = Path(value)
    if not value or not path.is_file():
        raise InputError(
            "The augmentation synonyms needs a table.", place=f"synonyms={value}",
            fix="name a file with ids that may stand for one another in each line: synonyms=table.txt",
        )  # fmt: skip
    try:
        groups = [[_id(word) for word in line.split()] for line in path.read_text().splitlines() if line.strip()]
    except ValueError as error:
        raise InputError(
            f"A line holds something else than ids: {error}", place=value, fix="write whole numbers, 0 or more"
        ) from error
    table = np.arange(1 + max((n for group in groups for n in group), default=0), dtype=np.int64)
    for group in groups:
        for one, other in zip(group, [*group[1:], group[0]], strict=True):
            table[one] = other

    def change(ids: Any, seed: Any) -> Any:
        """Token ids ``[N, length]``; ids beyond the table stay."""
        known = tf.minimum(tf.cast(ids, tf.int64), len(table) - 1)
        other = tf.where(tf.cast(ids, tf.int64) < len(table), tf.gather(table, known), tf.cast(ids, tf.int64))
        return tf.where(_chosen(ids, seed, TOKENS), tf.cast(other, ids.dtype), ids)

    return change


def _id(word: str) -> int:
    """An id that is written as text.

    Raises:
        ValueError: it is none.
    """
    found = int(word)
    if not 0 <= found <= LARGEST_ID:
        raise ValueError(f"{found} is no id of a vocabulary")
    return found


def _number(name: str, value: str) -> int:
    try:
        return _id(value)
    except ValueError as error:
        raise InputError(
            f"The augmentation {name} needs the id that stands in for a token.", place=f"{name}={value}",
            fix=f"write {name}=103, for instance",
        ) from error  # fmt: skip


def _of_keras(layer: Any) -> Change:
    """A layer of tf-keras; its generator is set to the seed, which it has no public way to be given."""
    layer._random_generator._maybe_init()

    def change(x: Any, seed: Any) -> Any:
        """A batch ``[N, ...]``, changed by the seed alone: the layer's generator would go on from batch to batch."""
        layer._random_generator._generator.reset(tf.concat([seed, seed[:1]], 0))
        return layer(x, training=True)

    return change


FILL = {"fill_mode": "nearest"}

IMAGES: Mapping[str, Callable[[str], Change]] = {
    "flip": lambda _: _of_keras(tf_keras.layers.RandomFlip("horizontal", seed=0)),
    "crop": lambda _: _of_keras(tf_keras.layers.RandomTranslation(SHIFT, SHIFT, seed=0, **FILL)),
    "rotate": lambda _: _of_keras(tf_keras.layers.RandomRotation(TURN, seed=0, **FILL)),
    "scale": lambda _: _of_keras(tf_keras.layers.RandomZoom(ZOOM, seed=0, **FILL)),
    "colour": lambda _: _colour,
    "cutout": lambda _: lambda x, seed: _hidden(x, seed, [1, 2], HOLE),
}

SERIES: Mapping[str, Callable[[str], Change]] = {
    "jitter": lambda _: _jitter,
    "scale": lambda _: _amplitude,
    "time-warp": lambda _: _time_warp,
    "shift": lambda _: _shift,
    "mask": lambda _: lambda x, seed: _hidden(x, seed, [1], MASKED),
    "spec-augment": lambda _: _spec_augment,
}

IDS: Mapping[str, Callable[[str], Change]] = {
    "drop": _dropped,
    "swap": lambda _: _swapped,
    "span-mask": _span_masked,
    "synonyms": _synonyms,
}

VALUED = frozenset({"drop", "span-mask", "synonyms"})
"""Names that carry a value."""

MIXUP = "mixup"
"""Takes two samples, and mixes their labels as well."""

AUTO = "auto"
"""What is surely of use: `chosen` says what."""

TOKEN_IDS, SINGLE, WIDE = "token ids", "single values", "tables of ids"

SAMPLED = 2
"""The most bytes of an integer that stands for a brightness or a sound; what is wider is an id or a mask."""

KINDS: Mapping[str, Mapping[str, Callable[[str], Change]]] = {
    "images": IMAGES,
    "series": SERIES,
    TOKEN_IDS: IDS,
    SINGLE: {},
    WIDE: {},
}


def kind_of(shape: Sequence[int], dtype: Any) -> str:
    """What an input is, by the shape of a sample and its dtype; truth values are none that change."""
    if not shape or dtype.is_bool:
        return SINGLE
    if dtype.is_integer and len(shape) == 1:
        return TOKEN_IDS
    if dtype.is_integer and dtype.size > SAMPLED:
        return WIDE
    return "images" if len(shape) == 3 and shape[-1] in {1, 3, 4} and shape[0] * 4 > shape[1] else "series"


def chosen(names: Sequence[str], inputs: Sequence[Any], *, labelled: bool) -> tuple[str, ...]:
    """The names with what ``auto`` stands for.

    Pictures in colour are flipped and shifted, as ResNet's were (He et al., 2015), if there are no labels: a mirrored
    letter or a shifted box no longer is what its label says, but the teacher is asked about what became of the picture
    (Beyer et al., 2021, "A good teacher is patient and consistent").

    Args:
        names: as a recipe has them.
        inputs: of the model: Keras tensors ``[None, …]``.
        labelled: whether labels teach.
    """
    shapes = [tuple(value.shape[1:]) for value in inputs if kind_of(tuple(value.shape[1:]), value.dtype) == "images"]
    fit = not labelled and any(shape[-1] == 3 for shape in shapes)
    return tuple(one for name in names for one in ((("flip", "crop") if fit else ()) if name == AUTO else (name,)))


class Augmentation:
    """Changes batches; made once, and called in a map of ``tf.data``.

    Args:
        names: what is done, in order.
        inputs: of the model: Keras tensors ``[None, …]``.
        classes: how many classes labels are of, for mixup; None: they are no numbers of classes.

    Raises:
        InputError: a name is unknown, or is nothing for these inputs, or carries a value that it has no use for.
    """

    def __init__(self, names: Sequence[str], inputs: Sequence[Any], classes: int | None) -> None:
        self._kinds = [kind_of(tuple(value.shape[1:]), value.dtype) for value in inputs]
        self._classes = classes
        self._changes: list[tuple[str, dict[int, Change]]] = []
        for told in names:
            name, _, value = told.partition("=")
            found = {
                place: KINDS[kind][name](value) for place, kind in enumerate(self._kinds) if name in KINDS[kind]
            }  # fmt: skip
            if self._kinds and self._kinds[0] == TOKEN_IDS:
                found = dict(list(found.items())[:1])  # what follows are masks and kinds of the same tokens
            if not found and not (name == MIXUP and self._mixable):
                raise self._unknown(name)
            if value and name not in VALUED:
                raise InputError(
                    f"The augmentation {name} takes no value.", place=f"augmentation {told!r}", fix=f"write {name}"
                )
            self._changes.append((name, found))

    @property
    def _mixable(self) -> bool:
        """Whether samples can be mixed with their labels: there is nothing between two tokens."""
        return not {TOKEN_IDS, SINGLE, WIDE} & set(self._kinds)

    def _unknown(self, name: str) -> InputError:
        known = {AUTO, *([MIXUP] if self._mixable else []), *(known for kind in self._kinds for known in KINDS[kind])}
        return InputError(
            f"No augmentation of {' and '.join(dict.fromkeys(self._kinds))} is called {name!r}.",
            place="augmentation",
            fix=f"choose from {', '.join(sorted(known))}",
        )

    def __call__(self, batch: Batch, seed: Any) -> Batch:
        """Change a batch."""
        for number, (name, changes) in enumerate(self._changes):
            own = seed + 1000 * number
            if name == MIXUP:
                batch = self._mixed(batch, own)
                continue
            given = [
                self._changed(place, changes[place], x, own) if place in changes else x
                for place, x in enumerate(batch.given)
            ]
            batch = Batch(tuple(given), batch.targets, batch.labels)
        return batch

    def _changed(self, place: int, change: Change, x: Any, seed: Any) -> Any:
        """An input changed, of its own shape and dtype."""
        if self._kinds[place] == TOKEN_IDS or not x.dtype.is_integer:
            return tf.ensure_shape(change(x, seed), x.shape)
        return _rounded(tf.ensure_shape(change(tf.cast(x, tf.float32), seed), x.shape), x.dtype)

    def _mixed(self, batch: Batch, seed: Any) -> Batch:
        """Each sample with the one before it, by shares that are drawn evenly ("mixup", Zhang et al., 2018, α = 1)."""
        share = _uniform(seed, [tf.shape(batch.given[0])[0]], 0.0, 1.0)

        def mixed(x: Any) -> Any:
            """Numbers ``[N, ...]``, by the same shares whether they are inputs or labels."""
            own, one = tf.reshape(share, _per_sample(x)), tf.cast(x, tf.float32)
            return _rounded(own * one + (1 - own) * tf.roll(one, 1, 0), x.dtype)

        given = [mixed(x) for x in batch.given]
        labels = batch.labels
        if labels and self._classes is not None:
            labels = (tf.one_hot(tf.cast(labels[0], tf.int32), self._classes),)
        return Batch(tuple(given), batch.targets, tuple(map(mixed, labels)))


def _rounded(x: Any, dtype: Any) -> Any:
    """Floats as a dtype has them: integers are the nearest."""
    return tf.saturate_cast(tf.round(x), dtype) if dtype.is_integer else x
