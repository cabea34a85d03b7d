"""Samples as an app has them, made from those of the build: pictures of other sizes, longer recordings, extremes."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.bundles.facts import BundleFacts, InputFacts
from edgekit.nouns.description import Description, ImageInput
from edgekit.processing import images
from edgekit.processing.resizing import Picture, resize
from edgekit.waist.tensors import Array

ORIGINS = (
    "a sample of the build",
    "another sample of the build",
    "a sample of the build, larger and wider",
    "a sample of the build, smaller and taller",
    "a ramp",
    "noise",
    "the least of everything",
    "the most of everything",
)
"""What each golden sample is made of."""


class Given(NamedTuple):
    """One sample: by the source's names of inputs what an app gives.

    A picture is uint8 ``[height, width, 3]`` in RGB, a recording float32 ``[n]`` of -1..1, ids are int64 ``[n]``, a
    tensor is ``[*source_shape]`` in the source's dtype.
    """

    origin: str
    inputs: dict[str, Array]


def samples(facts: BundleFacts, description: Description, drawn: Mapping[str, Array]) -> list[Given]:
    """The samples of a bundle.

    Args:
        facts: of the file.
        description: complete.
        drawn: samples of the build, ``[N, *source_shape]`` by the source's names.
    """
    found = []
    for number, origin in enumerate(ORIGINS):
        inputs = {one.title: _MAKERS[one.kind](one, description, drawn[one.title], number) for one in facts.inputs}
        found.append(Given(origin, {str(title): np.ascontiguousarray(values) for title, values in inputs.items()}))
    return found


def _of(drawn: Array, number: int) -> Array:
    """One of those samples, as different ones as there are."""
    return np.asarray(drawn[(0, 1, 2, 3, 0, 1, 0, 1)[number] % len(drawn)])


def _noise(shape: tuple[int, ...]) -> NDArray[np.float64]:
    return np.random.default_rng(0).random(shape)


def _picture(one: InputFacts, description: Description, drawn: Array, number: int) -> Picture:
    image = description.image(one.title)
    assert isinstance(image, ImageInput)
    assert image.size is not None
    height, width = image.size
    wide, tall = (height * 5 // 4 + 1, width * 3 // 2 + 1), (max(2, height * 4 // 5), max(2, width * 2 // 3))
    if number < 4:
        pixels = images.to_bytes(_of(drawn, number)[0], image)
        rgb = np.repeat(pixels, 3, -1) if pixels.shape[-1] == 1 else pixels
        return resize(rgb, {2: wide, 3: tall}.get(number, image.size), "bilinear")
    if number == 4:
        rows, columns = tall[0], wide[1]
        down, across = np.mgrid[:rows, :columns]
        ramps = [255 * down // max(1, rows - 1), 255 * across // max(1, columns - 1), 255 - (down + 2 * across) % 256]
        return np.stack(ramps, -1).astype(np.uint8)
    if number == 5:
        return (_noise((*wide, 3)) * 256).astype(np.uint8)
    return np.full((height, width, 3), 0 if number == 6 else 255, np.uint8)


def _recording(one: InputFacts, description: Description, drawn: Array, number: int) -> NDArray[np.float32]:
    del description
    assert one.audio is not None
    length = one.tensor.elements
    if number < 4:
        waveform = _of(drawn, number).reshape(-1).astype(np.float32) / np.float32(one.audio.full_scale)
        waveform = waveform.clip(-1, 1)
        return {2: np.tile(waveform, 2)[: length * 3 // 2 + 1], 3: waveform[: length * 2 // 3]}.get(number, waveform)
    if number == 4:
        return np.linspace(-1, 1, length * 5 // 4, dtype=np.float32)
    if number == 5:
        return (_noise((length,)) * 2 - 1).astype(np.float32)
    return (
        np.zeros(length, np.float32) if number == 6 else np.where(np.arange(length) % 50 < 25, 1, -1).astype(np.float32)
    )


def _ids(one: InputFacts, description: Description, drawn: Array, number: int) -> NDArray[np.int64]:
    del description
    assert one.tokens is not None
    ids, most = _of(drawn, number).reshape(-1).astype(np.int64), max(0, int(np.max(drawn)))
    if number < 4:
        return {2: np.tile(ids, 2), 3: ids[: len(ids) * 2 // 3]}.get(number, ids)
    if number == 4:
        return np.arange(len(ids)) % (most + 1)
    if number == 5:
        return (_noise(ids.shape) * (most + 1)).astype(np.int64)
    return np.full(1 if number == 6 else len(ids), 0 if number == 6 else most, np.int64)


def _tensor(one: InputFacts, description: Description, drawn: Array, number: int) -> Array:
    """Of whatever meaning: nothing but what samples hold is known to be good for it."""
    del one, description
    if number < 4 or drawn.ndim == 1:
        return _of(drawn, number)
    if number == 4:
        return _of(drawn, 0)[..., ::-1]
    if number == 5:
        return np.asarray(np.where(_noise(drawn.shape[1:]) < 0.5, _of(drawn, 0), _of(drawn, 1)), drawn.dtype)
    few = np.asarray(drawn[:64])
    return np.asarray(few.min(0) if number == 6 else few.max(0))


_MAKERS: dict[str, Callable[[InputFacts, Description, Array, int], Array]] = {
    "image": _picture,
    "audio": _recording,
    "tokens": _ids,
    "tensor": _tensor,
}
