"""All outputs of a sample, in an app's terms."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.nouns import findings
from edgekit.nouns.description import (
    ClassificationOutput,
    Description,
    DetectionOutput,
    EmbeddingOutput,
    KeypointsOutput,
    RegressionOutput,
    SegmentationOutput,
)
from edgekit.processing import boxes, keypoints, masks, scores
from edgekit.processing.placing import Placed

Array = NDArray[np.generic]

MOST_VALUES = 64
"""How many numbers of a regression are told one by one; all of them are in the outputs."""


class Found(NamedTuple):
    """Findings in the order of the network's outputs, and masks ``[height, width]`` by output."""

    findings: tuple[findings.Finding, ...]
    masks: dict[str, NDArray[np.int32]]


def interpret(description: Description, outputs: Mapping[str, Array], placed: Placed | None = None) -> Found:
    """What the outputs of one sample mean.

    Args:
        description: complete (`edgekit.processing.described`); outputs that it does not name are told as tensors.
        outputs: ``[*source_shape]`` by the source's name, in its layout, dequantized.
        placed: where the picture lies in the network's input (`Description.picture`), so that boxes and points are told
            in the picture's pixels; in the input's without.
    """
    drawn = {
        row.name: masks.mask(row, outputs[row.name])
        for row in description.outputs
        if isinstance(row, SegmentationOutput)
    }
    picture = description.picture
    sample = _Sample(outputs, drawn, placed, None if picture is None else picture.size)
    told = {row.name: _MEANINGS[type(row)](row, sample) for row in description.outputs}
    read = {name for row in description.outputs for name in row.reads}
    rows = [
        told[name] if name in told else _tensor(name, outputs[name])
        for name in outputs
        if name in told or name not in read
    ]
    return Found(tuple(rows), drawn)


class _Sample(NamedTuple):
    """Outputs and masks by name, and where places are told."""

    outputs: Mapping[str, Array]
    masks: dict[str, NDArray[np.int32]]
    placed: Placed | None
    size: tuple[int, int] | None

    def point(self, x: float, y: float) -> tuple[float, float]:
        """A place in the input, in the picture if there is one, and not outside of it."""
        if self.placed is None:
            return x, y
        x, y = self.placed.to_picture(x, y)
        height, width = self.placed.source
        return min(max(x, 0.0), float(width)), min(max(y, 0.0), float(height))


def label(labels: tuple[str, ...], index: int) -> str:
    """A class's name; its number if it has none."""
    return labels[index] if 0 <= index < len(labels) else str(index)


def _classes(row: ClassificationOutput, sample: _Sample) -> findings.Finding:
    found = scores.activated(sample.outputs[row.name].reshape(-1), row.activation)
    return findings.Classes(
        output=row.name,
        classes=tuple(
            findings.Ranked(index=i, label=label(row.labels, i), score=float(found[i]))
            for i in scores.highest(found, row.top_k, row.threshold)
        ),
    )


def quantities(row: RegressionOutput, values: Array) -> NDArray[np.float32]:
    """All quantities of a regression, in order."""
    return np.asarray(values, np.float32).reshape(-1) * np.float32(row.std) + np.float32(row.mean)


def _quantities(row: RegressionOutput, sample: _Sample) -> findings.Finding:
    values = quantities(row, sample.outputs[row.name])
    told = (
        findings.Quantity(label=label(row.labels, i), value=float(value))
        for i, value in enumerate(values[:MOST_VALUES])
    )
    return findings.Quantities(output=row.name, unit=row.unit, values=tuple(told), total=values.size)


def embedding(row: EmbeddingOutput, values: Array) -> NDArray[np.float32]:
    """A vector; divided by its length if that is asked for, and not 0."""
    found = np.asarray(values, np.float32).reshape(-1)
    norm = np.sqrt(np.square(found).sum(dtype=np.float32))
    return found / norm if row.normalize and norm > 0 else found


def _vector(row: EmbeddingOutput, sample: _Sample) -> findings.Finding:
    found = embedding(row, sample.outputs[row.name])
    norm = float(np.sqrt(np.square(found).sum(dtype=np.float32)))
    return findings.Vector(output=row.name, size=found.size, norm=norm, values=tuple(map(float, found)))


def _mask(row: SegmentationOutput, sample: _Sample) -> findings.Finding:
    found = sample.masks[row.name]
    classes, counts = np.unique(found, return_counts=True)
    told = (
        findings.MaskClass(
            index=int(classes[i]), label=label(row.labels, int(classes[i])), share=int(counts[i]) / found.size
        )
        for i in np.argsort(-counts, kind="stable")
    )
    return findings.Mask(output=row.name, size=(found.shape[0], found.shape[1]), classes=tuple(told))


def _detections(row: DetectionOutput, sample: _Sample) -> findings.Finding:
    found = boxes.detect(row, sample.outputs, sample.size)
    told = []
    for corners, index, score in zip(
        found.corners.tolist(), found.classes.tolist(), found.scores.tolist(), strict=True
    ):
        (left, top), (right, bottom) = sample.point(*corners[:2]), sample.point(*corners[2:])
        told.append(
            findings.Box(
                index=index, label=label(row.labels, index), score=score, left=left, top=top, right=right, bottom=bottom
            )
        )
    return findings.Detections(output=row.name, boxes=tuple(told))


def _points(row: KeypointsOutput, sample: _Sample) -> findings.Finding:
    told = []
    for i, (x, y, score) in enumerate(keypoints.points(row, sample.outputs[row.name], sample.size).tolist()):
        across, down = sample.point(x, y)
        told.append(findings.Point(label=label(row.labels, i), x=across, y=down, score=score))
    return findings.Points(output=row.name, threshold=row.threshold, points=tuple(told))


_MEANINGS: dict[type, Callable[[Any, _Sample], findings.Finding]] = {
    ClassificationOutput: _classes,
    RegressionOutput: _quantities,
    EmbeddingOutput: _vector,
    SegmentationOutput: _mask,
    DetectionOutput: _detections,
    KeypointsOutput: _points,
}


def _tensor(name: str, values: Array) -> findings.RawTensor:
    numbers = values.astype(np.float64) if values.size and values.dtype.kind in "fiub" else None
    low, high, mean = (
        (None, None, None) if numbers is None else (float(numbers.min()), float(numbers.max()), float(numbers.mean()))
    )
    return findings.RawTensor(
        output=name, shape=values.shape, dtype=str(values.dtype), lowest=low, highest=high, mean=mean
    )
