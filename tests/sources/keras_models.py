"""Writes the Keras models that tests read, in a process of its own: ``python keras_models.py k3|legacy FOLDER``."""

import os
import sys
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["KERAS_BACKEND"] = "tensorflow"

import numpy as np
import tensorflow as tf

if sys.argv[1] == "k3":
    import keras
else:
    import tf_keras as keras

K3 = sys.argv[1] == "k3"
FOLDER = Path(sys.argv[2])
layers = keras.layers


def sequential(*stack: Any, shape: tuple[int | None, ...], **options: Any) -> Any:
    """A Sequential model with a named input layer."""
    return keras.Sequential([layers.Input(shape, name="signal", **options), *stack])


def functional() -> dict[str, Any]:
    """Networks with several inputs, outputs, nests of them, and shared layers."""
    a, b = layers.Input((8,), name="a"), layers.Input((8,), name="b")
    left, right = layers.Dense(4, name="left")(a), layers.Dense(4, name="right")(b)
    mixed = layers.Add(name="mixed")([right, left])
    count, size = layers.Input((6,), dtype="int32", name="words"), layers.Input((3,), name="size")
    embedded = layers.Flatten()(layers.Embedding(50, 4)(count))
    sequence = layers.Input((12, 16), name="tokens")
    attended = layers.MultiHeadAttention(2, 8)(sequence, sequence)
    normal = layers.LayerNormalization()(layers.Add()([sequence, attended]))
    signal = layers.Input((10, 4), name="signal")
    return {
        "multi": keras.Model([b, a], [mixed, left, right, a]),
        "nested": keras.Model({"b": b, "a": a}, {"two": left, "one": right}),
        "integers": keras.Model([count, size], layers.Dense(5, name="class")(layers.Concatenate()([embedded, size]))),
        "attention": keras.Model(sequence, layers.Dense(16, activation="gelu", name="out")(normal)),
        "states": keras.Model(signal, layers.LSTM(6, return_state=True, return_sequences=True, name="lstm")(signal)),
    }


def stacks() -> dict[str, Any]:
    """Sequential networks of the layers that converters stumble over."""
    return {
        "lstm": sequential(layers.LSTM(8), layers.Dense(2), shape=(10, 4)),
        "bidirectional": sequential(
            layers.Bidirectional(layers.LSTM(8, return_sequences=True)), layers.LSTM(5), shape=(10, 4)
        ),
        "masked": sequential(layers.Embedding(20, 8, mask_zero=True), layers.LSTM(8), shape=(10,), dtype="int32"),
        "conv1d": sequential(
            layers.Conv1D(8, 3, padding="causal", dilation_rate=2),
            layers.MaxPooling1D(2),
            layers.GlobalAveragePooling1D(),
            shape=(20, 4),
        ),
        "upsampling": sequential(
            layers.Conv2DTranspose(4, 3, strides=2),
            layers.UpSampling2D(2, interpolation="bilinear"),
            layers.SeparableConv2D(3, 3),
            layers.BatchNormalization(),
            shape=(8, 8, 2),
        ),
        "convlstm": sequential(layers.ConvLSTM2D(4, 3), shape=(5, 8, 8, 2)),
        "open": sequential(layers.Conv2D(4, 3), layers.GlobalMaxPooling2D(), shape=(None, None, 3)),
    }


class Scale(layers.Layer):  # type: ignore[misc,name-defined]
    """A layer that no library has."""

    def call(self, inputs: Any) -> Any:
        """Times three."""
        return inputs * 3.0


@keras.saving.register_keras_serializable(package="ours")
class Shift(layers.Layer):  # type: ignore[misc,name-defined]
    """A layer registered under a package."""

    def call(self, inputs: Any) -> Any:
        """Plus one."""
        return inputs + 1.0


class Own(keras.Model):  # type: ignore[misc,name-defined]
    """A subclassed model."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.dense = layers.Dense(3)

    def call(self, inputs: Any) -> Any:
        """One dense layer."""
        return self.dense(inputs)


def troublesome() -> dict[str, Any]:
    """Networks that must be refused, or that need the user's code."""
    broken = sequential(layers.Dense(3, name="first"), layers.Dense(2, name="second"), shape=(4,))
    kernel, bias = broken.layers[-1].get_weights()
    broken.layers[-1].set_weights([kernel * np.nan, bias])
    own = Own(name="own")
    own(np.zeros((1, 4), np.float32))
    return {
        "lambda": sequential(layers.Lambda(lambda x: x * 2.0, name="twice"), layers.Dense(2), shape=(4,)),
        "custom": sequential(Scale(name="scale"), layers.Dense(2), shape=(4,)),
        "registered": sequential(Shift(name="shift"), layers.Dense(2), shape=(4,)),
        "nan": broken,
        "subclassed": own,
    }


class Centred(layers.Layer):  # type: ignore[misc,name-defined]
    """Looks at the whole batch: one sample alone comes out as zero."""

    def call(self, inputs: Any) -> Any:
        """Less the batch's mean."""
        return inputs - tf.reduce_mean(inputs, axis=0, keepdims=True) + 1.0


def saved_models() -> None:
    """SavedModel folders, of Keras and of plain TensorFlow."""
    model = sequential(layers.Dense(3, name="dense"), shape=(4,))
    if K3:
        model.export(FOLDER / "exported", verbose=False)
    else:
        model.save(FOLDER / "exported", save_format="tf")

    class Plain(tf.Module):  # type: ignore[misc]
        """Two tensors in, two out, whose sizes are open."""

        def __init__(self) -> None:
            super().__init__()
            self.w = tf.Variable(np.arange(6, dtype=np.float32).reshape(3, 2))

        @tf.function(input_signature=[tf.TensorSpec([None, None, 3], name="x"), tf.TensorSpec([None, 2], name="y")])
        def serve(self, x: Any, y: Any) -> dict[str, Any]:
            """A product and a sum, in an order that is not the alphabet's."""
            return {"zeta": x @ self.w, "alpha": tf.reduce_sum(x, 1) @ self.w + y}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
        def words(self, text: Any) -> dict[str, Any]:
            """Strings in."""
            return {"length": tf.strings.length(text)}

        @tf.function(input_signature=[tf.TensorSpec([None, 4, 4], name="x")])
        def singular(self, x: Any) -> dict[str, Any]:
            """An operator that TFLite lacks."""
            return {"s": tf.linalg.svd(x, compute_uv=False)}

    plain = Plain()
    tf.saved_model.save(plain, FOLDER / "plain", signatures={"serving_default": plain.serve})
    tf.saved_model.save(plain, FOLDER / "other_name", signatures={"only": plain.serve})
    tf.saved_model.save(plain, FOLDER / "two_names", signatures={"first": plain.serve, "second": plain.serve})
    tf.saved_model.save(tf.Module(), FOLDER / "unsigned")
    tf.saved_model.save(plain, FOLDER / "strings", signatures={"serving_default": plain.words})
    tf.saved_model.save(plain, FOLDER / "svd", signatures={"serving_default": plain.singular})


def main() -> None:
    """Write everything."""
    keras.utils.set_random_seed(0)
    good = functional() | stacks() | {"centred": sequential(Centred(), shape=(4,))}
    for name, model in (good | troublesome()).items():
        for suffix in (".keras",) if name == "subclassed" else (".keras", ".h5"):
            model.save(FOLDER / f"{name}{suffix}")
    good["lstm"].save_weights(FOLDER / "only.weights.h5")
    saved_models()


main()
