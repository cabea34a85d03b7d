"""Images deeper than 8 bits, files that are not what their name says, and labels that are none."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edgekit import samples
from edgekit.errors import InputError
from edgekit.nouns.model import Signature, TensorSpec


def images(channels: int, dtype: str = "float32", size: int = 8) -> Signature:
    shape = (1, size, size, channels)
    spec = TensorSpec(
        name="image", shape=shape, dtype=dtype, source_name="image", source_shape=shape, source_dtype=dtype
    )
    return Signature(inputs=(spec,), outputs=())


GREY16 = (np.arange(64, dtype=np.uint16) * 1040).reshape(8, 8)
"""0..65520 in even steps."""


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 4])
def test_deep_grey_is_read_in_its_whole_range(tmp_path: Path, suffix: str, channels: int, size: int) -> None:
    if suffix == "pgm":  # two bytes a pixel, the more significant one first (netpbm's manual)
        (tmp_path / "i.pgm").write_bytes(b"P5 8 8 65535\n" + GREY16.astype(">u2").tobytes())
    else:
        Image.fromarray(GREY16).save(tmp_path / f"i.{suffix}")
    got = samples.load(str(tmp_path), images(channels, size=size))
    pixels = got.inputs["image"][0, 0]
    expected = np.rint(GREY16 / 257)
    if size == 4:
        assert pixels.min() < 40 < 200 < pixels.max() <= 255
    else:
        np.testing.assert_allclose(pixels, np.repeat(expected[..., None], channels, -1), atol=1e-3)
    assert got.notes == ("image: 16-bit grey was read in its whole range: 0..65535 became 0..255",)


def test_integer_networks_get_deep_pixels_rounded(tmp_path: Path) -> None:
    Image.fromarray(GREY16).save(tmp_path / "i.png")
    pixels = samples.load(str(tmp_path), images(1, "uint8")).inputs["image"][0, 0, :, :, 0]
    np.testing.assert_array_equal(pixels, np.rint(GREY16 / 257))


def test_deep_colour_says_what_is_kept(tmp_path: Path) -> None:
    colour = np.stack([GREY16, GREY16.T, GREY16], -1)
    (tmp_path / "i.ppm").write_bytes(b"P6 8 8 65535\n" + colour.astype(">u2").tobytes())
    got = samples.load(str(tmp_path), images(3))
    np.testing.assert_allclose(got.inputs["image"][0, 0], colour / 257, atol=1)


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_pixels_without_a_known_white_are_refused(tmp_path: Path, dtype: str) -> None:
    Image.fromarray((GREY16 / 65535 if dtype == "float32" else GREY16).astype(dtype)).save(tmp_path / "i.tif")
    with pytest.raises(InputError, match="nothing says which of them is white") as refused:
        samples.load(str(tmp_path), images(1))
    assert ".npz" in refused.value.fix


@pytest.mark.parametrize("name", ["i.png", "i.jpg", "i.bmp", "i.tiff"])
def test_a_program_under_a_pictures_name_does_not_run(tmp_path: Path, name: str) -> None:
    """Pillow starts Ghostscript for EPS, whatever the file is called."""
    (tmp_path / name).write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(" + str(tmp_path / "made").encode() + b") (w) file\n%%EOF\n"
    )
    with pytest.raises(InputError, match="no image that can be read"):
        samples.load(str(tmp_path), images(3))
    assert [path.name for path in tmp_path.iterdir()] == [name]


BAD_LABELS = {
    "one number": np.float32(3),
    "text": np.array(["cat"] * 4),
    "too few": np.arange(3),
    "not a number": np.array([0, 1, np.nan, 1]),
    "infinite": np.array([0, 1, np.inf, 1]),
    "nothing in them": np.zeros((4, 0)),
    "complex": np.ones(4, complex),
}


@pytest.mark.parametrize("name", BAD_LABELS)
def test_labels_that_are_none_are_refused(tmp_path: Path, name: str) -> None:
    np.savez(tmp_path / "s.npz", image=np.zeros((4, 8, 8, 1), np.float32), y=BAD_LABELS[name])
    with pytest.raises(InputError, match="labels") as refused:
        samples.load(str(tmp_path / "s.npz"), images(1))
    assert refused.value.fix


@given(
    st.sampled_from(["float64", "float32", "int8", "uint16", "bool", "U3", "complex64"]),
    st.lists(st.integers(0, 3), max_size=3),
)
def test_any_array_of_labels_fits_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, dtype: str, shape: list[int]
) -> None:
    path = tmp_path_factory.mktemp("labels") / "s.npz"
    np.savez(path, image=np.zeros((2, 8, 8, 1), np.float32), y=np.zeros(shape, dtype))
    try:
        got = samples.load(str(path), images(1)).labels
    except InputError:
        return
    assert got is not None
    assert len(got) == 2
