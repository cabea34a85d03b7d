"""Keypoints: places in a picture, given as numbers or as the highest places of heat maps."""

import numpy as np
from numpy.typing import NDArray

from edgekit.nouns.description import KeypointsOutput

Floats = NDArray[np.float32]


def points(output: KeypointsOutput, values: NDArray[np.generic], size: tuple[int, int] | None) -> Floats:
    """Each point's x, y and score ``[N, 3]``, in pixels of the input; the score is 1 if the network gives none.

    Args:
        output: says what the values mean.
        values: one sample ``[1, …]`` in the source's layout.
        size: (height, width) of the input; None if it is no image, and places stay in 0..1.
    """
    height, width = size or (1, 1)
    if output.point_format == "heatmap":
        return _of_maps(output, np.asarray(values, np.float32)) * np.array([width, height, 1], np.float32)
    rows = np.asarray(values, np.float32).reshape(-1, len(output.point_format))
    order = [output.point_format.index(axis) for axis in "xy"]
    scores = rows[:, 2:] if len(output.point_format) == 3 else np.ones((len(rows), 1), np.float32)
    factor = np.array([width, height] if output.coordinates == "normalized" else [1, 1], np.float32)
    return np.concatenate([rows[:, order] * factor, scores], 1)


def _of_maps(output: KeypointsOutput, values: Floats) -> Floats:
    """The centre of each map's highest pixel in 0..1 (of equal ones the first), and what stands there."""
    maps = (values if output.layout == "NCHW" else values.transpose(0, 3, 1, 2))[0]
    _, rows, columns = maps.shape
    flat = maps.reshape(len(maps), -1)
    best = flat.argmax(1)
    x, y = (best % columns + 0.5) / columns, (best // columns + 0.5) / rows
    return np.stack([x, y, flat[np.arange(len(flat)), best]], 1).astype(np.float32)
