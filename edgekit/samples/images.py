"""Samples from folders of images, by the preprocessing of ``edgekit.toml``."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.nouns.model import Preprocessing, Signature, TensorSpec
from edgekit.samples import listing
from edgekit.samples.content import Raw
from edgekit.samples.npy import UNREADABLE
from edgekit.samples.place import Place
from edgekit.samples.reading import class_labels
from edgekit.waist.tensors import Array

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""Files that are read as images (Pillow's names)."""

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What the content of such a file may be, whatever its name says: others start programs (EPS: Ghostscript)."""


def found(folder: Path) -> bool:
    """Whether a folder, or one below it, holds images."""
    return any(file.suffix.lower() in SUFFIXES for file in folder.rglob("*"))


def _files(folder: Path) -> list[Path]:
    return [file for file in listing.files(folder, SUFFIXES) if not file.name.startswith(".")]


def read(folder: Path, signature: Signature, preprocessing: dict[str, Preprocessing], place: Place) -> Raw:
    """Images as ``[N, *source_shape]``: ``(x * scale - mean) / std`` of pixels 0..255.

    Pixels are scaled to the network's size (bilinear, the whole image, without cropping).

    Args:
        folder: images; its sub-folders are class labels, or inputs if they carry inputs' names.
        signature: of the source.
        preprocessing: by input name; what is absent is read from the input's shape, and that this was
            done is among the doubts.
        place: where they are put, one after another.

    Raises:
        InputError: an image is damaged, or preprocessing and input do not fit.
    """
    specs = {spec.source_name: spec for spec in signature.inputs}
    if all((folder / name).is_dir() for name in specs):
        stacks = {
            name: _stack(_files(folder / name), spec, preprocessing.get(name), place) for name, spec in specs.items()
        }
        arrays = {name: array for name, (array, _, _) in stacks.items()}
        return Raw(
            arrays,
            notes=tuple(note for _, notes, _ in stacks.values() for note in notes),
            doubts=tuple(doubt for _, _, doubts in stacks.values() for doubt in doubts),
        )
    if len(specs) != 1:
        raise InputError(
            f"The folder {folder.name} holds images for one input, the model has {len(specs)}.",
            place=str(folder),
            fix=f"make a sub-folder for each input: {', '.join(specs)}",
        )
    (spec,) = specs.values()
    files = _files(folder)
    labels, notes = class_labels(folder, files)
    array, depths, doubts = _stack(files, spec, preprocessing.get(spec.source_name), place)
    return Raw({spec.source_name: array}, labels, notes + depths, doubts)


def _stack(
    files: list[Path], spec: TensorSpec, declared: Preprocessing | None, place: Place
) -> tuple[Array, tuple[str, ...], tuple[str, ...]]:
    """The images of an input, how deep ones were read, and what was assumed if nothing was declared for it."""
    known = declared or spec.preprocessing
    settings = known or Preprocessing()
    layout, height, width, channels = _geometry(spec, settings)
    mode = settings.channels if declared is not None or channels != 1 else "L"
    size = (height, width)
    _check(spec, settings, mode, size, channels)
    stacked = place.empty((len(files), *spec.source_shape), np.float32)
    whole = np.dtype(spec.source_dtype).kind in "iu"
    sizes: set[tuple[int, int]] = set()
    remarks: dict[str, None] = {}
    for i, file in enumerate(files):
        pixels, found_size, remark = _pixels(file, mode, size)
        sizes.add(found_size)
        if remark:
            remarks[f"{spec.source_name}: {remark}"] = None
        scaled = (np.rint(pixels) if whole else pixels) * np.float32(settings.scale)
        values = (scaled - np.asarray(settings.mean, np.float32)) / np.asarray(settings.std, np.float32)
        stacked[i] = (values.transpose(2, 0, 1) if layout == "NCHW" else values)[np.newaxis]
    return stacked, tuple(remarks), () if known is not None else _assumed(spec, sizes - {size}, size)


def _assumed(spec: TensorSpec, others: set[tuple[int, int]], size: tuple[int, int]) -> tuple[str, ...]:
    """What nobody said about images: that pixels stay as they are, and that other sizes may be scaled."""
    parts = [] if np.dtype(spec.source_dtype).kind in "iu" else ["pixels stay 0..255"]
    if others:
        (height, width), more = min(others), len(others) - 1
        sizes = f"{height}×{width}" + (f" and {more} other size{'s' * (more > 1)}" if more else "")
        parts.append(f"images of {sizes} were scaled to {size[0]}×{size[1]}")
    said = f"{spec.source_name}: edgekit.toml has no [preprocessing] for these images: {', '.join(parts)}"
    return (said,) if parts else ()


def _geometry(spec: TensorSpec, settings: Preprocessing) -> tuple[Literal["NHWC", "NCHW"], int, int, int]:
    """Layout, height, width and channels of an image input."""
    shape = spec.source_shape
    if len(shape) != 4 or shape[0] != 1:
        raise InputError(
            f"Input {spec.source_name} has shape {list(shape)}, which is no image.",
            place=spec.source_name,
            fix="give the samples as .npz",
        )
    known = settings.layout or spec.source_layout
    layout = known if known in {"NHWC", "NCHW"} else "NCHW" if shape[1] in {1, 3} and shape[3] not in {1, 3} else "NHWC"
    if layout == "NCHW":
        return "NCHW", shape[2], shape[3], shape[1]
    return "NHWC", shape[1], shape[2], shape[3]


def _check(spec: TensorSpec, settings: Preprocessing, mode: str, size: tuple[int, int], channels: int) -> None:
    wrong = ""
    if settings.size is not None and settings.size != size:
        wrong = f"size is {list(settings.size)}, the input is {list(size)} (height, width)"
    elif channels != len(mode):
        wrong = f"channels are {mode}, the input has {channels}"
    elif len(settings.mean) not in {1, channels} or len(settings.std) not in {1, channels}:
        wrong = f"mean has {len(settings.mean)} and std {len(settings.std)} numbers, the input has {channels} channels"
    elif 0.0 in settings.std:
        wrong = "std holds 0"
    if wrong:
        raise InputError(
            f"Preprocessing of {spec.source_name} does not fit: {wrong}; the model wants {list(spec.source_shape)}.",
            place=f"edgekit.toml: [preprocessing] or [preprocessing.{spec.source_name}]",
            fix="correct size, channels, mean, std or layout there",
        )


def _pixels(file: Path, mode: str, size: tuple[int, int]) -> tuple[NDArray[np.float32], tuple[int, int], str]:
    """An image's pixels and what they were made from.

    Args:
        file: the image.
        mode: the channels asked for, ``L``, ``RGB`` or ``BGR``.
        size: (height, width) asked for.

    Returns:
        Pixels float32 ``[height, width, channels]``, 0..255, upright; the size as found; and a remark if
        the file holds more than 8 bits a channel.

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
            found_size = (upright.height, upright.width)
            if deep is None:
                eight = upright.convert("L" if mode == "L" else "RGB")
                if found_size != size:
                    eight = eight.resize(size[::-1], Image.Resampling.BILINEAR)
                pixels: NDArray[np.float32] = np.asarray(eight, np.float32).reshape(*size, len(mode))
            else:
                grey = Image.fromarray(np.asarray(upright).astype(np.float32) * np.float32(255 / deep))
                if found_size != size:
                    grey = grey.resize(size[::-1], Image.Resampling.BILINEAR)
                pixels = np.repeat(np.asarray(grey, np.float32)[..., np.newaxis], len(mode), axis=-1)
    except refusals as error:
        raise InputError(
            f"{file.name} is no image that can be read: {error}.", place=str(file), fix="remove or replace it"
        ) from error
    return (pixels[..., ::-1] if mode == "BGR" else pixels), found_size, remark


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
