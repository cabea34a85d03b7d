"""A picture's way into a tensor, and the way of a place back into the picture."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.nouns.description import ImageInput
from edgekit.processing import images, placing

sides = st.integers(1, 300)


def image(size: tuple[int, int] = (24, 24), **keys: Any) -> ImageInput:
    return ImageInput(name="x", size=size, **({"channels": "RGB", "layout": "NHWC"} | keys))


@given(st.tuples(sides, sides), st.tuples(sides, sides), st.sampled_from(["stretch", "crop", "letterbox"]))
def test_a_picture_covers_or_fits_and_keeps_its_middle(source: Any, size: Any, fit: Any) -> None:
    where = placing.placement(source, image(size, fit=fit))
    (tall, wide), (height, width) = where.scaled, size
    if fit == "crop":
        assert tall >= height
        assert wide >= width
        assert tall == height or wide == width
    if fit == "letterbox":
        assert tall <= height
        assert wide <= width
        assert tall == height or wide == width
    assert abs(where.top + tall / 2 - height / 2) <= 1
    assert abs(where.left + wide / 2 - width / 2) <= 1
    assert where.to_picture(where.left, where.top) == (0, 0)
    assert where.to_picture(where.left + wide, where.top + tall) == pytest.approx(source[::-1])


@pytest.mark.parametrize(
    ("source", "scaled", "corner"),
    [
        ((500, 375), (341, 256), (58, 16)),  # torchvision: Resize(256), CenterCrop(224)
        ((375, 500), (256, 341), (16, 58)),
        ((300, 301), (256, 256), (16, 16)),
        ((100, 103), (256, 263), (16, 20)),  # half of 39 is 19.5, rounded to even
        ((100, 101), (256, 258), (16, 17)),
    ],
)
def test_a_crop_with_a_shorter_side_is_torchvisions(source: Any, scaled: Any, corner: Any) -> None:
    where = placing.placement(source, image((224, 224), fit="crop", shorter_side=256))
    assert where.scaled == scaled
    assert (-where.top, -where.left) == corner


@pytest.mark.parametrize(
    ("source", "scaled", "corner"),
    [((720, 1280), (360, 640), (140, 0)), ((1280, 720), (640, 360), (0, 140)), ((375, 500), (480, 640), (80, 0)),
     ((333, 500), (426, 640), (107, 0)), ((1, 5000), (1, 640), (319, 0))],
)  # fmt: skip
def test_a_letterbox_is_that_of_ultralytics(source: Any, scaled: Any, corner: Any) -> None:
    where = placing.placement(source, image((640, 640), fit="letterbox", pad_value=114))
    assert (where.scaled, (where.top, where.left)) == (scaled, corner)


def test_bars_hold_the_pad_value_and_the_picture_lies_between() -> None:
    pixels, where = images.placed(np.full((10, 20, 3), 9, np.uint8), image((20, 20), fit="letterbox", pad_value=114))
    assert (where.top, where.scaled) == (5, (10, 20))
    assert (pixels[5:15] == 9).all()
    assert (np.delete(pixels, range(5, 15), 0) == 114).all()


def test_a_crop_takes_the_middle() -> None:
    picture = np.zeros((4, 8, 3), np.uint8)
    picture[:, 2:6] = 7
    pixels, _ = images.placed(picture, image((4, 4), fit="crop"))
    assert (pixels == 7).all()


channel = st.floats(-5, 5, width=16)


@given(
    low=st.floats(-300, 300, width=16),
    span=st.floats(0.5, 600, width=16),
    mean=st.tuples(channel, channel, channel),
    std=st.tuples(*[st.floats(0.25, 8, width=16)] * 3),
)
@settings(max_examples=60)
def test_numbers_are_the_range_less_the_mean_over_the_std(low: float, span: float, mean: Any, std: Any) -> None:
    pixels = np.arange(256 * 3, dtype=np.int64).reshape(16, 16, 3).astype(np.uint8)
    got = images.normalized(pixels, image((16, 16), range=(low, low + span), mean=mean, std=std))
    expected = (low + pixels * (span / 255) - np.array(mean)) / np.array(std)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=2e-4 * max(abs(low), span, 1))


def test_each_number_is_one_subtraction_and_one_division() -> None:
    """What an app in another language computes: nothing that a compiler could contract."""
    described = image((1, 256), channels="L", range=(0.0, 1.0), mean=(0.485,), std=(0.229,))
    got = images.normalized(np.arange(256, dtype=np.uint8).reshape(1, 256, 1), described).reshape(-1)
    offset, divisor = np.float32(123.675), np.float32(58.395)
    assert described.offsets == pytest.approx([123.675])
    assert [float(v) for v in got] == [float((np.float32(b) - offset) / divisor) for b in range(256)]


def test_channels_and_layout() -> None:
    picture = np.arange(2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 3)
    turned, _ = images.placed(picture, image((2, 2), channels="BGR", layout="NCHW"))
    np.testing.assert_array_equal(
        images.tensor(turned, image((2, 2), channels="BGR", layout="NCHW"))[0], picture[..., ::-1].transpose(2, 0, 1)
    )
    grey, _ = images.placed(picture, image((2, 2), channels="L"))
    assert images.tensor(grey, image((2, 2), channels="L")).shape == (1, 2, 2, 1)


@given(
    channels=st.sampled_from(["RGB", "BGR", "L"]),
    layout=st.sampled_from(["NHWC", "NCHW"]),
    low=st.floats(-2, 2, width=16),
    span=st.floats(0.25, 300, width=16),
    std=st.floats(0.125, 8, width=16),
)
def test_the_bytes_that_a_tensor_was_made_of_come_back(
    channels: Any, layout: Any, low: float, span: float, std: float
) -> None:
    described = image((8, 4), channels=channels, layout=layout, range=(low, low + span), mean=(0.5,), std=(std,))
    picture = np.random.default_rng(0).integers(0, 256, (8, 4, 3), np.uint8)
    pixels, _ = images.placed(picture, described)
    back = images.to_bytes(images.tensor(pixels, described), described)
    expected = picture if channels != "L" else pixels
    np.testing.assert_array_equal(back[0], expected)  # RGB, whatever the network takes
