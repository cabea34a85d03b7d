"""A description and a network: what is left open is read off it, what contradicts it is refused."""

from typing import Any

import pytest

from edgekit.errors import InputError
from edgekit.nouns.description import (
    AudioInput,
    ClassificationOutput,
    Description,
    DetectionOutput,
    ImageInput,
    KeypointsOutput,
    RegressionOutput,
    SegmentationOutput,
    TensorInput,
    TokensInput,
)
from edgekit.nouns.model import Signature, TensorSpec
from edgekit.processing.described import complete


def tensor(name: str, shape: tuple[int, ...], dtype: str = "float32", **more: Any) -> TensorSpec:
    return TensorSpec(
        name=name, shape=shape, dtype=dtype, source_name=name, source_shape=shape, source_dtype=dtype, **more
    )


def completed(inputs: Any = (), outputs: Any = (), *, of: Signature) -> Description:
    return complete(Description(inputs=inputs, outputs=outputs), of)


def signature(*outputs: TensorSpec, image: tuple[int, ...] = (1, 32, 64, 3), dtype: str = "float32") -> Signature:
    return Signature(inputs=(tensor("x", image, dtype),), outputs=outputs)


@pytest.mark.parametrize(
    ("shape", "size", "channels", "layout"),
    [((1, 32, 64, 3), (32, 64), "RGB", "NHWC"), ((1, 3, 32, 64), (32, 64), "RGB", "NCHW"),
     ((1, 1, 28, 28), (28, 28), "L", "NCHW"), ((1, 28, 28, 1), (28, 28), "L", "NHWC")],
)  # fmt: skip
def test_an_image_is_what_its_shape_says(shape: Any, size: Any, channels: str, layout: str) -> None:
    found = completed((ImageInput(),), of=signature(image=shape)).inputs[0]
    assert found == ImageInput(name="x", size=size, channels=channels, layout=layout)  # type: ignore[arg-type]


def test_what_is_said_goes_before_what_a_shape_looks_like() -> None:
    found = completed((ImageInput(layout="NCHW"),), of=signature(image=(1, 3, 32, 3))).inputs[0]
    assert isinstance(found, ImageInput)
    assert found.size == (32, 3)
    told = Signature(inputs=(tensor("x", (1, 3, 3, 3), source_layout="NCHW"),), outputs=())
    assert completed((ImageInput(),), of=told).inputs[0].layout == "NCHW"  # type: ignore[union-attr]


TWO = Signature(inputs=(tensor("left", (1, 8, 8, 3)), tensor("right", (1, 8, 8, 3))), outputs=())


@pytest.mark.parametrize(
    ("inputs", "of", "problem", "fix"),
    [
        ((ImageInput(),), TWO, "2 inputs, and [[input]] does not say", "left, right"),
        ((ImageInput(name="lefd"),), TWO, "no input lefd", "did you mean left?"),
        ((ImageInput(name="zzz"),), TWO, "no input zzz", "use one of: left, right"),
        ((ImageInput(), TensorInput(name="x")), signature(), "The input x is described twice", "leave one out"),
        ((ImageInput(name="a"),), Signature(inputs=(tensor("a", (1, 4)), tensor("a", (1, 4))), outputs=()),
         "several inputs with the name a", "use one of"),
        ((ImageInput(size=(8, 8)),), signature(), "size is [8, 8], the input is [32, 64]", "correct size"),
        ((ImageInput(channels="L"),), signature(), "channels are L, the input has 3", "channels"),
        ((ImageInput(),), signature(image=(1, 32, 64, 4)), "channels are RGB, the input has 4", "channels"),
        ((ImageInput(),), signature(image=(1, 10)), "no image", ".npz"),
        ((ImageInput(range=(0, 1)),), signature(dtype="uint8"), "takes whole numbers", "range = [0, 255]"),
        ((ImageInput(mean=(1.5,)),), signature(dtype="int8"), "takes whole numbers", "range = [-128, 127]"),
        ((AudioInput(),), signature(), "more than one axis", 'kind = "tensor"'),
        ((AudioInput(),), signature(image=(1, 16000), dtype="int64"), "floats or int16", 'kind = "tensor"'),
        ((TokensInput(),), signature(image=(1, 8), dtype="bool"), "whole numbers", 'kind = "tensor"'),
        ((TokensInput(vocabulary=("a", "b", "c")),),
         Signature(inputs=(tensor("x", (1, 8), "int64", index_below=2),), outputs=()), "2 tokens, the vocabulary 3", "trained"),
    ],
)  # fmt: skip
def test_inputs_that_contradict_the_model_are_refused(inputs: Any, of: Signature, problem: str, fix: str) -> None:
    with pytest.raises(InputError) as refused:
        completed(inputs, of=of)
    assert problem in refused.value.problem
    assert fix in refused.value.fix
    assert "[[input]]" in refused.value.place or refused.value.place == "x"


def labels(count: int) -> tuple[str, ...]:
    return tuple(f"class {i}" for i in range(count))


BOXES = (tensor("b", (1, 30, 4)), tensor("s", (1, 30, 3)))


@pytest.mark.parametrize(
    ("output", "outputs", "problem", "fix"),
    [
        (ClassificationOutput(labels=labels(3)), [tensor("y", (1, 10))], "3 labels for 10 scores", "in their order"),
        (ClassificationOutput(labels=labels(1000)), [tensor("y", (1, 1001))], "1000 labels for 1001", "background"),
        (RegressionOutput(labels=labels(3)), [tensor("y", (1, 4))], "3 labels for 4 values", "one label"),
        (ClassificationOutput(), BOXES, "2 outputs, and [[output]] does not say", "b, s"),
        (SegmentationOutput(), [tensor("y", (1, 10))], "no score for each pixel", "task"),
        (SegmentationOutput(labels=labels(3)), [tensor("y", (1, 8, 8, 4))], "does not tell where", "layout ="),
        (SegmentationOutput(), [tensor("y", (1, 21, 8, 8))], "does not tell where", "layout ="),
        (SegmentationOutput(layout="NCHW", labels=labels(3)), [tensor("y", (1, 21, 8, 8))], "3 labels for 21", ""),
        (KeypointsOutput(point_format="xys"), [tensor("y", (1, 17, 2))], "34 numbers", "point_format"),
        (KeypointsOutput(labels=labels(3)), [tensor("y", (1, 17, 2))], "3 labels for 17 points", ""),
        (KeypointsOutput(point_format="heatmap"), [tensor("y", (1, 17))], "heat maps are", "point_format"),
        (DetectionOutput(name="b", scores="s", labels=labels(2)), BOXES, "2 labels for 3 classes", "background"),
        (DetectionOutput(name="b", scores="z"), BOXES, "no output z", "use one of"),
        (DetectionOutput(name="s", scores="b"), BOXES, "90 numbers are no boxes", "holds the boxes"),
        (DetectionOutput(name="b", scores="s", coordinates="pixels"), BOXES, "pixels are those of an image", "[[input]]"),
        (DetectionOutput(), [tensor("y", (1, 30, 4))], "no score is left", "transposed"),
        (DetectionOutput(), [tensor("y", (2, 30, 8))], "[1, N, values]", "name the outputs"),
        (DetectionOutput(), [tensor("y", (1, 255, 80, 80))], "several maps", "export the network with its head"),
        (DetectionOutput(), [tensor("y", (1, 3, 80, 80, 85))], "several maps", "join the maps"),
        (DetectionOutput(name="b", scores="s", classes="b"), BOXES, "30 boxes, 90 scores and 120 classes", "belong"),
    ],
)  # fmt: skip
def test_outputs_that_contradict_the_model_are_refused(output: Any, outputs: Any, problem: str, fix: str) -> None:
    with pytest.raises(InputError) as refused:
        completed((), (output,), of=signature(*outputs))
    assert problem in refused.value.problem
    assert fix in refused.value.fix
    assert refused.value.place.startswith("edgekit.toml: [[output]]")


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        (DetectionOutput(decoding="yolox", strides=(8, 16)), "40 points of grids for 84 candidates"),
        (DetectionOutput(decoding="yolox", strides=(8, 16), box_format="xywh"), "40 points"),
        (DetectionOutput(decoding="ssd", anchors=((0, 0, 1, 1),), box_format="cxcywh"), "1 anchors for 84"),
    ],
)
def test_grids_and_anchors_must_be_as_many_as_candidates(output: DetectionOutput, problem: str) -> None:
    with pytest.raises(InputError) as refused:
        completed((ImageInput(),), (output,), of=signature(tensor("y", (1, 84, 8))))
    assert problem in refused.value.problem


def test_an_output_that_a_detection_reads_cannot_be_described_again() -> None:
    with pytest.raises(InputError, match="The output s is described twice"):
        completed((), (DetectionOutput(name="b", scores="s"), ClassificationOutput(name="s")), of=signature(*BOXES))


def test_the_layout_of_maps_is_where_the_labels_are() -> None:
    found = completed((), (SegmentationOutput(labels=labels(21)),), of=signature(tensor("y", (1, 21, 8, 8)))).outputs[0]
    assert found == SegmentationOutput(name="y", labels=labels(21), layout="NCHW")
    found = completed((), (SegmentationOutput(),), of=signature(tensor("y", (1, 8, 8, 1)))).outputs[0]
    assert found == SegmentationOutput(name="y", layout="NHWC")
