"""Which numbers of a network's outputs are the boxes and the scores of a detection."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgekit.nouns.description import DetectionOutput

Floats = NDArray[np.float32]


def split(output: DetectionOutput, outputs: Mapping[str, NDArray[np.generic]]) -> tuple[Floats, Floats, Floats | None]:
    """Candidates of one sample.

    Returns:
        Four numbers of each ``[N, 4]``, its scores as they stand there ``[N, classes]`` (``[N, 1]`` with `classes`),
        and what they are multiplied by ``[N]``, None without objectness.
    """
    values = np.asarray(outputs[output.name], np.float32)
    if output.scores is not None:
        boxes = values.reshape(4, -1).T if output.transposed else values.reshape(-1, 4)
        scores = np.asarray(outputs[output.scores], np.float32)
        scores = scores.reshape(-1, len(boxes)).T if output.transposed else scores.reshape(len(boxes), -1)
        return boxes, scores, None
    rows = values.reshape(values.shape[-2:])
    rows = rows.T if output.transposed else rows
    if output.objectness:
        return rows[:, :4], rows[:, 5:], rows[:, 4]
    return rows[:, :4], rows[:, 4:], None
