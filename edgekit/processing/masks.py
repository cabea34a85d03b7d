"""Segmentation: a class for each pixel of an output."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.nouns.description import SegmentationOutput
from edgekit.processing.scores import activated


def mask(output: SegmentationOutput, values: NDArray[np.generic]) -> NDArray[np.int32]:
    """The class of each pixel, ``[height, width]``; of equal scores the first.

    Args:
        output: says what the values mean.
        values: one sample ``[1, …]`` in the source's layout: scores of classes; one score, which is compared with the
            threshold; or whole numbers, which are classes.
    """
    maps: NDArray[Any] = values
    if values.ndim == 4:
        maps = (values if output.layout == "NCHW" else values.transpose(0, 3, 1, 2))[0]
    if len(maps) > 1:
        return np.asarray(maps.argmax(0), np.int32)
    (only,) = maps
    if only.dtype.kind in "iub":
        return np.asarray(only, np.int32)
    return np.asarray(activated(only, output.activation) >= np.float32(output.threshold), np.int32)
