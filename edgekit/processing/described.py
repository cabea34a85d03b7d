"""A description and a network: nothing is left open, and what contradicts the network is refused."""

import difflib
import math
from collections import Counter

import msgspec

from edgekit.errors import InputError
from edgekit.nouns.description import (
    AudioInput,
    ClassificationOutput,
    Description,
    DetectionOutput,
    ImageInput,
    Input,
    KeypointsOutput,
    Layout,
    Output,
    RegressionOutput,
    SegmentationOutput,
    TokensInput,
)
from edgekit.nouns.model import Signature, TensorSpec
from edgekit.processing import fits


def complete(description: Description, signature: Signature) -> Description:
    """A description that says all names, and of images their size, channels and layout.

    Args:
        description: as the user wrote it.
        signature: of the source.

    Raises:
        InputError: it names what the network does not have, or does not fit its shapes or dtypes.
    """
    inputs = tuple(_input(row, _spec(row.name, "input", signature.inputs)) for row in description.inputs)
    description = msgspec.structs.replace(description, inputs=inputs)
    size = None if description.picture is None else description.picture.size
    outputs = tuple(_output(row, signature, size) for row in description.outputs)
    read = [name for row in outputs for name in row.reads]
    for table, names in {"input": [row.name for row in inputs], "output": read}.items():
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise InputError(
                f"The {table} {twice[0]} is described twice.", place=_place(table, twice[0]), fix="leave one out"
            )
    return msgspec.structs.replace(description, outputs=outputs)


def _place(table: str, name: str) -> str:
    return f"edgekit.toml: [[{table}]] {name}".rstrip()


def _spec(name: str, table: str, specs: tuple[TensorSpec, ...]) -> TensorSpec:
    """The input or output of a name; the only one without a name."""
    names = [spec.source_name for spec in specs]
    if not name and len(specs) == 1:
        return specs[0]
    if not name:
        raise InputError(
            f"The model has {len(specs)} {table}s, and [[{table}]] does not say which it describes.",
            place=_place(table, name),
            fix=f"add name = …, one of: {', '.join(names)}",
        )
    found = [spec for spec in specs if spec.source_name == name]
    if len(found) != 1:
        near = difflib.get_close_matches(name, names, 1, 0.5)
        several = f"several {table}s with the name" if found else f"no {table}"
        raise InputError(
            f"The model has {several} {name}.",
            place=_place(table, name),
            fix=f"did you mean {near[0]}?" if near and not found else f"use one of: {', '.join(names)}",
        )
    return found[0]


def _refuse(table: str, spec: TensorSpec, wrong: str, fix: str) -> InputError:
    return InputError(
        f"[[{table}]] does not fit {spec.source_name}: {wrong}; the model has {list(spec.source_shape)} of "
        f"{spec.source_dtype}.",
        place=_place(table, spec.source_name),
        fix=fix,
    )


def _input(row: Input, spec: TensorSpec) -> Input:
    if isinstance(row, ImageInput):
        return image(row, spec)
    if isinstance(row, AudioInput) and not spec.source_dtype.startswith(("float", "int16")):
        raise _refuse("input", spec, "a waveform is floats or int16", 'use kind = "tensor"')
    if isinstance(row, TokensInput):
        if spec.source_dtype not in {"int32", "int64", "float32"}:
            raise _refuse("input", spec, "tokens are whole numbers", 'use kind = "tensor"')
        if spec.index_below is not None and len(row.vocabulary) > spec.index_below:
            told = f"its table holds {spec.index_below} tokens, the vocabulary {len(row.vocabulary)}"
            raise _refuse("input", spec, told, "give the vocabulary that the model was trained with")
    if isinstance(row, AudioInput | TokensInput) and sum(size > 1 for size in spec.source_shape) > 1:
        raise _refuse("input", spec, "it has more than one axis", 'use kind = "tensor" for what is made of it')
    return msgspec.structs.replace(row, name=spec.source_name)


def file_layout(spec: TensorSpec, image: ImageInput) -> str:
    """The layout that a file wants of an image, which may be another than the source's."""
    letters = image.layout or "NHWC"
    return letters if spec.permutation is None else "".join(letters[axis] for axis in spec.permutation)


CHANNELS = {1: "L", 3: "RGB"}
"""By how many channels an input has: what they are if nobody says."""


_LAYOUTS: dict[str | None, Layout] = {"NCHW": "NCHW", "NHWC": "NHWC"}


def layout_of(shape: tuple[int, ...], said: str | None) -> Layout:
    """The layout that is ``said``, or that of images whose shape has one or three channels on one side only."""
    if said in _LAYOUTS:
        return _LAYOUTS[said]
    return "NCHW" if shape[1] in CHANNELS and shape[3] not in CHANNELS else "NHWC"


def image(row: ImageInput, spec: TensorSpec) -> ImageInput:
    """What is said of an image input, and for the rest what its shape says.

    Raises:
        InputError: it is no image, or one of another size or with other channels.
    """
    shape = spec.source_shape
    if len(shape) != 4 or shape[0] != 1:
        raise InputError(
            f"Input {spec.source_name} has shape {list(shape)}, which is no image.",
            place=spec.source_name,
            fix="give the samples as .npz",
        )
    layout = layout_of(shape, row.layout or spec.source_layout)
    height, width, channels = shape[2:] + shape[1:2] if layout == "NCHW" else shape[1:]
    order = row.channels or CHANNELS.get(channels, "RGB")
    fix = "correct size, channels, mean, std or layout there"
    if row.size is not None and row.size != (height, width):
        raise _refuse("input", spec, f"size is {list(row.size)}, the input is {[height, width]} (height, width)", fix)
    if channels != len(order):
        raise _refuse("input", spec, f"channels are {order}, the input has {channels}", fix)
    if len(row.mean) not in {1, channels} or len(row.std) not in {1, channels}:
        told = f"mean has {len(row.mean)} and std {len(row.std)} numbers, the input has {channels} channels"
        raise _refuse("input", spec, told, fix)
    if row.shorter_side is not None and row.shorter_side < max(height, width):
        told = f"shorter_side is {row.shorter_side}, which does not cover {[height, width]}"
        raise _refuse("input", spec, told, f"make it {max(height, width)} or more, or leave it out")
    _check_bytes(row, spec)
    return msgspec.structs.replace(row, name=spec.source_name, size=(height, width), channels=order, layout=layout)


def _check_bytes(row: ImageInput, spec: TensorSpec) -> None:
    """Refuse fractions for an input of integers."""
    if "int" not in spec.source_dtype:
        return
    if any(divisor != 1 for divisor in row.divisors) or any(not offset.is_integer() for offset in row.offsets):
        raise _refuse(
            "input",
            spec,
            "range, mean and std make fractions of bytes, and it takes whole numbers",
            f"leave out mean and std, and say range = {whole_range(spec.source_dtype)}: "
            "the model has its normalization inside",
        )


def whole_range(dtype: str) -> str:
    """What bytes 0..255 are to an input of integers, as ``edgekit.toml`` writes it."""
    return "[-128, 127]" if dtype == "int8" else "[0, 255]"


def _output(row: Output, signature: Signature, size: tuple[int, int] | None) -> Output:
    spec = _spec(row.name, "output", signature.outputs)
    if isinstance(row, DetectionOutput):
        row = msgspec.structs.replace(row, name=spec.source_name)
        specs = (_spec(name, "output", signature.outputs) for name in row.reads)
        for wrong, fix in fits.misfits(row, *specs, size=size):
            raise _refuse("output", spec, wrong, fix)
        return row
    if isinstance(row, ClassificationOutput):
        _check_labels(row.labels, spec, math.prod(spec.source_shape), "scores")
    elif isinstance(row, RegressionOutput):
        _check_labels(row.labels, spec, math.prod(spec.source_shape), "values")
    elif isinstance(row, SegmentationOutput):
        row = _segmentation(row, spec)
    elif isinstance(row, KeypointsOutput):
        row = _keypoints(row, spec)
    return msgspec.structs.replace(row, name=spec.source_name)


def _check_labels(labels: tuple[str, ...], spec: TensorSpec, wanted: int, what: str) -> None:
    count = len(labels)
    if count in {0, wanted}:
        return
    fix = "give one label for each, in their order"
    if wanted == count + 1:
        fix += ': is the first of them a background class? Then write "background" as the first label'
    raise _refuse("output", spec, f"{count} labels for {wanted} {what}", fix)


def _channels(shape: tuple[int, ...], layout: str) -> int:
    return shape[1] if layout == "NCHW" else shape[3]


def _segmentation(row: SegmentationOutput, spec: TensorSpec) -> SegmentationOutput:
    shape = spec.source_shape
    if len(shape) not in {3, 4} or shape[0] != 1:
        raise _refuse("output", spec, "it has no score for each pixel", "leave this table out, or correct its task")
    if len(shape) == 3:
        return row
    layout = _output_layout(row.layout or spec.source_layout, spec, len(row.labels))
    classes = _channels(shape, layout)
    if classes > 1:
        _check_labels(row.labels, spec, classes, "classes")
        if row.activation != "none":
            raise _refuse("output", spec, "the highest of several scores needs no activation", "leave activation out")
    return msgspec.structs.replace(row, layout=layout)


def _output_layout(said: str | None, spec: TensorSpec, labels: int) -> Layout:
    """The layout of maps ``[1, …]``: as said; or that in which there is one map, or one for each label."""
    if said in _LAYOUTS:
        return _LAYOUTS[said]
    first, last = spec.source_shape[1], spec.source_shape[3]
    wanted = labels or 1
    if first == last or wanted not in {first, last}:
        raise _refuse("output", spec, "its shape does not tell where the classes are", 'add layout = "NHWC" or "NCHW"')
    return "NCHW" if first == wanted else "NHWC"


def _keypoints(row: KeypointsOutput, spec: TensorSpec) -> KeypointsOutput:
    shape = spec.source_shape
    if row.point_format == "heatmap":
        if len(shape) != 4 or shape[0] != 1:
            raise _refuse("output", spec, "heat maps are [1, height, width, points]", "correct point_format")
        layout = _output_layout(row.layout or spec.source_layout, spec, len(row.labels))
        _check_labels(row.labels, spec, _channels(shape, layout), "points")
        return msgspec.structs.replace(row, layout=layout)
    each, total = len(row.point_format), math.prod(shape)
    if total % each:
        told = f'it has {total} numbers, and point_format "{row.point_format}" takes {each} for each point'
        raise _refuse("output", spec, told, "correct point_format")
    _check_labels(row.labels, spec, total // each, "points")
    return row
