"""What was found in a picture, drawn into it: boxes, points, masks."""

import colorsys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.host.replacing import replacing
from edgekit.nouns.description import ImageInput
from edgekit.nouns.findings import Detections, Finding, Mask, Points
from edgekit.processing.placing import Placed, placement

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
"""By suffix: what a picture is written as."""

OVERLAY = 0.5
"""How much of a pixel the colour of its class takes."""


def paint(
    pixels: NDArray[np.uint8],
    findings: Iterable[Finding],
    masks: Mapping[str, NDArray[Any]],
    image: ImageInput,
    out: Path,
) -> None:
    """Write a picture with what was found in it.

    Args:
        pixels: of the picture, ``[height, width, 3]`` in RGB.
        findings: in the picture's pixels.
        masks: classes ``[height, width]`` of the network's input, by output.
        image: the complete description of the input.
        out: the file, of a suffix in `FORMATS`.

    Raises:
        InputError: the file cannot be written.
    """
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415  only a picture needs Pillow

    where = placement((pixels.shape[0], pixels.shape[1]), image)
    for finding in findings:
        if isinstance(finding, Mask):
            unlabelled = {row.index for row in finding.classes if _is_background(row.index, row.label)}
            pixels = overlaid(pixels, spread(masks[finding.output], where), unlabelled)
    picture = Image.fromarray(pixels)
    pen = ImageDraw.Draw(picture)
    thick = max(1, round(max(picture.size) / 300))
    font = ImageFont.load_default(max(10, round(max(picture.size) / 45)))
    for finding in findings:
        if isinstance(finding, Detections):
            for box in reversed(finding.boxes):  # the best one on top
                _box(pen, (box.left, box.top, box.right, box.bottom), colour(box.index), thick)
                text = f"{box.label} {box.score:.2f}"
                _text(pen, (box.left, box.top), text, colour(box.index), font)
        elif isinstance(finding, Points):
            for i, point in enumerate(finding.points):
                if point.score >= finding.threshold:
                    reach = 2 * thick
                    ends = (point.x - reach, point.y - reach, point.x + reach, point.y + reach)
                    pen.ellipse(ends, fill=colour(i))
    try:
        with replacing(out) as aside:
            picture.save(aside, format=FORMATS[out.suffix.lower()])
    except OSError as error:
        raise InputError(
            f"{out} cannot be written: {error.strerror or error}.", place=str(out), fix="choose another"
        ) from error


def _is_background(index: int, label: str) -> bool:
    return index == 0 and (label == "0" or "background" in label.lower())


def _box(pen: Any, ends: tuple[float, float, float, float], ink: tuple[int, int, int], thick: int) -> None:
    left, top, right, bottom = ends
    pen.rectangle((left, top, max(left, right), max(top, bottom)), outline=ink, width=thick)


def _text(pen: Any, at: tuple[float, float], text: str, ink: tuple[int, int, int], font: Any) -> None:
    """A label above a place; below if there is no room above."""
    left, top, right, bottom = pen.textbbox(at, text, font=font)
    up = bottom - at[1] if at[1] >= bottom - at[1] else 0
    pen.rectangle((left, top - up, right, bottom - up), fill=ink)
    pen.text((at[0], at[1] - up), text, fill=(0, 0, 0), font=font)


def colour(index: int) -> tuple[int, int, int]:
    """A bright colour for a class: neighbours differ by the golden ratio of the hues."""
    red, green, blue = colorsys.hsv_to_rgb(index * 0.618033988749895 % 1, 0.75, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def spread(mask: NDArray[Any], where: Placed) -> NDArray[np.int64]:
    """The class of each pixel of a picture ``[height, width]``; -1 where the network did not look."""
    found = []
    for axis, offset in ((0, where.top), (1, where.left)):
        centres = (np.arange(where.source[axis]) + 0.5) * where.scaled[axis] / where.source[axis] + offset
        index = np.floor(centres * mask.shape[axis] / where.size[axis]).astype(np.int64)
        found.append(np.where((centres >= 0) & (centres < where.size[axis]), index, -1))
    rows, columns = found
    classes: NDArray[np.int64] = mask[rows.clip(0, mask.shape[0] - 1)][:, columns.clip(0, mask.shape[1] - 1)].astype(
        np.int64
    )
    classes[rows < 0] = -1
    classes[:, columns < 0] = -1
    return classes


def overlaid(pixels: NDArray[np.uint8], classes: NDArray[np.int64], left_out: set[int]) -> NDArray[np.uint8]:
    """A picture whose pixels take on the colour of their class, but for some classes."""
    made = pixels.astype(np.float32)
    for index in np.unique(classes):
        if index >= 0 and int(index) not in left_out:
            there = classes == index
            made[there] = made[there] * (1 - OVERLAY) + np.array(colour(int(index)), np.float32) * OVERLAY
    return made.round().astype(np.uint8)
