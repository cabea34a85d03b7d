"""Writes networks with layers that TFLite has no operators for: ``python keras_preprocessing_models.py k3|legacy FOLDER``."""

import os
import sys
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["KERAS_BACKEND"] = "tensorflow"

if sys.argv[1] == "k3":
    import keras
else:
    import tf_keras as keras

layers = keras.layers


def save(name: str, dtype: str, layer: Any, head: Any) -> None:
    """A network that begins with a layer."""
    x = layers.Input((4,), dtype=dtype, name="x")
    keras.Model(x, layers.Dense(2, name="out")(head(layer(x)))).save(Path(sys.argv[2]) / f"{name}.keras")


def embed(x: Any) -> Any:
    """What usually follows a look-up."""
    return layers.Flatten()(layers.Embedding(9, 3)(x))


save("lookup", "int64", layers.IntegerLookup(vocabulary=[10, 20, 30], name="look"), embed)
save("hashing", "int64", layers.Hashing(8, name="hash"), embed)
save("strings", "string", layers.StringLookup(vocabulary=["a", "b"], name="words"), embed)
save("counts", "int64", layers.CategoryEncoding(6, output_mode="multi_hot", name="count"), lambda x: x)
