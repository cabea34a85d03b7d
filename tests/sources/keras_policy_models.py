"""Writes Keras models with policies of 16 bits: ``python keras_policy_models.py k3|legacy FOLDER``.

Beside each ``NAME.keras`` and ``NAME.h5`` lies ``NAME.npz``: ``x``, what the network computes of it in
its own policy (``own``), and what a float32 network with the same weights does (``float32``).
"""

import os
import sys
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["KERAS_BACKEND"] = "tensorflow"

import numpy as np

if sys.argv[1] == "k3":
    import keras

    set_policy = keras.config.set_dtype_policy
else:
    import tf_keras as keras

    set_policy = keras.mixed_precision.set_global_policy

FOLDER = Path(sys.argv[2])
layers = keras.layers


def images(_: str | None) -> Any:
    """A CNN whose softmax is float32, as the guides to mixed precision have it."""
    return keras.Sequential([
        layers.Input((12, 12, 3), name="x"),
        layers.Conv2D(6, 3, padding="same", use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.SeparableConv2D(8, 3, strides=2),
        layers.GlobalAveragePooling2D(),
        layers.Dense(5),
        layers.Activation("softmax", dtype="float32"),
    ])  # fmt: skip


def signals(half: str | None) -> Any:
    """A recurrent network of which one layer alone has a policy of its own, in a nested model."""
    set_policy("float32")
    own = {"dtype": half} if half else {}
    inner = keras.Sequential([layers.Input((8, 4)), layers.LSTM(6, **own), layers.Dense(4)], name="inner")
    x = layers.Input((8, 4), name="x")
    return keras.Model(x, layers.Dense(3, **own)(inner(x)))


def write(name: str, build: Any, policy: str) -> None:
    """One network, in its policy and in float32."""
    results = {}
    random = np.random.default_rng(0)
    values: list[np.ndarray] = []
    for kind, half in (("float32", None), ("own", policy)):
        set_policy(half or "float32")
        model = build(half)
        if not values:
            values = [random.normal(0, 0.3, w.shape).astype(np.float16) for w in model.get_weights()]
            values = [np.abs(v) + np.float16(0.5) if v.ndim == 1 else v for v in values]  # variances
        model.set_weights([value.astype(w.dtype) for value, w in zip(values, model.get_weights(), strict=True)])
        x = random.random((3, *model.inputs[0].shape[1:])).astype(np.float32) if not results else results["x"]
        results |= {"x": x, kind: np.asarray(model(x, training=False)).astype(np.float32)}
    for suffix in (".keras", ".h5"):
        model.save(FOLDER / f"{name}{suffix}")
    np.savez(FOLDER / f"{name}.npz", **results)


write("images_mixed_float16", images, "mixed_float16")
write("images_mixed_bfloat16", images, "mixed_bfloat16")
write("signals_float16", signals, "float16")
write("signals_float64", signals, "float64")
