"""Samples from folders of images, by the description of the inputs (``[[input]]`` of ``edgekit.toml``)."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.nouns.description import Description, ImageInput
from edgekit.nouns.model import Signature, TensorSpec
from edgekit.processing import described, images
from edgekit.samples import folders
from edgekit.samples.content import Raw
from edgekit.samples.npy import UNREADABLE
from edgekit.samples.place import Place

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""Files that are read as images (Pillow's names)."""

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What the content of such a file may be, whatever its name says: others start programs (EPS: Ghostscript)."""


def read(path: Path, signature: Signature, description: Description, place: Place) -> Raw:
    """Images as ``[N, *source_shape]``, made into tensors by `edgekit.processing.images`.

    Args:
        path: one image, or a folder of them (see `edgekit.samples.folders.read`).
        signature: of the source.
        description: of the inputs; what is absent is read from the input's shape, and that this was
            done is among the doubts.
        place: where they are put, one after another.

    Raises:
        InputError: an image is damaged, or description and input do not fit.
    """

    def stack(files: list[Path], spec: TensorSpec) -> folders.Stack:
        return _stack(files, spec, _told(description, spec.source_name), place)

    return folders.read(path, signature, SUFFIXES, stack)


def _told(description: Description, name: str) -> ImageInput | None:
    """What is said of an input.

    Raises:
        InputError: that it is something else than an image.
    """
    told = description.input(name)
    if told is not None and not isinstance(told, ImageInput):
        raise InputError(
            f"The samples of {name} are images, and edgekit.toml describes it as something else.",
            place=f"edgekit.toml: [[input]] {name}",
            fix='make it kind = "image", or give the samples as .npz',
        )
    return told


def _stack(files: list[Path], spec: TensorSpec, told: ImageInput | None, place: Place) -> folders.Stack:
    """The images of an input, how deep ones were read, and what is doubtful about them."""
    how = described.image(told or ImageInput(), spec)
    stacked = place.empty((len(files), *spec.source_shape), np.float32)
    sizes: set[tuple[int, int]] = set()
    remarks: dict[str, None] = {}
    coloured = False
    for i, file in enumerate(files):
        picture = decode(file)
        sizes.add((picture.pixels.shape[0], picture.pixels.shape[1]))
        coloured = coloured or picture.coloured
        if picture.remark:
            remarks[f"{spec.source_name}: {picture.remark}"] = None
        pixels, _ = images.placed(picture.pixels, how)
        stacked[i] = images.tensor(pixels, how)
    doubts = _assumed(spec, sizes, how) if told is None else _contradicting(spec, how, coloured=coloured)
    return folders.Stack(stacked, tuple(remarks), doubts)


def _assumed(spec: TensorSpec, sizes: set[tuple[int, int]], how: ImageInput) -> tuple[str, ...]:
    """What nobody said about images: that pixels stay as they are, and that other sizes may be scaled."""
    parts = [] if np.dtype(spec.source_dtype).kind in "iu" else ["pixels stay 0..255"]
    others = [size for size in sorted(sizes) if size != how.size]
    if others and how.size is not None:
        (height, width), more = others[0], len(others) - 1
        found = f"{height}×{width}" + (f" and {more} other size{'s' * (more > 1)}" if more else "")
        parts.append(f"images of {found} were scaled to {how.size[0]}×{how.size[1]}")
    said = f"{spec.source_name}: edgekit.toml has no [[input]] for these images: {', '.join(parts)}"
    return (said,) if parts else ()


def _contradicting(spec: TensorSpec, how: ImageInput, *, coloured: bool) -> tuple[str, ...]:
    """What was said, and the images do not bear out."""
    if coloured or how.channels == "L":
        return ()
    return (f"{spec.source_name}: [[input]] says {how.channels}, but all of these images are grey",)


class Picture(NamedTuple):
    """An image as it was read: bytes ``[height, width, 3]`` in RGB, upright.

    ``coloured`` says whether any of its pixels is not grey, ``remark`` what was done if it holds more than 8 bits a
    channel.
    """

    pixels: NDArray[np.uint8]
    coloured: bool
    remark: str


def decode(file: Path) -> Picture:
    """An image file.

    Raises:
        InputError: it is damaged, or its pixels have no known range.
    """
    from PIL import Image, ImageOps  # noqa: PLC0415 (only image folders need Pillow)

    refusals: tuple[type[Exception], ...] = (
        *UNREADABLE,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    )
    try:
        with _heeding(Image.DecompressionBombWarning), Image.open(file, formats=FORMATS) as opened:
            deep = _full_scale(opened, file)
            remark = _depth(opened, deep)
            upright = ImageOps.exif_transpose(opened)
            if deep is None:
                pixels = np.asarray(upright.convert("RGB"))
            else:
                bytes_ = (np.asarray(upright).astype(np.int64) * 255 + deep // 2) // deep
                pixels = np.repeat(bytes_.clip(0, 255).astype(np.uint8)[..., np.newaxis], 3, axis=-1)
    except refusals as error:
        raise InputError(
            f"{file.name} is no image that can be read: {error}.", place=str(file), fix="remove or replace it"
        ) from error
    return Picture(pixels, bool((pixels != pixels[..., :1]).any()), remark)


@contextmanager
def _heeding(kind: type[Warning]) -> Iterator[None]:
    """While open, warnings of a kind are errors, and others are nothing: of damaged tags the pixels tell enough."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", kind)
        yield


def _full_scale(image: Any, file: Path) -> int | None:
    """The value of full white in an image deeper than 8 bits; None for one of 8 bits.

    Pillow keeps 16-bit grey as it is, and cuts it off at 255 if it is converted to 8 bits.

    Raises:
        InputError: its numbers have no full scale (32-bit integers, floats).
    """
    if image.mode not in {"I", "F"} and not image.mode.startswith("I;16"):
        return None
    if image.mode.startswith("I;16") or image.format == "PPM":  # Pillow scales a deep .pgm to 16 bits
        return 65535
    kind = "floating-point numbers" if image.mode == "F" else "32-bit or signed integers"
    raise InputError(
        f"{file.name} holds {kind} for pixels, and nothing says which of them is white.",
        place=str(file),
        fix="save the samples as the network's own input, in an .npz",
    )


def _depth(image: Any, full_scale: int | None) -> str:
    """What was done to an image deeper than 8 bits; Pillow itself keeps the upper 8 bits of 16-bit colour."""
    if full_scale is not None:
        return f"16-bit grey was read in its whole range: 0..{full_scale} became 0..255"
    colour = any(";16" in str(tile[-1]) for tile in image.tile)
    return "16-bit colour was read by the upper 8 bits of each channel" if colour else ""
