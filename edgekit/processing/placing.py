"""How a picture of any size gets into an input, and how a place in the input is found in the picture again."""

from typing import NamedTuple

import numpy as np

from edgekit.nouns.description import ImageInput
from edgekit.processing.resizing import Picture, resize


class Placed(NamedTuple):
    """Where a picture lies in an input, all in pixels.

    The picture, of ``source`` (height, width), was scaled to ``scaled``, whose upper left corner lies at (``top``,
    ``left``) of the input, of ``size``; outside of it if the picture was cut (negative).
    """

    source: tuple[int, int]
    scaled: tuple[int, int]
    top: int
    left: int
    size: tuple[int, int]

    def to_picture(self, x: float, y: float) -> tuple[float, float]:
        """A place in the input as one in the picture; both in pixels, whose corners are at whole numbers."""
        (height, width), (tall, wide) = self.source, self.scaled
        return (x - self.left) * width / wide, (y - self.top) * height / tall


def placement(source: tuple[int, int], image: ImageInput) -> Placed:
    """Where a picture of size ``source`` (height, width) goes.

    * stretch: the whole picture becomes the whole input.
    * crop: it is scaled until it covers the input (or its shorter side is ``shorter_side``; the longer one is rounded
      down), and the middle is taken; the offset is half the difference, rounded to even, as in torchvision.
    * letterbox: it is scaled until it just fits, sides rounded to nearest, and lies in the middle (offset rounded
      down), as Ultralytics does.

    Args:
        source: of the picture.
        image: with its ``size``.
    """
    assert image.size is not None
    (height, width), (tall, wide) = source, image.size
    if image.fit == "stretch":
        return Placed(source, image.size, 0, 0, image.size)
    if image.fit == "crop":
        scaled = _covering(source, image.size, image.shorter_side)
        return Placed(source, scaled, -_half(scaled[0] - tall), -_half(scaled[1] - wide), image.size)
    if tall * width <= wide * height:  # the height decides
        scaled = tall, max(1, (2 * width * tall + height) // (2 * height))
    else:
        scaled = max(1, (2 * height * wide + width) // (2 * width)), wide
    return Placed(source, scaled, (tall - scaled[0]) // 2, (wide - scaled[1]) // 2, image.size)


def _covering(source: tuple[int, int], size: tuple[int, int], shorter_side: int | None) -> tuple[int, int]:
    (height, width), (tall, wide) = source, size
    if shorter_side is not None:
        if height <= width:
            return shorter_side, shorter_side * width // height
        return shorter_side * height // width, shorter_side
    if tall * width >= wide * height:
        return tall, width * tall // height
    return height * wide // width, wide


def _half(difference: int) -> int:
    """Half of it, rounded to even."""
    half = difference // 2
    return half + (difference % 2 and half % 2)


def place(picture: Picture, image: ImageInput) -> tuple[Picture, Placed]:
    """A picture ``[h, w, c]`` as bytes of the input's size, and where it lies there."""
    where = placement((picture.shape[0], picture.shape[1]), image)
    scaled = resize(picture, where.scaled, image.resize)
    (tall, wide), (top, left) = where.size, (where.top, where.left)
    if image.fit != "letterbox":
        return scaled[-top : tall - top, -left : wide - left], where
    filled = np.full((tall, wide, picture.shape[2]), image.pad_value, np.uint8)
    filled[top : top + scaled.shape[0], left : left + scaled.shape[1]] = scaled
    return filled, where
