"""Pictures are scaled as Pillow scales one axis after the other, bit for bit, and as exact fractions say."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgekit.processing import images
from edgekit.processing.resizing import resize

PILLOW = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear-antialias": Image.Resampling.BILINEAR,
    "bicubic-antialias": Image.Resampling.BICUBIC,
    "area": Image.Resampling.BOX,
}

sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))


def picture(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Noise with runs of black and white, so that sums reach both ends."""
    values = np.random.default_rng(seed).integers(-128, 384, (*size, 3))
    return values.clip(0, 255).astype(np.uint8)


def pillows(before: np.ndarray, size: tuple[int, int], how: str) -> np.ndarray:
    """The width first; Pillow itself takes whichever axis is less work."""
    wide = Image.fromarray(before).resize((size[1], before.shape[0]), PILLOW[how])
    return np.asarray(wide.resize(size[::-1], PILLOW[how]))


@pytest.mark.parametrize("how", PILLOW)
@given(source=sizes, size=sizes, seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_it_is_pillows_along_each_axis_to_the_bit(
    how: str, source: tuple[int, int], size: tuple[int, int], seed: int
) -> None:
    before = picture(source, seed)
    expected = pillows(before, size, how)
    got = resize(before, size, how)  # type: ignore[arg-type]
    if how == "nearest":  # Pillow adds up steps in floating point; where a centre lies on a border, it may fall short
        borders = [((2 * np.arange(o) + 1) * n) % (2 * o) == 0 for n, o in zip(source, size, strict=True)]
        got, expected = (a[~borders[0]][:, ~borders[1]] for a in (got, expected))
    np.testing.assert_array_equal(got, expected)


def test_a_photograph_is_as_pillow_scales_it() -> None:
    y, x = np.mgrid[:603, :1001]
    photo = np.stack([127 + 120 * np.sin(x / 9), 127 + 120 * np.cos(y / 7), (x * y) % 256], -1).astype(np.uint8)
    for how in ("bilinear-antialias", "bicubic-antialias", "area"):
        got = resize(photo, (224, 224), how)  # type: ignore[arg-type]
        np.testing.assert_array_equal(got, pillows(photo, (224, 224), how))
        at_once = np.asarray(Image.fromarray(photo).resize((224, 224), PILLOW[how]))
        assert np.abs(got.astype(int) - at_once).max() <= 1  # Pillow chooses its order


@given(source=sizes, size=sizes)
@settings(max_examples=60, deadline=None)
def test_bilinear_is_within_a_weights_rounding_of_exact_fractions(
    source: tuple[int, int], size: tuple[int, int]
) -> None:
    before = picture(source)
    got = resize(before, size, "bilinear")
    row, column = size[0] - 1, size[1] // 2
    exact = [Fraction(0)] * 3
    for y, down in _around(row, source[0], size[0]):
        for x, across in _around(column, source[1], size[1]):
            exact = [sum_ + int(v) * down * across for sum_, v in zip(exact, before[y, x], strict=True)]
    assert all(
        abs(int(g) - e) <= Fraction(1, 2) + Fraction(255, 2048) for g, e in zip(got[row, column], exact, strict=True)
    )


def _around(index: int, length: int, out: int) -> list[tuple[int, Fraction]]:
    centre = (index + Fraction(1, 2)) * length / out - Fraction(1, 2)
    first = centre.numerator // centre.denominator
    weight = centre - first
    return [(min(max(first, 0), length - 1), 1 - weight), (min(max(first + 1, 0), length - 1), weight)]


@pytest.mark.parametrize("how", [*PILLOW, "bilinear"])
@given(size=sizes, level=st.integers(0, 255))
@settings(max_examples=20, deadline=None)
def test_one_colour_stays_that_colour(how: str, size: tuple[int, int], level: int) -> None:
    got = resize(np.full((7, 13, 3), level, np.uint8), size, how)  # type: ignore[arg-type]
    np.testing.assert_array_equal(got, np.full((*size, 3), level))


def test_grey_is_pillows_for_every_colour() -> None:
    steps = np.arange(0, 256, 5, np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 1, 3)
    np.testing.assert_array_equal(images.grey(colours)[..., 0], np.asarray(Image.fromarray(colours).convert("L")))
    greys = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(-1, 1, 3)
    np.testing.assert_array_equal(images.grey(greys)[:, 0, 0], np.arange(256))
