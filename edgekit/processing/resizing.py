"""How pictures are scaled: five ways, each defined so exactly that other languages get the same bytes.

Pixels have their centres at half numbers: that of output pixel *i* lies at ``(i + 1/2) * in / out`` of the input.

| name | definition | the same as |
| --- | --- | --- |
| nearest | the pixel in which that centre lies, ``((2i + 1) * in) // (2 * out)`` | Pillow's NEAREST |
| bilinear | the two pixels around that centre along each axis, weights in 1/2048 | OpenCV's INTER_LINEAR (±1) |
| bilinear-antialias | a triangle as wide as an output pixel | Pillow's BILINEAR, and so torchvision's |
| bicubic-antialias | Keys' cubic with a = -1/2, likewise | Pillow's BICUBIC |
| area | the mean of what an output pixel covers, whole pixels only | Pillow's BOX |

The last three are Pillow's (src/libImaging/Resample.c, 8 bits a channel), bit for bit along each axis: weights in
float64 by additions, multiplications and divisions alone, rounded to 1/2**22; first along the width, then along the
height, and rounded to bytes after each. That is the order of all Pillows to 12; later ones begin with the height
if that is less work, which moves some bytes by 1.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgekit.nouns.description import Resize

Picture = NDArray[np.uint8]
"""``[height, width, channels]``"""

Doubles = NDArray[np.float64]

BITS = 22
"""Of a weight behind the point: 32 - 8 (a byte) - 2 (a sum of weights may pass 1, and has a sign)."""

BILINEAR_BITS = 11
"""Likewise, where two weights are multiplied."""


def resize(picture: Picture, size: tuple[int, int], how: Resize) -> Picture:
    """A picture ``[h, w, c]`` of another size (height, width)."""
    if picture.shape[:2] == size:
        return picture
    if how == "nearest":
        rows, columns = (_nearest(n, out) for n, out in zip(picture.shape, size, strict=False))
        return picture[rows][:, columns]
    if how == "bilinear":
        return _bilinear(picture, size)
    return _filtered(picture, size, *_FILTERS[how])


def _nearest(length: int, out: int) -> NDArray[np.int64]:
    return (2 * np.arange(out) + 1) * length // (2 * out)


def _bilinear(picture: Picture, size: tuple[int, int]) -> Picture:
    (top, bottom, down), (left, right, across) = (_between(n, out) for n, out in zip(picture.shape, size, strict=False))
    values: NDArray[np.int64] = picture.astype(np.int64)
    one = np.int64(1 << BILINEAR_BITS)
    across, down = across.reshape(1, -1, 1), down.reshape(-1, 1, 1)
    rows = values[:, left] * (one - across) + values[:, right] * across
    sums = rows[top] * (one - down) + rows[bottom] * down
    rounded: Picture = ((sums + (1 << (2 * BILINEAR_BITS - 1))) >> (2 * BILINEAR_BITS)).astype(np.uint8)
    return rounded


def _between(length: int, out: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """For each output pixel the two input pixels around its centre, and the weight of the second."""
    position = (2 * np.arange(out) + 1) * length - out  # in 1/(2*out) pixels, between centres
    first = position // (2 * out)
    weight = (((position - first * 2 * out) << (BILINEAR_BITS + 1)) + 2 * out) // (4 * out)
    return first.clip(0, length - 1), (first + 1).clip(0, length - 1), weight


def _triangle(x: Doubles) -> Doubles:
    return np.where(np.abs(x) < 1, 1 - np.abs(x), 0.0)


def _cubic(x: Doubles) -> Doubles:
    x, a = np.abs(x), -0.5
    near, far = ((a + 2) * x - (a + 3)) * x * x + 1, (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _box(x: Doubles) -> Doubles:
    return np.where((x > -0.5) & (x <= 0.5), 1.0, 0.0)


_FILTERS: dict[str, tuple[Callable[[Doubles], Doubles], float]] = {
    "bilinear-antialias": (_triangle, 1.0),
    "bicubic-antialias": (_cubic, 2.0),
    "area": (_box, 0.5),
}
"""A filter, and how far it reaches to either side, in output pixels (input pixels if the picture grows)."""


def _filtered(picture: Picture, size: tuple[int, int], of: Callable[[Doubles], Doubles], reach: float) -> Picture:
    height, width = size
    if picture.shape[1] != width:
        picture = _along_width(picture, width, of, reach)
    if picture.shape[0] != height:
        picture = _along_width(picture.swapaxes(0, 1), height, of, reach).swapaxes(0, 1)
    return picture


def _along_width(picture: Picture, out: int, of: Callable[[Doubles], Doubles], reach: float) -> Picture:
    first, weights = taps(picture.shape[1], out, of, reach)
    sums = np.full((picture.shape[0], out, picture.shape[2]), 1 << (BITS - 1), np.int32)
    for k in range(weights.shape[1]):
        pixels = picture[:, (first + k).clip(max=picture.shape[1] - 1)]
        sums += pixels * weights[np.newaxis, :, k, np.newaxis]
    return (sums >> BITS).clip(0, 255).astype(np.uint8)


def taps(
    length: int, out: int, of: Callable[[Doubles], Doubles], reach: float
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Which input pixels an output pixel is made of.

    Returns:
        The first of them ``[out]``, and the weights ``[out, most]`` in 1/2**22 of it and of those behind it.
    """
    scale = length / out
    wide = max(scale, 1.0)
    centres = (np.arange(out) + 0.5) * scale
    first = (centres - reach * wide + 0.5).astype(np.int64).clip(min=0)
    last = (centres + reach * wide + 0.5).astype(np.int64).clip(max=length)
    offsets = np.arange(int(np.max(last - first)))
    found = of((offsets + first[:, np.newaxis] - centres[:, np.newaxis] + 0.5) * (1.0 / wide))
    found[offsets >= (last - first)[:, np.newaxis]] = 0.0
    total = np.cumsum(found, axis=1)[:, -1:]  # one after another, as a loop adds
    found = np.divide(found, total, out=found, where=total != 0)
    return first, np.trunc(found * (1 << BITS) + np.where(found < 0, -0.5, 0.5)).astype(np.int32)
