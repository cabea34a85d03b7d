"""Train the bundled example: a small CNN that reads scikit-learn's 8x8 digits, in Keras 3.

Run it from the repository, in an environment with edgekit's development tools:

    python docs/examples/digits/train.py

It writes ``model.keras`` beside itself, and into ``calibration_data/`` at the repository's top
``digits.npz`` (256 images of the training split, for calibration) and ``digits_test.npz`` (the
held-out split with its labels under ``y``), each with a manifest ``.toml``. The seed decides
everything: a second run on the same machine gives the same weights and the same data.
"""

import hashlib
import os
from pathlib import Path

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "calibration_data"
SEED = 0
EPOCHS = 40
CALIBRATION_IMAGES = 256
WHITE = 16.0
"""The brightest pixel of scikit-learn's digits; the network wants 0..1."""

LICENCE = "CC-BY-4.0 (UCI optical digits), as packaged by scikit-learn (BSD-3-Clause)"
ORIGIN = (
    "sklearn.datasets.load_digits: test set of E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, "
    "UCI Machine Learning Repository, 1998, doi:10.24432/C50P49"
)


def network() -> keras.Model:
    """Two convolutions and a dense head: float32 ``image`` [N,8,8,1] in 0..1 → ``digit`` [N,10] probabilities."""
    image = keras.Input((8, 8, 1), name="image")
    x = image
    for filters in (16, 32):
        x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x)
        x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dropout(0.3, seed=SEED)(x)
    return keras.Model(image, keras.layers.Dense(10, activation="softmax", name="digit")(x), name="digits")


def manifest(file: Path, *, split: str, arrays: dict[str, np.ndarray]) -> None:
    """Write the ``.toml`` beside a data file: what it holds, where that is from, and its digest."""
    lines = [
        f'file = "{file.name}"',
        f'sha256 = "{hashlib.sha256(file.read_bytes()).hexdigest()}"',
        f'licence = "{LICENCE}"',
        f'origin = "{ORIGIN}"',
        f'split = "{split}"',
        'preprocessing = "pixel / 16: the original counts 0..16 become 0..1"',
        'made_by = "docs/examples/digits/train.py"',
    ]
    for name, values in arrays.items():
        lines += ["", f"[arrays.{name}]", f"shape = {list(values.shape)}", f'dtype = "{values.dtype}"']
    file.with_suffix(".toml").write_text("\n".join(lines) + "\n", encoding="utf8")


def main() -> None:
    """Train, state the accuracy, and write model and data."""
    keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()
    digits = load_digits()
    images = (digits.images / WHITE).astype(np.float32)[..., None]
    train_x, test_x, train_y, test_y = train_test_split(
        images, digits.target, test_size=0.2, random_state=SEED, stratify=digits.target
    )

    model = network()
    steps = EPOCHS * -(-len(train_x) // 32)
    model.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps)),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(train_x, train_y, epochs=EPOCHS, batch_size=32, verbose=0)
    accuracy = model.evaluate(test_x, test_y, verbose=0, return_dict=True)["accuracy"]
    keras.Model(model.inputs, model.outputs, name=model.name).save(HERE / "model.keras")

    samples = {"image": train_x[:CALIBRATION_IMAGES]}
    held_out = {"image": test_x, "y": test_y.astype(np.int64)}
    np.savez_compressed(DATA / "digits.npz", **samples)
    np.savez_compressed(DATA / "digits_test.npz", **held_out)
    manifest(DATA / "digits.npz", split=f"first {CALIBRATION_IMAGES} images of the training split", arrays=samples)
    manifest(DATA / "digits_test.npz", split="held out: never trained on, no image of digits.npz", arrays=held_out)
    print(f"float accuracy on {len(test_y)} held-out digits: {accuracy:.2%}")  # noqa: T201 - a script's result


if __name__ == "__main__":
    main()
