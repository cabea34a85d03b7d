"""Networks that exist by their description alone, at random: every kind of input, every task, awkward names."""

from typing import Any

import numpy as np

from edgekit.nouns.description import (
    AudioInput,
    ClassificationOutput,
    Description,
    DetectionOutput,
    EmbeddingOutput,
    ImageInput,
    KeypointsOutput,
    RegressionOutput,
    SegmentationOutput,
    TokensInput,
)
from edgekit.nouns.model import Signature, TensorSpec

NAMES = (
    "class",
    "std",
    "serving_default_image:0",
    "bild größe",
    "入力",
    "int",
    "a-b",
    "A_b",
    "Inputs",
    "found",
    "x/y",
    "0",
)
"""What networks call tensors; two of them get a number behind it."""

LABELS = ('la"bel', "back\\slash", "größe", "入力", "a\nb", "\u202eevil", "%s {x} ${y} #{z}", "*/ // /*")


class Maker:
    """Makes one network after another from a generator of random numbers."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.names = [f"{name}{i}" if i else name for i in range(9) for name in self.random.permutation(NAMES)]
        self.names = [str(name) for name in self.names]

    def one_of(self, *values: Any) -> Any:
        return values[int(self.random.integers(len(values)))]

    def chance(self, share: float = 0.5) -> bool:
        return bool(self.random.random() < share)

    def tensor(self, shape: tuple[int, ...], permutation: tuple[int, ...] | None = None) -> TensorSpec:
        """A tensor of reals, quantized or not."""
        dtype = self.one_of("float32", "int8", "uint8", "int16")
        real = dtype == "float32"
        return TensorSpec(
            name=f"own {self.names[0]}", source_name=self.names.pop(0),
            shape=shape if permutation is None else tuple(shape[axis] for axis in permutation), source_shape=shape,
            dtype=dtype, source_dtype="float32", permutation=permutation,
            scale=None if real else float(np.float32(self.random.uniform(0.004, 0.1))),
            zero_point=None if real else int(self.random.integers(0, 90)),
        )  # fmt: skip

    def whole(self, shape: tuple[int, ...], *dtypes: str) -> TensorSpec:
        """A tensor of numbers that are no reals."""
        dtype = self.one_of(*dtypes)
        return TensorSpec(
            name="own", source_name=self.names.pop(0), shape=shape, source_shape=shape, dtype=dtype, source_dtype=dtype
        )

    def image(self) -> tuple[ImageInput, TensorSpec]:
        height, width = (int(n) for n in self.random.integers(5, 30, 2))
        channels = self.one_of("RGB", "BGR", "L")
        nchw, count = self.chance(), len(channels)
        shape = (1, count, height, width) if nchw else (1, height, width, count)
        spec = self.tensor(shape, (0, 2, 3, 1) if nchw and self.chance() else None)
        fit, each = self.one_of("stretch", "crop", "letterbox"), self.chance()
        row = ImageInput(
            name=spec.source_name, size=(height, width), channels=channels, fit=fit, layout="NCHW" if nchw else "NHWC",
            resize=self.one_of("nearest", "bilinear", "bilinear-antialias", "bicubic-antialias", "area"),
            shorter_side=max(height, width) + 3 if fit == "crop" and self.chance() else None,
            pad_value=int(self.random.integers(256)), range=self.one_of((0.0, 255.0), (0.0, 1.0), (-1.0, 1.0)),
            mean=tuple(self.random.uniform(0, 1, count).tolist()) if each else (0.0,),
            std=tuple(self.random.uniform(0.1, 1, count).tolist()) if each else (1.0,),
        )  # fmt: skip
        return row, spec

    def input(self) -> tuple[Any, TensorSpec]:
        """An input that is no picture."""
        kind = self.one_of("audio", "tokens", "whole", "tensor")
        if kind == "audio":
            spec = self.tensor((1, 50))
            return AudioInput(name=spec.source_name, full_scale=32768, fit=self.one_of("start", "middle")), spec
        if kind == "tokens":
            spec = self.whole((1, 12), "int32", "int64")
            return TokensInput(name=spec.source_name, pad_id=3), spec
        if kind == "whole":
            return None, self.whole((1, 3), "int32", "int64", "bool", "uint8")
        return None, self.tensor((1, 4, 6), (0, 2, 1) if self.chance() else None)

    def labels(self, count: int) -> tuple[str, ...]:
        return tuple(LABELS[i % len(LABELS)] + str(i) for i in range(count)) if self.chance() else ()

    def maps(self, channels: int) -> tuple[TensorSpec, str]:
        nchw = self.chance()
        spec = self.tensor(
            (1, channels, 6, 7) if nchw else (1, 6, 7, channels), (0, 2, 3, 1) if nchw and self.chance() else None
        )
        return spec, "NCHW" if nchw else "NHWC"

    def output(self, size: tuple[int, int] | None) -> tuple[Any, list[TensorSpec]]:
        """A described output, or one that is not (None), with the tensors that it reads."""
        task = self.one_of("classes", "values", "vector", "mask", "ids", "boxes", "ended", "points", "maps", "tensor")
        if task == "boxes" and size is not None:
            return self.boxes(size)
        if task == "ended":
            return self.ended()
        if task in {"mask", "maps"}:
            count = self.one_of(1, 3) if task == "mask" else 5
            spec, layout = self.maps(count)
            if task == "maps":
                return KeypointsOutput(name=spec.source_name, point_format="heatmap", layout=layout), [spec]
            activation = self.one_of("none", "sigmoid") if count == 1 else "none"
            return SegmentationOutput(name=spec.source_name, activation=activation, layout=layout), [spec]
        if task == "ids":
            spec = self.whole((1, 4, 5), "int64", "int32", "uint8")
            return SegmentationOutput(name=spec.source_name), [spec]
        if task == "points":
            form = self.one_of("xy", "yx", "xys", "yxs")
            spec = self.tensor((1, 4, len(form)))
            where = self.one_of("normalized", "pixels")
            return KeypointsOutput(name=spec.source_name, point_format=form, coordinates=where), [spec]
        if task == "tensor":
            return None, [self.tensor((1, 2, 3)) if self.chance() else self.whole((1, 3), "int32", "int64", "bool")]
        spec = self.tensor((1, 9))
        rows = {
            "values": RegressionOutput(name=spec.source_name, mean=-2.5, std=1.7, unit="m/s"),
            "vector": EmbeddingOutput(name=spec.source_name, normalize=self.chance()),
        }
        classes = ClassificationOutput(
            name=spec.source_name, labels=self.labels(9), activation=self.one_of("none", "softmax", "sigmoid"),
            top_k=self.one_of(1, 3, 12), threshold=self.one_of(0.0, 0.1),
        )  # fmt: skip
        return rows.get(task, classes), [spec]

    def ended(self) -> tuple[Any, list[TensorSpec]]:
        """Outputs of a network that ends with suppression, some of whose classes have no names."""
        shapes = {"boxes": (1, 10, 4), "classes": (1, 10), "scores": (1, 10), "count": (1,)}
        specs = {key: self.whole(shape, "float32") for key, shape in shapes.items()}
        names = {key: spec.source_name for key, spec in specs.items()}
        row = DetectionOutput(
            name=names["boxes"], scores=names["scores"], classes=names["classes"], count=names["count"],
            box_format="yxyx", suppression="none", score_threshold=0.3, labels=LABELS[:2],
        )  # fmt: skip
        return row, list(specs.values())

    def boxes(self, size: tuple[int, int]) -> tuple[Any, list[TensorSpec]]:
        decoding = self.one_of("none", "none", "ssd", "yolov3", "yolov5", "yolox", "ltrb")
        strides, at_each, count = (4, 2), 2 if decoding in {"yolov3", "yolov5"} else 1, 30
        if decoding not in {"none", "ssd"}:
            count = sum((size[0] // s) * (size[1] // s) * at_each for s in strides)
        transposed, apart = self.chance(0.3), self.chance(0.4)
        objectness, background, classes = self.chance() and not apart, self.chance(0.3), self.one_of(1, 3)
        forms = {"none": ("xyxy", "yxyx", "cxcywh", "cycxhw", "xywh"), "ssd": ("cxcywh", "cycxhw")}

        def grid(values: int) -> TensorSpec:
            return self.tensor(
                (1, values, count) if transposed else (1, count, values), self.one_of(None, None, (0, 2, 1))
            )

        scores = classes + background
        specs = [grid(4), grid(scores)] if apart else [grid(4 + objectness + scores)]
        row = DetectionOutput(
            name=specs[0].source_name, scores=specs[1].source_name if apart else None, labels=self.labels(classes),
            box_format=self.one_of(*forms.get(decoding, ("xyxy",))), coordinates=self.one_of("normalized", "pixels"),
            transposed=transposed, objectness=objectness, background=background, decoding=decoding,
            activation=self.one_of("none", "sigmoid", "softmax"), score_threshold=0.3, iou_threshold=0.4,
            anchors=tuple(map(tuple, self.random.uniform(0.05, 0.9, (count, 4)).tolist())) if decoding == "ssd" else (),
            strides=() if decoding in {"none", "ssd"} else strides,
            anchor_sizes=(((5.0, 6.0), (7.5, 3.25)), ((9.0, 9.0), (2.0, 4.0))) if at_each == 2 else (),
            suppression=self.one_of("per-class", "across", "none"), max_boxes=self.one_of(3, 40),
        )  # fmt: skip
        return row, specs

    def network(self) -> tuple[Signature, Description]:
        """A signature, and what is said of it."""
        pictures = [self.image() for _ in range(self.one_of(0, 1, 1, 2))]
        inputs = [*pictures, *(self.input() for _ in range(self.one_of(0, 1, 2) if pictures else 1))]
        size = pictures[0][0].size if pictures else None
        outputs = [self.output(size) for _ in range(self.one_of(1, 2, 3))]
        described = Description(
            inputs=tuple(row for row, _ in inputs if row is not None),
            outputs=tuple(row for row, _ in outputs if row is not None),
        )
        specs = tuple(spec for _, several in outputs for spec in several)
        return Signature(inputs=tuple(spec for _, spec in inputs), outputs=specs), described

    def outputs(self, signature: Signature) -> list[Any]:
        """Outputs of the file, as some network may give them."""
        return [self._values(spec) for spec in signature.outputs]

    def _values(self, spec: TensorSpec) -> Any:
        if spec.dtype == "float32":
            return self.random.normal(0, 1, spec.shape).astype(np.float32)
        if spec.scale is None:
            return self.random.integers(0, 2 if spec.dtype == "bool" else 9, spec.shape).astype(spec.dtype)
        limits = np.iinfo(spec.dtype)
        return self.random.integers(limits.min // 2, limits.max // 2, spec.shape).astype(spec.dtype)


def detector() -> tuple[Signature, Description]:
    """A network that finds boxes of three classes in a letterboxed picture, all of it int8."""
    image = TensorSpec(
        name="image", source_name="image", shape=(1, 24, 20, 3), source_shape=(1, 24, 20, 3), dtype="int8",
        source_dtype="float32", scale=0.02, zero_point=3,
    )  # fmt: skip
    boxes = TensorSpec(
        name="found", source_name="found", shape=(1, 20, 7), source_shape=(1, 20, 7), dtype="int8",
        source_dtype="float32", scale=0.01, zero_point=-7,
    )  # fmt: skip
    row = ImageInput(size=(24, 20), range=(0, 1), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25), fit="letterbox")
    out = DetectionOutput(box_format="cxcywh", score_threshold=0.1, max_boxes=15, labels=("tree", "car", "dog"))
    return Signature(inputs=(image,), outputs=(boxes,)), Description(inputs=(row,), outputs=(out,))
