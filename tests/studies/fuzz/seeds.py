"""Small sound files of every kind, from which mutants are made. All of them are made here or lie in the repository."""

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

from tests import networks
from tests.studies.fuzz import mutators
from tests.studies.fuzz.mutators import Mutator

ROOT = Path(__file__).resolve().parents[3]
DIGITS = ROOT / "docs" / "examples" / "digits"


@dataclass(frozen=True)
class Seed:
    """A sound file's content, the name that it is given, how it is changed, and what lies beside it unchanged."""

    kind: str
    name: str
    content: bytes
    change: Mutator
    beside: dict[str, bytes] = field(default_factory=dict)


KINDS = ("onnx", "tflite", "keras", "hdf5", "savedmodel", "npz", "csv", "image", "project", "target", "manifest")
"""What is fuzzed."""


@cache
def seeds(kind: str, scratch: Path, *, many: bool = False) -> tuple[Seed, ...]:
    """The seeds of a kind; ``scratch`` is an empty folder for making some of them, ``many`` takes half a minute."""
    made = {"onnx": _onnx, "savedmodel": _saved_models, "tflite": _tflite, "npz": _npz, "image": _images}.get(kind)
    few = tuple(made(scratch)) if made else tuple(_plain(kind, scratch))
    if not many:
        return few
    from tests.studies.fuzz.wider import wider  # noqa: PLC0415  TensorFlow

    return (*few, *wider(kind, scratch / "wider"))


def _onnx(_: Path) -> Iterator[Seed]:
    import onnx  # noqa: PLC0415  a second

    from tests.sources.onnx.onnx_cases import CASES  # noqa: PLC0415  as above

    change = mutators.message(onnx.ModelProto)
    for name, model in CASES.items():
        yield Seed("onnx", f"{name}.onnx", model.SerializeToString(), change)


def _tflite(scratch: Path) -> Iterator[Seed]:
    made = {
        "classifier": networks.classifier(scratch / "classifier.tflite"),
        "elements": networks.element_wise(scratch / "elements.tflite", "ABS", "LOGISTIC", "TANH"),
    }
    for name, path in made.items():
        yield Seed("tflite", f"{name}.tflite", path.read_bytes(), mutators.flatbuffer)


def _saved_models(scratch: Path) -> Iterator[Seed]:
    """The graph of a SavedModel, beside its variables."""
    import tensorflow as tf  # noqa: PLC0415  seconds

    module = tf.Module()
    module.kernel = tf.Variable(tf.ones((4, 3)))

    @tf.function(input_signature=[tf.TensorSpec((1, 4), tf.float32)])
    def serve(x: "tf.Tensor") -> "tf.Tensor":
        return tf.nn.relu(tf.matmul(x, module.kernel))

    module.serve = serve
    tf.saved_model.save(module, str(scratch / "saved"), signatures=serve)
    yield folder_seed(scratch / "saved")


def folder_seed(saved: Path) -> Seed:
    """A SavedModel folder, whose graph is changed and whose other files stay."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel  # noqa: PLC0415  seconds

    held = {str(path.relative_to(saved.parent)): path.read_bytes() for path in saved.rglob("*") if path.is_file()}
    content = held.pop(f"{saved.name}/saved_model.pb")
    return Seed("savedmodel", f"{saved.name}/saved_model.pb", content, mutators.message(SavedModel), held)


def _npz(_: Path) -> Iterator[Seed]:
    for dtype in ("float32", "float64", "uint8", "int64"):
        file = io.BytesIO()
        np.savez(file, image=np.zeros((3, 8, 8, 1), dtype), y=np.arange(3))
        yield Seed("npz", f"{dtype}.npz", file.getvalue(), mutators.zipped({".npy": mutators.flip}))
        alone = io.BytesIO()
        np.save(alone, np.zeros((3, 8, 8, 1), dtype))
        yield Seed("npz", f"{dtype}.npy", alone.getvalue(), mutators.flip)


def _images(_: Path) -> Iterator[Seed]:
    random = np.random.default_rng(0)
    grey = random.integers(0, 2**16, (9, 7), np.uint16)
    colour = random.integers(0, 256, (9, 7, 3), np.uint8)
    pictures = {
        "png": colour, "jpg": colour, "bmp": colour, "gif": colour, "webp": colour, "tiff": colour, "ppm": colour,
        "deep.png": grey, "deep.tiff": grey,
    }  # fmt: skip
    for suffix, pixels in pictures.items():
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, suffix.rpartition(".")[2].replace("jpg", "jpeg"))
        yield Seed("image", f"picture.{suffix}", file.getvalue(), mutators.flip)


def _plain(kind: str, scratch: Path) -> Iterator[Seed]:
    if kind == "keras":
        inside: dict[str, Mutator] = {".json": mutators.as_json, ".h5": mutators.hdf5}
        yield Seed(kind, "digits.keras", (DIGITS / "model.keras").read_bytes(), mutators.zipped(inside))
    elif kind == "hdf5":
        yield Seed(kind, "model.h5", _keras_2(), mutators.hdf5)
    elif kind == "csv":
        rows = "\n".join(",".join(f"{i * j % 7}" for j in range(64)) for i in range(4))
        yield Seed(kind, "samples.csv", rows.encode(), mutators.flip)
    elif kind == "project":
        yield Seed(kind, "edgekit.toml", (DIGITS / "edgekit.toml").read_bytes(), mutators.toml)
        yield Seed(kind, "edgekit.toml", _project(), mutators.toml)
    elif kind == "target":
        for path in sorted((ROOT / "targets").glob("*.toml")):
            yield Seed(kind, path.name, path.read_bytes(), mutators.toml)
    elif kind == "manifest":
        network = networks.element_wise(scratch / "m.tflite", "ABS").read_bytes()
        yield Seed(kind, "manifest.json", _manifest(network), mutators.as_json, {"m.tflite": network})


def _project() -> bytes:
    return b"""model = "m.tflite"
targets = ["android", "edgetpu"]
precision = "int8"
calibration = "c.npz"
eval = "e.npz"
max_drop = 0.5
metric = "top1"
seed = 3
[shapes]
x = [1, 2, 3]
[[input]]
kind = "image"
size = [8, 8]
channels = "RGB"
mean = [1.0, 2.0, 3.0]
[devices.pi5]
kind = "ssh"
host = "pi5.local"
"""


def _keras_2() -> bytes:
    """An HDF5 model as Keras 2 saves one: its configuration in an attribute, its weights in groups."""
    layers = [
        {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 4], "dtype": "float32", "name": "x"}},
        {"class_name": "Dense", "config": {"name": "d", "units": 3, "activation": "relu", "use_bias": True}},
    ]
    config = {"class_name": "Sequential", "config": {"name": "m", "layers": layers}}
    made = io.BytesIO()
    with h5py.File(made, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = "2.15.0", "tensorflow"
        file.attrs["model_config"] = json.dumps(config)
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = np.array([b"d"])
        group = weights.create_group("d")
        group.attrs["weight_names"] = np.array([b"d/kernel:0", b"d/bias:0"])
        group.create_dataset("d/kernel:0", data=np.ones((4, 3), np.float32))
        group.create_dataset("d/bias:0", data=np.ones(3, np.float32))
    return made.getvalue()


def _manifest(network: bytes) -> bytes:
    """A manifest such as a build writes, for the file ``m.tflite`` beside it."""
    import msgspec  # noqa: PLC0415  only here

    from edgekit.nouns.base import FileDigest  # noqa: PLC0415
    from edgekit.nouns.manifest import ArtifactFile, Manifest  # noqa: PLC0415  as above
    from edgekit.nouns.model import Model, Signature, SourceOptions, TensorSpec  # noqa: PLC0415
    from edgekit.nouns.target import BuildOptions  # noqa: PLC0415

    def spec(name: str) -> TensorSpec:
        return TensorSpec(
            name=name, shape=(1, 4), dtype="float32", source_name=name, source_shape=(1, 4), source_dtype="float32"
        )

    signature = Signature(inputs=(spec("x"),), outputs=(spec("y"),))
    digest = FileDigest(sha256=hashlib.sha256(network).hexdigest(), bytes=len(network))
    file = ArtifactFile(
        file="m.tflite", precision="float32", backend="tflite", use="", delegate=None, io=None,
        files={"m.tflite": digest}, signature=signature, cost=None, verification=None,
    )  # fmt: skip
    made = Manifest(
        edgekit="0", tools={}, created_utc="2026-01-01T00:00:00+00:00",
        source=Model(name="m", file="m.onnx", sha256="0" * 64, format="onnx", bytes=1, signature=signature),
        recipe=BuildOptions(), source_options=SourceOptions(), target="android", artifacts=(file,),
    )  # fmt: skip
    return msgspec.json.encode(made)
