"""The pictures of a report, as SVG in its page: matplotlib's, in the page's own colours."""

import base64
import hashlib
import io
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from edgekit.errors import MissingTool
from edgekit.nouns.diagnosis import Diagnosed
from edgekit.nouns.manifest import Manifest
from edgekit.nouns.model import TensorSpec
from edgekit.nouns.profile import Profile
from edgekit.report import along, plots, svg
from edgekit.report.plain import plain
from edgekit.waist.tensors import Array

SHEET = 16
"""Most pictures of a contact sheet."""

SIDE = 112
"""The longer side of each, in pixels."""

NAME_LENGTH = 40
"""Most letters of a name in a picture."""

NARROW = (5.2, 3.2)
"""Inches of a picture that a phone shows whole."""

RANGES = 64
"""Most samples whose ranges are drawn."""


def inline(document: str, words: str, kind: str = "wide") -> str:
    """A file of matplotlib's as part of a page: without prolog and metadata, ids of its own, described in words.

    Args:
        document: the file.
        words: what is to be seen, for those who do not see it.
        kind: ``narrow`` if it can be read at a phone's width; ``wide`` pictures scroll there.
    """
    number = hashlib.sha256((words + document).encode()).hexdigest()[:10]
    body = document[document.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"(?<=\sid=\")", f"p{number}-", body)
    body = re.sub(r"(?<=url\(#)|(?<=href=\"#)", f"p{number}-", body)
    body = re.sub(r'^<svg ([^>]*?)width="[^"]*"', r"<svg \1", body, count=1)
    body = re.sub(r'^<svg ([^>]*?)height="[^"]*"', r"<svg \1", body, count=1)
    return body.replace("<svg ", f'<svg class="{kind}" role="img" aria-label="{escape(plain(words))}" ', 1)


def _short(name: str) -> str:
    """A name as it fits into a picture; the page has it whole."""
    told = plain(name)
    return told if len(told) <= NAME_LENGTH else f"{told[: NAME_LENGTH - 1]}…"


def _drawn(words: str, size: tuple[float, float], draw: Callable[[Any], None]) -> str | None:
    """A picture drawn on axes; None without matplotlib."""
    try:
        with svg.style(words) as new:
            figure = new(*size)
            axes = figure.add_subplot()
            draw(axes)
            axes.spines[["top", "right"]].set_visible(False)
            return inline(svg.written(figure), words, "narrow")
    except ImportError:
        return None


def pareto(manifests: Sequence[Manifest]) -> str | None:
    """Size against median latency, a point for each measured file, on each device a mark of its own."""
    points = [
        (file.size_bytes / 1024, profile.latency.median_ms, f"{manifest.target}/{file.file}", profile.device.id)
        for manifest in manifests
        for file in manifest.artifacts
        for profile in manifest.newest(file).values()
        if profile.latency is not None and profile.latency.median_ms.value is not None
    ]
    if not points:
        return None
    devices = list(dict.fromkeys(device for *_, device in points))

    by, unit = (1.0, "ms") if max(found.value or 0.0 for _, found, *_ in points) >= 0.1 else (1000.0, "µs")
    most_x = max(by * max(found.value or 0.0, found.high or 0.0) for _, found, *_ in points)

    def draw(axes: Any) -> None:
        """A series for each device, with the intervals of its medians."""
        for device in devices:
            own = [point for point in points if point[3] == device]
            x, y = [by * (point[1].value or 0.0) for point in own], [point[0] for point in own]
            low = [at - (by * (point[1].low or 0.0) or at) for at, point in zip(x, own, strict=True)]
            high = [(by * (point[1].high or 0.0) or at) - at for at, point in zip(x, own, strict=True)]
            mark = "os^Dv"[devices.index(device) % 5]
            axes.errorbar(
                x, y, xerr=[low, high], fmt=mark, color=f"C{devices.index(device) % 10}", label=_short(device)
            )
            for at_x, at_y, point in zip(x, y, own, strict=True):
                side, shift = ("right", -5) if at_x > most_x / 2 else ("left", 5)
                where = {"textcoords": "offset points", "fontsize": 7, "ha": side}
                axes.annotate(_short(point[2]), (at_x, at_y), (shift, 5), **where).set_in_layout(False)
        axes.set_xlabel(f"median latency in {unit}, with its 95 % interval")
        axes.set_ylabel("size in KiB")
        axes.set_xlim(0, 1.05 * most_x)
        axes.set_ylim(0, 1.2 * max(point[0] for point in points))
        axes.legend(frameon=False, fontsize=8, title="device", loc="lower left")

    told = "; ".join(
        f"{name} on {device}: {median.value:.3g} ms, {kib:.0f} KiB" for kib, median, name, device in points
    )
    return _drawn(f"Size against latency. {told}", NARROW, draw)


def latency(profile: Profile, arrays: Mapping[str, Array]) -> dict[str, str]:
    """Latencies by block, and power over time."""
    what = {"latency": "Latencies of each block", "power": "Power over time"}
    drawn = plots.draw(profile, dict(arrays))
    return {
        name: inline(document, f"{what[name]}, {profile.artifact} on {profile.device.id}")
        for name, document in drawn.items()
    }


def errors(found: Diagnosed) -> str | None:
    """SQNR along the network."""
    worst = ", ".join(f"{row.operator} {row.name}" for row in found.diagnosis.worst(3))
    try:
        return inline(along.draw(found), f"SQNR of each operator of {found.file}; the worst: {worst}")
    except MissingTool:
        return None


def ranges(name: str, values: Array) -> str | None:
    """Least, mean and greatest value of each sample of an input."""
    taken = np.asarray(values[:RANGES], np.float64).reshape(min(len(values), RANGES), -1)
    least, mean, most = taken.min(axis=1), taken.mean(axis=1), taken.max(axis=1)

    def draw(axes: Any) -> None:
        at = np.arange(1, len(taken) + 1)
        axes.vlines(at, least, most, color=svg.PALE, linewidth=3)
        axes.plot(at, mean, ".", color=svg.INK, markersize=4)
        axes.set_xlabel("sample")
        axes.set_ylabel("values")
        axes.set_title(plain(f"{_short(name)}: least to greatest value, dots are means"), fontsize=9)

    words = (
        f"Ranges of the calibration samples of {name}: {least.min():.4g} to {most.max():.4g}, mean {mean.mean():.4g}"
    )
    return _drawn(words, (NARROW[0], 2.0), draw)


def sheet(spec: TensorSpec, values: Array, channels: str) -> str:
    """A contact sheet as a data URL: samples as the network gets them, scaled to the range of all; "" if none fits.

    Args:
        spec: the input.
        values: ``[N, *source_shape]``.
        channels: what they are called; BGR is turned around, so that colours are right if the name is.
    """
    if values.ndim != 5 or values.shape[1] != 1:
        return ""
    pictures = np.asarray(values[:SHEET, 0], np.float64)
    if spec.source_layout == "NCHW" or (pictures.shape[1] in {1, 3} and pictures.shape[-1] not in {1, 3}):
        pictures = np.moveaxis(pictures, 1, -1)
    if pictures.shape[-1] not in {1, 3} or not np.isfinite(pictures).all():
        return ""
    low, high = pictures.min(), pictures.max()
    scaled = np.rint((pictures - low) * (255 / ((high - low) or 1))).astype(np.uint8)
    scaled = scaled[..., ::-1] if channels == "BGR" else scaled
    return _tiles(scaled)


def _tiles(pictures: Array) -> str:
    from PIL import Image  # noqa: PLC0415  only for pictures

    height, width = pictures.shape[1:3]
    by = SIDE / max(height, width)
    size = (max(1, round(width * by)), max(1, round(height * by)))
    columns = min(len(pictures), 8)
    board = Image.new("RGB", (columns * (size[0] + 4), -(-len(pictures) // columns) * (size[1] + 4)), "white")
    for i, picture in enumerate(pictures):
        one = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else np.ascontiguousarray(picture))
        resized = one.convert("RGB").resize(size, Image.Resampling.NEAREST if by > 1 else Image.Resampling.BOX)
        board.paste(resized, ((i % columns) * (size[0] + 4) + 2, (i // columns) * (size[1] + 4) + 2))
    out = io.BytesIO()
    board.save(out, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
