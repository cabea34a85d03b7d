"""Writes models with operators that TFLite's converter refuses: ``python keras_lowering_models.py FOLDER``."""

import math
import os
import sys
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import tensorflow as tf
import tf_keras
from keras import layers, ops

FOLDER = Path(sys.argv[1])


def applied(call: Any, shape: tuple[int, ...]) -> Any:
    """A network that is one function of its input."""
    x = keras.Input(shape, name="x")
    return keras.Model(x, call(x))


def resized(height: int, width: int, mode: str, *, antialias: bool = False) -> Any:
    """An image of 9 × 7 in another size."""
    return applied(lambda x: ops.image.resize(x, (height, width), interpolation=mode, antialias=antialias), (9, 7, 2))


ROOT = math.sqrt(2)
GELUS: dict[str, Any] = {
    "halved last": lambda x: x * (0.5 * (1.0 + tf.math.erf(x / tf.sqrt(2.0)))),  # BERT's
    "halved first": lambda x: x * 0.5 * (tf.math.erf(x * 0.70710677) + 1),
    "own order": lambda x: 0.5 * x * (1 + tf.math.erf(x / ROOT)),
    "sum first": lambda x: (1 + tf.math.erf(x / ROOT)) * x * 0.5,
}
OTHERS: dict[str, Any] = {
    "not half": lambda x: 0.7 * x * (1 + tf.math.erf(x / ROOT)),
    "not the same": lambda x: x * x * (0.5 * (1 + tf.math.erf(x / ROOT))),
    "read twice": lambda x: (1 + (erf := tf.math.erf(x / ROOT))) * x * 0.5 + erf,
    "not sqrt": lambda x: x * 0.5 * (1 + tf.math.erf(x)),
}
FAR = {
    "softplus": ops.softplus, "log_sigmoid": ops.log_sigmoid, "mish": lambda x: x * ops.tanh(ops.softplus(x)),
    "scaled": lambda x: ops.softplus(2 * x) / 2, "layer": layers.Activation("softplus"),
}  # fmt: skip
CURVES = {
    "arcsinh": ops.arcsinh, "arctan": ops.arctan, "erf": ops.erf,
    "arcsin": lambda x: ops.arcsin(ops.tanh(x)), "arccos": lambda x: ops.arccos(ops.tanh(x)),
    "arctanh": lambda x: ops.arctanh(ops.tanh(x) / 2), "arccosh": lambda x: ops.arccosh(1 + ops.abs(x)),
    "sinh": ops.sinh, "cosh": ops.cosh, "tan": lambda x: ops.tan(ops.tanh(x)),
}  # fmt: skip


SCALED: dict[str, Any] = {
    "rescaled": layers.Rescaling(1 / 255), "centred": layers.Rescaling(1 / 127.5, -1),
    "divided": lambda x: x / 255, "shifted": lambda x: x * (1 / 64) - 2, "bytes": layers.Rescaling(1 / 255),
    "doubled": layers.Rescaling(2.0), "plain": lambda x: x, "twice": lambda x: x / 255 + ops.abs(x),
}  # fmt: skip


class Applied(layers.Layer):  # type: ignore[misc]  # Keras has no types
    """A function of TensorFlow, as layers that people write call them."""

    def __init__(self, call: Any) -> None:
        """Of any tensor."""
        super().__init__()
        self.function = call

    def call(self, x: Any) -> Any:
        """The function."""
        return self.function(x)


def functions() -> None:
    """Functions of single values, an output each: as Keras writes them, and as people do in SavedModels."""
    for name, calls in {"far": FAR, "curves": CURVES}.items():
        x = keras.Input((6,), name="x")
        keras.Model(x, [call(layers.Dense(5)(x)) for call in calls.values()]).save(FOLDER / f"{name}.keras")
    images = [keras.Input((6, 6, 2), name=name, dtype="uint8" if name == "bytes" else None) for name in SCALED]
    begun = [call(image) for image, call in zip(images, SCALED.values(), strict=True)]
    keras.Model(images, [layers.Conv2D(3, 3)(x) for x in begun]).save(FOLDER / "scaled.keras")
    for name, calls in {"gelus": GELUS, "no_gelus": OTHERS}.items():
        x = keras.Input((6,), name="x")
        made = [Applied(call)(layers.Dense(5)(x)) for call in calls.values()]
        keras.Model(x, made).export(FOLDER / name, verbose=False)


def main() -> None:
    """Write all of them."""
    functions()
    networks = {
        "argmax": applied(lambda x: ops.argmax(x, -1), (7,)),
        "argmax_between": applied(lambda x: ops.argmax(layers.Conv2D(4, 3)(x), 1), (8, 6, 3)),
        "argmin_relu": applied(lambda x: ops.argmin(ops.relu(x), -1, keepdims=True), (7,)),
        "one_hot": applied(lambda x: ops.one_hot(ops.argmax(x, -1), 7), (7,)),
        "signbit": applied(lambda x: ops.cast(ops.signbit(x), "float32"), (7,)),
        "bicubic_up": resized(20, 11, "bicubic"),
        "bicubic_one_axis": resized(9, 3, "bicubic"),
        "lanczos3": resized(5, 16, "lanczos3"),
        "lanczos5_down": resized(4, 3, "lanczos5", antialias=True),
        "leap": applied(layers.Conv2D(4, 3, strides=4, padding="same"), (8, 8, 3)),
        "leap_depthwise": applied(layers.DepthwiseConv2D((1, 3), strides=2, padding="same"), (8, 8, 3)),
        "antialiased": resized(4, 4, "bilinear", antialias=True),
    }
    volume = keras.Input((4, 6, 5, 2), name="x")
    pools = [
        layers.AveragePooling3D(2, padding="same"), layers.AveragePooling3D((2, 3, 1), strides=(1, 2, 2)),
        layers.MaxPooling3D(3, strides=2, padding="same"), layers.MaxPooling3D(2),
    ]  # fmt: skip
    networks["volumes"] = keras.Model(volume, [pool(volume) for pool in pools])
    volume = keras.Input((6, 7, 8, 4), name="x")
    networks["sparse_volumes"] = keras.Model(volume, [layer(volume) for layer in [
        layers.Conv3D(3, 3, dilation_rate=2), layers.Conv3D(3, (2, 3, 1), dilation_rate=(3, 2, 1), padding="same"),
        layers.Conv3D(6, 2, groups=2, strides=2), layers.Conv3D(4, 3, groups=4, dilation_rate=2, padding="same"),
    ]])  # fmt: skip
    image = keras.Input((7, 6, 3), name="x")
    networks["sparse_transposed"] = keras.Model(image, [layer(image) for layer in [
        layers.Conv2DTranspose(4, 3, dilation_rate=2), layers.Conv2DTranspose(2, (2, 3), dilation_rate=(3, 2), padding="same"),
    ]])  # fmt: skip
    for name, network in networks.items():
        network.save(FOLDER / f"{name}.keras")
    cells = {"gru": layers.GRU(4, return_sequences=True), "simple": layers.SimpleRNN(4), "lstm": layers.LSTM(3)}
    both = layers.Bidirectional(layers.LSTM(3, return_sequences=True))
    for name, layer in {**cells, "bidirectional": both}.items():
        applied(layer, (6, 3)).export(FOLDER / f"open_{name}", verbose=False)
    x = tf_keras.Input((5, 2))
    tf_keras.Model(x, tf_keras.layers.GRU(4)(x)).save(FOLDER / "open_old_gru", save_format="tf")


main()
