"""The networks that are compressed: others' own, and those that the study trains first."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from tests.studies.compression import data
from tests.studies.compression.data import Sets


@dataclass(frozen=True)
class Base:
    """A trained network with its data.

    Attributes:
        name: on the page.
        data: reads its samples from the shared folder.
        model: a file in the shared folder; "" if the study trains it.
        architecture: builds it with keras for the seeds set before, if the study trains it.
        epochs: how long that is trained.
        learning_rate: with which.
        flips: whether samples are pictures that are flipped and shifted meanwhile.
        labels: whether its samples have some; else files are judged by the SQNR of their worst output.
    """

    name: str
    data: Callable[[Path], Sets]
    model: str = ""
    architecture: Callable[[], Any] | None = None
    epochs: int = 0
    learning_rate: float = 2e-3
    flips: bool = True
    labels: bool = True


def _convolution(x: Any, channels: int, strides: int = 1, size: int = 3) -> Any:
    from keras import layers  # noqa: PLC0415  as heavy as TensorFlow

    x = layers.Conv2D(channels, size, strides, "same", use_bias=False, kernel_initializer="he_normal")(x)
    return layers.BatchNormalization()(x)


def resnet20() -> Any:
    """ResNet-20 for 32×32 RGB in 0..255 (He et al., 2016, section 4.2)."""
    import keras  # noqa: PLC0415  as above
    from keras import layers  # noqa: PLC0415

    x = given = keras.Input((32, 32, 3))
    x = layers.Rescaling(1 / 127.5, -1)(x)
    x = layers.ReLU()(_convolution(x, 16))
    for channels in (16, 32, 64):
        for block in range(3):
            strides = 2 if channels > 16 and block == 0 else 1
            y = layers.ReLU()(_convolution(x, channels, strides))
            y = _convolution(y, channels)
            x = x if strides == 1 else _convolution(x, channels, strides, 1)
            x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(given, layers.Dense(10, "softmax")(x))


def mobilenet(*, separable: bool) -> Any:
    """A MobileNetV1 of width 0.5 for 32×32 RGB in 0..255 (Howard et al., 2017), or the same with full convolutions."""
    import keras  # noqa: PLC0415  as above
    from keras import layers  # noqa: PLC0415

    def block(x: Any, channels: int, strides: int) -> Any:
        if not separable:
            return layers.ReLU(6.0)(_convolution(x, channels, strides))
        x = layers.DepthwiseConv2D(3, strides, "same", use_bias=False)(x)
        x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
        return layers.ReLU(6.0)(_convolution(x, channels, 1, 1))

    x = given = keras.Input((32, 32, 3))
    x = layers.Rescaling(1 / 127.5, -1)(x)
    x = layers.ReLU(6.0)(_convolution(x, 16))
    for channels, strides in ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (128, 1), (256, 2), (256, 1)):
        x = block(x, channels, strides)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(given, layers.Dense(10, "softmax")(x))


def transformer(blocks: int = 4, width: int = 128, heads: int = 4) -> Any:
    """A small BERT (Devlin et al., 2019) over 48 word pieces, with the mean of all pieces in place of [CLS]."""
    import keras  # noqa: PLC0415  as above
    from keras import layers, ops  # noqa: PLC0415

    given = keras.Input((data.WORDS,), dtype="int32")
    places = layers.Embedding(data.WORDS, width)(ops.arange(data.WORDS))
    x = layers.Embedding(data.PIECES, width)(given) + places[None]
    x = layers.Dropout(0.2)(layers.LayerNormalization(epsilon=1e-6)(x))
    for _ in range(blocks):
        y = layers.MultiHeadAttention(heads, width // heads, dropout=0.1)(x, x)
        x = layers.LayerNormalization(epsilon=1e-6)(x + layers.Dropout(0.2)(y))
        y = layers.Dense(width)(layers.Dense(4 * width, "gelu")(x))
        x = layers.LayerNormalization(epsilon=1e-6)(x + layers.Dropout(0.2)(y))
    x = layers.Dropout(0.3)(layers.GlobalAveragePooling1D()(x))
    return keras.Model(given, layers.Dense(2, "softmax")(x))


RESNET8 = Base("ResNet-8, CIFAR-10-JPEG", data.small_photos, model="models/resnet8_cifar10jpeg.h5")
RESNET20 = Base("ResNet-20, CIFAR-10-JPEG", data.small_photos, architecture=resnet20, epochs=30)
MOBILENET = Base(
    "MobileNet, CIFAR-10-JPEG", data.small_photos, architecture=lambda: mobilenet(separable=True), epochs=30
)
FULL = Base(
    "the same with full convolutions", data.small_photos, architecture=lambda: mobilenet(separable=False), epochs=30
)
EFFICIENTNET = Base("EfficientNet-Lite0, ImageNet", data.photographs, model="models/phone/efficientnet_lite0.onnx")
BERT = Base("BERT-like, SST-2", data.sentences, architecture=transformer, epochs=6, learning_rate=5e-4, flips=False)

DETECTOR = Base(
    "ultraface RFB-320, photographs",
    data.faces,
    model="models/onnx/ultraface_version-RFB-320_without_postprocessing.onnx",
    labels=False,
)

BOXES = Base("FastestDet, photographs", data.boxes, model="models/onnx/FastestDet.onnx", labels=False)

BASES = (RESNET8, RESNET20, MOBILENET, FULL, EFFICIENTNET, DETECTOR, BOXES, BERT)


def trained(base: Base, shared: Path, folder: Path) -> Path:
    """The file of a network; one that the study trains is trained once, with seed 0, and kept in a folder."""
    if base.architecture is None:
        return shared / base.model
    file = folder / f"{base.name.partition(',')[0].replace(' ', '-').lower()}.keras"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _train(base, base.data(shared), file)
    return file


def _train(base: Base, sets: Sets, file: Path) -> None:
    import keras  # noqa: PLC0415  as above

    from tests.studies.compression.batches import Pictures, Plain  # noqa: PLC0415

    keras.utils.set_random_seed(0)
    assert base.architecture is not None, "only these are trained"
    model = base.architecture()
    steps = base.epochs * (len(sets.x) // 64)
    schedule = keras.optimizers.schedules.CosineDecay(0.0, steps, warmup_target=base.learning_rate, warmup_steps=200)
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=1e-2), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    batches = Pictures(sets) if base.flips else Plain(sets)
    model.fit(batches, epochs=base.epochs, verbose=2)
    found = model.evaluate(sets.judged_x, sets.judged_y, batch_size=256, verbose=0)
    click.echo(f"{base.name}: top-1 {found[1]:.4f}", err=True)
    aside = file.with_suffix(".part.keras")
    model.save(aside)
    aside.rename(file)
