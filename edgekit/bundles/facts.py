"""What templates are told about a file: its tensors, and what these mean to an app. Nothing is read or written."""

import math
from collections.abc import Iterable
from typing import Literal

import msgspec

from edgekit.bundles import compiled_model
from edgekit.bundles.literals import Text, entry
from edgekit.bundles.naming import Name, name, names, tells_nothing
from edgekit.errors import Unsupported
from edgekit.nouns.description import (
    AudioInput,
    Description,
    DetectionOutput,
    ImageInput,
    Input,
    Output,
    RegressionOutput,
    TokensInput,
)
from edgekit.nouns.manifest import ArtifactFile, Manifest
from edgekit.nouns.model import TensorSpec
from edgekit.processing import fits
from edgekit.processing.described import file_layout

Kind = Literal["image", "audio", "tokens", "tensor"]

Task = Literal["classification", "regression", "embedding", "segmentation", "detection", "keypoints", "tensor"]

DTYPES = frozenset({"float32", "int8", "uint8", "int16", "int32", "int64", "bool"})
"""Of tensors that code for apps fills and reads."""


class TensorFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor of the file, in its order (``index``), which calls it ``own_name``.

    ``shape`` and ``dtype`` are the file's. ``scale`` is None if stored numbers are what the app means; else
    real = scale * (stored - zero_point). ``source_shape`` is the trained network's; axis *k* of the file's tensor is
    axis ``permutation[k]`` of that (None: they are the same). ``real``: an app sees float32, not ``dtype``.
    ``takes_bytes``: the file takes the bytes of a picture of its size, in RGB or grey, and normalizes them itself.
    """

    name: Name
    title: Text
    own_name: Text
    index: int
    shape: tuple[int, ...]
    dtype: str
    scale: float | None
    zero_point: int | None
    source_shape: tuple[int, ...]
    permutation: tuple[int, ...] | None
    real: bool
    takes_bytes: bool = False

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def seen(self) -> str:
        """The dtype that an app sees."""
        return "float32" if self.real else self.dtype

    @property
    def moved(self) -> tuple[int, ...] | None:
        """``permutation``, None if the order of the numbers in memory stays the same."""
        if self.permutation is None:
            return None
        long = [axis for axis in self.permutation if self.source_shape[axis] > 1]
        return None if long == sorted(long) else self.permutation


class ImageFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How a picture becomes an input (`edgekit.nouns.description.ImageInput`), with nothing left open.

    Bytes are ``(byte - offset) / divisor`` then, both for each channel. ``layout`` is the file's.
    """

    height: int
    width: int
    channels: Literal["RGB", "BGR", "L"]
    resize: str
    fit: str
    shorter_side: int | None
    pad_value: int
    offsets: tuple[float, ...]
    divisors: tuple[float, ...]
    layout: str

    @property
    def strides(self) -> dict[str, int]:
        """How far apart rows (``H``), columns (``W``) and channels (``C``) lie in the file's tensor."""
        sizes = {"N": 1, "H": self.height, "W": self.width, "C": len(self.channels)}
        return {axis: math.prod(sizes[inner] for inner in self.layout[i + 1 :]) for i, axis in enumerate(self.layout)}


class InputFacts(msgspec.Struct, frozen=True, kw_only=True):
    """An input: its tensor, and by ``kind`` how an app's data gets there."""

    name: Name
    title: Text
    kind: Kind
    tensor: TensorFacts
    image: ImageFacts | None = None
    audio: AudioInput | None = None
    tokens: TokensInput | None = None

    @property
    def prepared(self) -> str:
        """The dtype of what preprocessing makes: float32 before it is quantized."""
        if self.kind in {"image", "audio"} and not self.tensor.takes_bytes:
            return "float32"
        return self.tensor.seen


class ResultFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What an app is told: the row of the description, and the tensors that it is made of, the row's own first.

    ``row`` is None for a tensor that nobody described. ``in_picture``: places are told in pixels of the picture that
    the first image input was given; else in those of the input, ``size`` (height, width), or in 0..1 if that is None.
    """

    name: Name
    title: Text
    task: Task
    row: Output | None
    tensors: tuple[TensorFacts, ...]
    labels: tuple[Text, ...]
    unit: Text
    size: tuple[int, int] | None
    in_picture: bool

    @property
    def tensor(self) -> TensorFacts:
        """Its first tensor."""
        return self.tensors[0]

    @property
    def roles(self) -> dict[str, TensorFacts]:
        """By what the description calls them (``name``, ``scores``, ``classes``, ``count``): its tensors."""
        keys = [key for key in ("name", "scores", "classes", "count") if getattr(self.row, key, None) is not None]
        return dict(zip(keys, self.tensors, strict=True)) if self.row is not None else {"name": self.tensor}

    @property
    def candidates(self) -> int:
        """Of a detection: how many boxes its tensors hold, before any is left out."""
        assert isinstance(self.row, DetectionOutput)
        return fits.count(self.tensor.source_shape, self.row)

    @property
    def scored(self) -> int:
        """Of a detection: how many scores stand for each of them, those of the background included."""
        assert isinstance(self.row, DetectionOutput)
        if "scores" in self.roles:
            return self.roles["scores"].elements // self.candidates
        return self.tensor.elements // self.candidates - 4 - self.row.objectness

    @property
    def places(self) -> bool:
        """Whether it tells places in the picture."""
        return self.task in {"detection", "keypoints"}


class VariantFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A file that the code can load: the same network in another precision. ``asset`` is its name in the bundle.

    ``holds_state``: in variables, be it for no longer than a run.
    """

    name: Name
    file: str
    asset: str
    precision: str
    use: str
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    holds_state: bool = False

    @property
    def compiled(self) -> bool:
        """Whether Android's ``CompiledModel`` opens the file, and takes all of its tensors."""
        return (
            not self.holds_state and {tensor.dtype for tensor in (*self.inputs, *self.outputs)} <= compiled_model.TAKEN
        )


class BundleFacts(msgspec.Struct, frozen=True, kw_only=True):
    """All about one bundle. ``variant`` is the file that it carries, ``variants`` are all that fit the code."""

    model: Name
    title: Text
    summary: Text
    source: Text
    variant: VariantFacts
    variants: tuple[VariantFacts, ...]
    inputs: tuple[InputFacts, ...]
    outputs: tuple[TensorFacts, ...]
    results: tuple[ResultFacts, ...]

    @property
    def compiled(self) -> bool:
        """Whether Android's ``CompiledModel`` takes the file that the bundle carries."""
        return self.variant.compiled

    @property
    def compiled_always(self) -> bool:
        """The same of all files that fit the code."""
        return all(one.compiled for one in self.variants)

    @property
    def picture(self) -> InputFacts | None:
        """The first input that takes pictures: in its pixels places are told."""
        return next((one for one in self.inputs if one.kind == "image"), None)

    @property
    def kinds(self) -> set[str]:
        """Which kinds of inputs there are."""
        return {one.kind for one in self.inputs}

    @property
    def tasks(self) -> set[str]:
        """Which tasks there are."""
        return {one.task for one in self.results}


def chosen(manifest: Manifest) -> ArtifactFile:
    """The file that a bundle carries: the first in the target's order that passes, else the first that is of use."""
    order = ("pass", "warn", "miss")
    verdicts = [None if file.verification is None else file.verification.verdict for file in manifest.artifacts]
    for verdict in order:
        if verdict in verdicts:
            return manifest.artifacts[verdicts.index(verdict)]
    return manifest.artifacts[0]


def of(manifest: Manifest, file: ArtifactFile) -> BundleFacts:
    """What templates are told.

    Args:
        manifest: of the folder, whose description is complete.
        file: the one that the bundle carries.

    Raises:
        Unsupported: a tensor's dtype is none that apps fill or read.
    """
    told, card = manifest.description, manifest.description.card
    inputs = _tensors(file.signature.inputs, "input")
    outputs = _tensors(file.signature.outputs, "output")
    results = tuple(_results(told, outputs))
    title = card.name or _title(manifest.source.name, results)
    model = name(title, "model")
    return BundleFacts(
        model=model,
        title=Text(title),
        summary=Text(card.description),
        source=Text(manifest.source.file),
        variant=_variant(model, file),
        variants=tuple(_variant(model, one) for one in manifest.artifacts if _fits(one, file)),
        inputs=tuple(
            _input(tensor, spec, told.input(spec.source_name))
            for tensor, spec in zip(inputs, file.signature.inputs, strict=True)
        ),
        outputs=outputs,
        results=results,
    )


CALLED: dict[Task, str] = {
    "classification": "classifier",
    "regression": "regressor",
    "embedding": "embedder",
    "segmentation": "segmenter",
    "detection": "detector",
    "keypoints": "keypoint finder",
}
"""By task: what people call a network that does it."""


def _title(source: str, results: tuple[ResultFacts, ...]) -> str:
    """What a network is called that nobody gave a name: as its file is, or if that says nothing, as what it does."""
    done = (CALLED[one.task] for one in results if one.task in CALLED)
    return next(done, source) if tells_nothing(source) else source


def _tensors(specs: tuple[TensorSpec, ...], role: str) -> tuple[TensorFacts, ...]:
    found = []
    for index, (one, spec) in enumerate(zip(names((s.source_name for s in specs), role), specs, strict=True)):
        if spec.dtype not in DTYPES:
            raise Unsupported(
                f"{spec.name} holds {spec.dtype}, which no code for apps is written for.",
                place=spec.name,
                fix="load the file with the runtime's own calls, or build with --no-integration",
            )
        quantized = spec.scale is not None and spec.source_dtype.startswith("float")
        found.append(
            TensorFacts(
                name=one,
                title=Text(spec.source_name),
                own_name=Text(spec.name),
                index=index,
                shape=spec.shape,
                dtype=spec.dtype,
                scale=spec.scale if quantized else None,
                zero_point=spec.zero_point if quantized else None,
                source_shape=spec.source_shape,
                permutation=spec.permutation,
                real=quantized or spec.dtype == "float32",
                takes_bytes=spec.image is not None,
            )
        )
    return tuple(found)


def _variant(model: Name, file: ArtifactFile) -> VariantFacts:
    precision, suffix = file.precision.replace("-", "_"), file.file[file.file.rfind(".") :]
    return VariantFacts(
        name=name(precision, "variant"),
        file=file.file,
        asset=f"{model.snake}_{precision}{suffix}",
        precision=file.precision,
        use=file.use,
        inputs=_tensors(file.signature.inputs, "input"),
        outputs=_tensors(file.signature.outputs, "output"),
        holds_state=file.cost is not None and not compiled_model.HOLDING_STATE.isdisjoint(file.cost.operators),
    )


def _fits(file: ArtifactFile, other: ArtifactFile) -> bool:
    """Whether code for one file fills and reads another: the same tensors in the same order, in whatever precision."""

    def form(specs: Iterable[TensorSpec]) -> list[tuple[object, ...]]:
        """What code depends on: names, shapes, orders of axes and normalization, and no dtype."""
        return [(spec.source_name, spec.shape, spec.permutation, spec.image) for spec in specs]

    kinds = {spec.dtype for spec in (*file.signature.inputs, *file.signature.outputs)}
    return (
        file.file.rpartition(".")[2] == other.file.rpartition(".")[2]
        and kinds <= DTYPES
        and form(file.signature.inputs) == form(other.signature.inputs)
        and form(file.signature.outputs) == form(other.signature.outputs)
    )


def _input(tensor: TensorFacts, spec: TensorSpec, row: Input | None) -> InputFacts:
    return InputFacts(
        name=tensor.name,
        title=tensor.title,
        kind="tensor" if row is None else msgspec.to_builtins(row)["kind"],
        tensor=tensor,
        image=_image(row, spec) if isinstance(row, ImageInput) else None,
        audio=row if isinstance(row, AudioInput) else None,
        tokens=row if isinstance(row, TokensInput) else None,
    )


def _image(row: ImageInput, spec: TensorSpec) -> ImageFacts:
    assert row.size is not None
    channels = row.channels or "RGB"
    count = len(channels)
    return ImageFacts(
        height=row.size[0],
        width=row.size[1],
        channels=channels,
        resize=row.resize,
        fit=row.fit,
        shorter_side=row.shorter_side,
        pad_value=row.pad_value,
        offsets=row.offsets * (count // len(row.offsets)),
        divisors=row.divisors * (count // len(row.divisors)),
        layout="NHWC" if spec.image is not None else file_layout(spec, row),
    )


def _results(told: Description, outputs: tuple[TensorFacts, ...]) -> Iterable[ResultFacts]:
    """One for each described output and each tensor that nobody describes, in the order of the network's outputs."""
    by_title = {tensor.title: tensor for tensor in outputs}
    rows = {row.name: row for row in told.outputs}
    read = {reads for row in told.outputs for reads in row.reads}
    picture = told.picture
    for tensor in outputs:
        row = rows.get(tensor.title)
        if row is None and tensor.title in read:
            continue
        yield ResultFacts(
            name=tensor.name,
            title=tensor.title,
            task="tensor" if row is None else msgspec.to_builtins(row)["task"],
            row=row,
            tensors=(tensor,) if row is None else tuple(by_title[Text(name)] for name in row.reads),
            labels=tuple(Text(entry(label)) for label in getattr(row, "labels", ())),
            unit=Text(row.unit if isinstance(row, RegressionOutput) else ""),
            size=None if picture is None else picture.size,
            in_picture=picture is not None,
        )
