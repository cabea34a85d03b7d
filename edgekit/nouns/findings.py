"""What a network found in one sample, in an app's terms."""

from edgekit.nouns.base import Noun
from edgekit.nouns.model import Precision


class Ranked(Noun, frozen=True, kw_only=True):
    """A class with its score; ``label`` is its number if it has no name."""

    index: int
    label: str
    score: float


class Classes(Noun, frozen=True, kw_only=True, tag_field="task", tag="classification"):
    """The classes that score highest, in this order."""

    output: str
    classes: tuple[Ranked, ...]


class Quantity(Noun, frozen=True, kw_only=True):
    """One number of a regression."""

    label: str
    value: float


class Quantities(Noun, frozen=True, kw_only=True, tag_field="task", tag="regression"):
    """What a regression gives; the first of them if there are very many."""

    output: str
    unit: str
    values: tuple[Quantity, ...]
    total: int


class Vector(Noun, frozen=True, kw_only=True, tag_field="task", tag="embedding"):
    """An embedding: its length as a list and as a vector (L2 norm)."""

    output: str
    size: int
    norm: float
    values: tuple[float, ...]


class MaskClass(Noun, frozen=True, kw_only=True):
    """A class of a mask, and its share (0..1) of the pixels."""

    index: int
    label: str
    share: float


class Mask(Noun, frozen=True, kw_only=True, tag_field="task", tag="segmentation"):
    """The classes that occur in a mask of ``size`` (height, width), the most frequent first."""

    output: str
    size: tuple[int, int]
    classes: tuple[MaskClass, ...]


class Box(Noun, frozen=True, kw_only=True):
    """A box in pixels of the picture, of the input if there is none, or in 0..1 if that is no image."""

    index: int
    label: str
    score: float
    left: float
    top: float
    right: float
    bottom: float


class Detections(Noun, frozen=True, kw_only=True, tag_field="task", tag="detection"):
    """Boxes, highest score first."""

    output: str
    boxes: tuple[Box, ...]


class Point(Noun, frozen=True, kw_only=True):
    """A point, placed as a `Box` is."""

    label: str
    x: float
    y: float
    score: float


class Points(Noun, frozen=True, kw_only=True, tag_field="task", tag="keypoints"):
    """Keypoints in the network's order; ``threshold`` is the score from which they are drawn."""

    output: str
    threshold: float
    points: tuple[Point, ...]


class RawTensor(Noun, frozen=True, kw_only=True, tag_field="task", tag="tensor"):
    """An output that nobody described: None for what cannot be said of its numbers."""

    output: str
    shape: tuple[int, ...]
    dtype: str
    lowest: float | None
    highest: float | None
    mean: float | None


Finding = Classes | Quantities | Vector | Mask | Detections | Points | RawTensor


class Ran(Noun, frozen=True, kw_only=True):
    """What a file found in a sample; ``findings`` is None if it does not run here, for a reason among the ``notes``."""

    file: str
    precision: Precision | None
    findings: tuple[Finding, ...] | None
    notes: tuple[str, ...] = ()
