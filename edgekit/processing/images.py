"""From a picture to an input's tensor: channels, size, normalization, layout, in this order."""

import numpy as np
from numpy.typing import NDArray

from edgekit.nouns.description import ImageInput
from edgekit.processing.placing import Placed, place
from edgekit.processing.resizing import Picture

GREY = (19595, 38470, 7471)
"""What red, green and blue weigh in a grey pixel, in 1/65536: ITU-R BT.601 as Pillow rounds it (Convert.c, L24)."""


def grey(picture: Picture) -> Picture:
    """A picture ``[h, w, 3]`` in RGB as ``[h, w, 1]``."""
    weighed = (picture.astype(np.int64) * GREY).sum(-1, keepdims=True)
    return np.asarray((weighed + 0x8000) >> 16, np.uint8)


def in_channels(picture: Picture, image: ImageInput) -> Picture:
    """A picture ``[h, w, 3]`` in RGB in the input's channels."""
    if image.channels == "L":
        return grey(picture)
    return picture[..., ::-1] if image.channels == "BGR" else picture


def placed(picture: Picture, image: ImageInput) -> tuple[Picture, Placed]:
    """A picture ``[h, w, 3]`` in RGB, upright, as the bytes ``[*size, channels]`` that a network looks at."""
    return place(in_channels(picture, image), image)


def normalized(pixels: Picture, image: ImageInput) -> NDArray[np.float32]:
    """Bytes as the network's numbers: ``(byte - offset) / divisor``, each operation rounded to float32."""
    offsets, divisors = np.asarray(image.offsets, np.float32), np.asarray(image.divisors, np.float32)
    return (pixels.astype(np.float32) - offsets) / divisors


def tensor(pixels: Picture, image: ImageInput) -> NDArray[np.float32]:
    """Bytes ``[*size, channels]`` as the input's tensor, ``[1, height, width, channels]`` or as its layout wants."""
    values = normalized(pixels, image)
    return (values.transpose(2, 0, 1) if image.layout == "NCHW" else values)[np.newaxis]


def to_bytes(values: NDArray[np.generic], image: ImageInput) -> Picture:
    """The bytes ``[..., height, width, channels]``, in RGB or grey, that tensors ``[..., *shape]`` were made of.

    What no byte makes becomes the nearest.
    """
    last = np.moveaxis(values, -3, -1) if image.layout == "NCHW" else values
    numbers = last.astype(np.float64) * np.asarray(image.divisors) + np.asarray(image.offsets)
    whole = np.rint(numbers).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(whole[..., ::-1] if image.channels == "BGR" else whole)
