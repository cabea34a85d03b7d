"""What a network's inputs and outputs mean to an app: ``[[input]]`` and ``[[output]]`` of ``edgekit.toml``.

The arithmetic that these words stand for is in `edgekit.processing`, and nowhere else.
"""

from typing import Annotated, Literal

import msgspec

from edgekit.nouns.base import Noun

Size = Annotated[int, msgspec.Meta(ge=1, le=2**15)]
"""Pixels of a height or a width."""

Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]

Resize = Literal["nearest", "bilinear", "bilinear-antialias", "bicubic-antialias", "area"]
"""How a picture is scaled; `edgekit.processing.resizing` defines each by integer arithmetic."""

Fit = Literal["stretch", "crop", "letterbox"]
"""How a picture of another aspect ratio gets into the input (`edgekit.processing.placing`)."""

Layout = Literal["NHWC", "NCHW"]

Activation = Literal["none", "softmax", "sigmoid"]
"""What makes probabilities of an output: nothing, if they are, or a function of its logits."""


class ImageInput(Noun, frozen=True, kw_only=True, tag_field="kind", tag="image"):
    """A picture: upright, placed into the input's size as bytes 0..255, then normalized.

    The arithmetic is that of ``(byte - offset) / divisor`` in float32, with ``offset`` and ``divisor`` made of range,
    mean and std: bytes 0..255 become ``range``, of which ``mean`` is subtracted, and which is divided by ``std``.

    Keys:
        name: the input's, as the model calls it; it may be left out if the model has one input.
        size: [height, width] in pixels, as the model has it.
        channels: RGB, BGR or L (grey); RGB or L without, as many as the model has.
        resize: nearest, bilinear (between four pixels), bilinear-antialias or bicubic-antialias (as Pillow and
            torchvision scale), or area (the mean of what a pixel covers).
        fit: stretch (the aspect ratio is lost), crop (the middle), or letterbox (all of it, with bars).
        shorter_side: with crop, what the shorter side is scaled to before the middle is cut out (256 for many
            networks that take 224); without it, as little as possible is cut off.
        pad_value: with letterbox, the byte that fills the bars.
        range: what bytes 0..255 become; [0, 255] leaves them as they are, [0, 1] and [-1, 1] are common.
        mean: subtracted from that range, one number, or one for each channel in the order of ``channels``.
        std: what is divided by then, likewise.
        layout: NHWC or NCHW, as the model has it; found from its shape without.
    """

    name: str = ""
    size: tuple[Size, Size] | None = None
    channels: Literal["RGB", "BGR", "L"] | None = None
    resize: Resize = "bilinear-antialias"
    fit: Fit = "stretch"
    shorter_side: Size | None = None
    pad_value: Byte = 0
    range: tuple[float, float] = (0.0, 255.0)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: Layout | None = None

    @property
    def offsets(self) -> tuple[float, ...]:
        """What is subtracted from bytes: one number, or one for each channel."""
        low, high = self.range
        return tuple(255 * (mean - low) / (high - low) for mean in self.mean)

    @property
    def divisors(self) -> tuple[float, ...]:
        """What they are divided by then."""
        low, high = self.range
        return tuple(255 * std / (high - low) for std in self.std)

    @property
    def ends(self) -> tuple[tuple[float, float], ...]:
        """The least and the greatest number that bytes become: one pair, or one for each channel."""
        offsets, divisors = self.offsets, self.divisors
        count = max(len(offsets), len(divisors))
        each = zip(offsets * (count // len(offsets)), divisors * (count // len(divisors)), strict=True)
        pairs = [((0 - offset) / divisor, (255 - offset) / divisor) for offset, divisor in each]
        return tuple((min(pair), max(pair)) for pair in pairs)


class AudioInput(Noun, frozen=True, kw_only=True, tag_field="kind", tag="audio"):
    """A waveform of one channel, as long as the input.

    Keys:
        name: the input's, as the model calls it; it may be left out if the model has one input.
        sample_rate: in Hz; files of another rate are refused, since resampling is a choice of its own.
        full_scale: what the loudest sample becomes: 1 for waveforms of -1..1, 32768 for those of 16-bit numbers.
        fit: what becomes of a longer recording: start (its beginning) or middle; a shorter one is filled with silence.
    """

    name: str = ""
    sample_rate: Annotated[int, msgspec.Meta(ge=1, le=768_000)] = 16_000
    full_scale: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    fit: Literal["start", "middle"] = "start"


class TensorInput(Noun, frozen=True, kw_only=True, tag_field="kind", tag="tensor"):
    """Numbers that the app makes: they are taken as they are.

    Keys:
        name: the input's, as the model calls it; it may be left out if the model has one input.
    """

    name: str = ""


class TokensInput(Noun, frozen=True, kw_only=True, tag_field="kind", tag="tokens"):
    """Whole numbers that stand for pieces of text: cut off or filled up to the input's length.

    Keys:
        name: the input's, as the model calls it; it may be left out if the model has one input.
        pad_id: fills a text that is too short.
        vocabulary: the tokens, the number of each being its place: a file with one on a line, or a list.
    """

    name: str = ""
    pad_id: Annotated[int, msgspec.Meta(ge=0)] = 0
    vocabulary: tuple[str, ...] = ()


Input = ImageInput | AudioInput | TensorInput | TokensInput


class _Output(Noun, frozen=True, kw_only=True):
    """What every ``[[output]]`` says."""

    name: str = ""

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of all outputs that it is made of."""
        return (self.name,)


class ClassificationOutput(_Output, frozen=True, kw_only=True, tag_field="task", tag="classification"):
    """Scores of classes, the highest being the answer.

    Keys:
        name: the output's, as the model calls it; it may be left out if the model has one output.
        labels: the classes in their order: a file with one on a line, or a list.
        activation: softmax or sigmoid if the output holds logits, none if it holds probabilities.
        top_k: how many of the highest are told.
        threshold: scores below it are not told.
    """

    labels: tuple[str, ...] = ()
    activation: Activation = "none"
    top_k: Annotated[int, msgspec.Meta(ge=1)] = 5
    threshold: Annotated[float, msgspec.Meta(ge=0)] = 0.0


class RegressionOutput(_Output, frozen=True, kw_only=True, tag_field="task", tag="regression"):
    """Quantities: ``value * std + mean`` of what the network gives.

    Keys:
        name: the output's, as the model calls it; it may be left out if the model has one output.
        labels: what each quantity is: a file with one on a line, or a list.
        unit: of all of them.
        mean: of the values that the network was trained on, if these were normalized.
        std: likewise.
    """

    labels: tuple[str, ...] = ()
    unit: str = ""
    mean: float = 0.0
    std: float = 1.0


class EmbeddingOutput(_Output, frozen=True, kw_only=True, tag_field="task", tag="embedding"):
    """A vector to be compared with others.

    Keys:
        name: the output's, as the model calls it; it may be left out if the model has one output.
        normalize: divide it by its length, so that a dot product is the cosine.
    """

    normalize: bool = False


class SegmentationOutput(_Output, frozen=True, kw_only=True, tag_field="task", tag="segmentation"):
    """A class for each pixel: the highest score, or whole numbers that are the classes.

    One score for each pixel is a mask of two classes: the second where its activation is at least ``threshold``.

    Keys:
        name: the output's, as the model calls it; it may be left out if the model has one output.
        labels: the classes in their order: a file with one on a line, or a list.
        activation: of a mask with one score for each pixel; the highest of several needs none.
        threshold: of such a mask.
        layout: NHWC or NCHW, as the model has it; found from its shape without.
    """

    labels: tuple[str, ...] = ()
    activation: Literal["none", "sigmoid"] = "none"
    threshold: Share = 0.5
    layout: Layout | None = None


BoxFormat = Literal["xyxy", "yxyx", "cxcywh", "cycxhw", "xywh"]
"""What four numbers say of a box: two corners, centre and size, or (``xywh``) upper left corner and size."""


class DetectionOutput(_Output, frozen=True, kw_only=True, tag_field="task", tag="detection"):
    """Boxes with a class and a score each, of ``[1, N, …]`` candidates (`edgekit.processing.boxes`).

    Keys:
        name: the output that holds the boxes; it may be left out if the model has one output.
        labels: the classes in their order: a file with one on a line, or a list.
        box_format: what the four numbers of a box say, after ``decoding``.
        coordinates: normalized (0..1 of the input's size) or pixels (of the input).
        transposed: the output is ``[1, values, N]`` instead of ``[1, N, values]``.
        scores: the output with a score for each class, ``[1, N, classes]``, or for each box if ``classes`` is said;
            without it they stand behind the box in one output.
        classes: the output with the number of each box's class, ``[1, N]``, of networks that end with suppression.
        count: the output with the number of boxes that are meant, of such networks.
        objectness: a score stands before those of the classes, and multiplies them.
        background: the first score is that of no object; the labels begin behind it.
        activation: of the scores: softmax or sigmoid if they are logits.
        decoding: none (the output holds boxes), ssd (distances from ``anchors``), yolov3, yolov5, yolox, or ltrb
            (distances from points of grids to the four sides, in strides).
        anchors: with ssd, a file of lines ``centre x,centre y,width,height`` in 0..1, or a list of such lists.
        variances: with ssd, what distances of centres and of sizes are multiplied by.
        strides: with the other decodings, the pixels of the input between two points of each grid.
        anchor_sizes: with yolov3 and yolov5, for each stride the widths and heights in pixels of the input.
        score_threshold: boxes with less are left out.
        suppression: of boxes that overlap: per-class, across (all classes), or none.
        iou_threshold: what overlaps more than this (intersection over union) is suppressed by what scores higher.
        max_boxes: the most that are told.
    """

    labels: tuple[str, ...] = ()
    box_format: BoxFormat = "xyxy"
    coordinates: Literal["normalized", "pixels"] = "normalized"
    transposed: bool = False
    scores: str | None = None
    classes: str | None = None
    count: str | None = None
    objectness: bool = False
    background: bool = False
    activation: Activation = "none"
    decoding: Literal["none", "ssd", "yolov3", "yolov5", "yolox", "ltrb"] = "none"
    anchors: tuple[tuple[float, float, float, float], ...] = ()
    variances: tuple[float, float] = (0.1, 0.2)
    strides: tuple[Size, ...] = ()
    anchor_sizes: tuple[tuple[tuple[float, float], ...], ...] = ()
    score_threshold: Share = 0.25
    suppression: Literal["per-class", "across", "none"] = "per-class"
    iou_threshold: Share = 0.5
    max_boxes: Annotated[int, msgspec.Meta(ge=1)] = 100

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of all outputs that it is made of."""
        return tuple(name for name in (self.name, self.scores, self.classes, self.count) if name is not None)


class KeypointsOutput(_Output, frozen=True, kw_only=True, tag_field="task", tag="keypoints"):
    """Points of a picture, ``[…, N, 2]`` or with a score ``[…, N, 3]``, or heat maps of them.

    Keys:
        name: the output's, as the model calls it; it may be left out if the model has one output.
        labels: what each point is: a file with one on a line, or a list.
        point_format: xy or yx; with a score behind them xys or yxs; or heatmap, whose highest place is the point.
        coordinates: normalized (0..1 of the input's size) or pixels (of the input); heat maps need none.
        threshold: points with a lower score are not drawn.
        layout: of heat maps, NHWC or NCHW, as the model has it; found from its shape without.
    """

    labels: tuple[str, ...] = ()
    point_format: Literal["xy", "yx", "xys", "yxs", "heatmap"] = "xy"
    coordinates: Literal["normalized", "pixels"] = "normalized"
    threshold: Annotated[float, msgspec.Meta(ge=0)] = 0.3
    layout: Layout | None = None


Output = (
    ClassificationOutput | RegressionOutput | EmbeddingOutput | SegmentationOutput | DetectionOutput | KeypointsOutput
)


class ModelCard(Noun, frozen=True, kw_only=True):
    """What people are told of a network; it is embedded in files that can hold it.

    Keys:
        name: what it is called.
        description: what it does.
        version: its own.
        author: who made it.
        license: under which it may be used, by name or as text.
    """

    name: str = ""
    description: str = ""
    version: str = ""
    author: str = ""
    license: str = ""


class Description(Noun, frozen=True, kw_only=True):
    """What is known of a network's inputs and outputs, in the source's names and layouts.

    What nobody described is a tensor: it is taken, and given, as it is.
    """

    inputs: tuple[Input, ...] = ()
    outputs: tuple[Output, ...] = ()
    card: ModelCard = ModelCard()

    @property
    def empty(self) -> bool:
        """Whether nothing is said."""
        return self == Description()

    def input(self, name: str) -> Input | None:
        """What is said of an input, None if nothing is."""
        return next((one for one in self.inputs if one.name == name), None)

    def image(self, name: str) -> ImageInput | None:
        """What is said of an input that takes pictures."""
        found = self.input(name)
        return found if isinstance(found, ImageInput) else None

    @property
    def picture(self) -> ImageInput | None:
        """The first input that takes pictures: in its pixels outputs tell places."""
        return next((row for row in self.inputs if isinstance(row, ImageInput)), None)
