"""Samples from folders of images, by the preprocessing of ``edgekit.toml``."""

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.samples.content import Raw
from edgekit.samples.reading import class_labels
from edgekit.tensors import Array
from edgekit.types import Preprocessing, Signature, TensorSpec

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""Files that are read as images (Pillow's names)."""


def found(folder: Path) -> bool:
    """Whether a folder, or one below it, holds images."""
    return any(file.suffix.lower() in SUFFIXES for file in folder.rglob("*"))


def _files(folder: Path) -> list[Path]:
    return sorted(
        file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
    )


def read(folder: Path, signature: Signature, preprocessing: dict[str, Preprocessing]) -> Raw:
    """Images as ``[N, *source_shape]``: ``(x * scale - mean) / std`` of pixels 0..255.

    Pixels are scaled to the network's size (bilinear, the whole image, without cropping).

    Args:
        folder: images; its sub-folders are class labels, or inputs where they carry inputs' names.
        signature: of the source.
        preprocessing: by input name; what is absent is read from the input's shape.

    Raises:
        InputError: an image is damaged, or preprocessing and input do not fit.
    """
    specs = {spec.source_name: spec for spec in signature.inputs}
    if all((folder / name).is_dir() for name in specs):
        arrays = {name: _stack(_files(folder / name), spec, preprocessing.get(name)) for name, spec in specs.items()}
        return Raw(arrays)
    if len(specs) != 1:
        raise InputError(
            f"The folder {folder.name} holds images for one input, the model has {len(specs)}.",
            place=str(folder),
            fix=f"make a sub-folder for each input: {', '.join(specs)}",
        )
    (spec,) = specs.values()
    files = _files(folder)
    labels, notes = class_labels(folder, files)
    return Raw({spec.source_name: _stack(files, spec, preprocessing.get(spec.source_name))}, labels, notes)


def _stack(files: list[Path], spec: TensorSpec, declared: Preprocessing | None) -> Array:
    settings = declared or spec.preprocessing or Preprocessing()
    layout, height, width, channels = _geometry(spec, settings)
    mode = settings.channels if declared is not None or channels != 1 else "L"
    _check(spec, settings, mode, (height, width), channels)
    stacked = np.empty((len(files), *spec.source_shape), np.float32)
    for i, file in enumerate(files):
        pixels = _pixels(file, mode, (height, width)).astype(np.float32)
        values = (pixels * np.float32(settings.scale) - np.asarray(settings.mean, np.float32)) / np.asarray(
            settings.std, np.float32
        )
        stacked[i] = (values.transpose(2, 0, 1) if layout == "NCHW" else values)[np.newaxis]
    return stacked


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
            place=f"[inputs.{spec.source_name}]",
            fix="correct size, channels, mean, std or layout in edgekit.toml",
        )


def _pixels(file: Path, mode: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Pixels ``[height, width, channels]``, 0..255, upright, in the channel order asked for."""
    from PIL import Image, ImageOps, UnidentifiedImageError  # noqa: PLC0415 (only image folders need Pillow)

    try:
        with Image.open(file) as opened:
            upright = ImageOps.exif_transpose(opened).convert("L" if mode == "L" else "RGB")
            if upright.size != size[::-1]:
                upright = upright.resize(size[::-1], Image.Resampling.BILINEAR)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError, EOFError) as error:
        raise InputError(
            f"{file.name} is no image that can be read: {error}.", place=str(file), fix="remove or replace it"
        ) from error
    pixels = np.asarray(upright, np.uint8).reshape(*size, len(mode))
    return pixels[..., ::-1] if mode == "BGR" else pixels
