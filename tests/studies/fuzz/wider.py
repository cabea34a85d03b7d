"""More seeds, which take half a minute to make: for the study, not for its short run among the tests."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgekit.backends import tflite
from tests import networks
from tests.sources.onnx import onnx_mutants
from tests.studies.fuzz import mutators
from tests.studies.fuzz.mutators import Mutator, Random
from tests.studies.fuzz.seeds import Seed, folder_seed

KERAS_MODELS = Path(__file__).resolve().parents[2] / "sources" / "keras_models.py"

QUANTIZED = """
    s = DequantizeLinear(xi, xs, xz) w = DequantizeLinear(wi, ws, wz) t = MatMul(s, w) r = Relu(t)
    q = QuantizeLinear(r, ys, yz) y = DequantizeLinear(q, ys, yz)
"""


def wider(kind: str, scratch: Path) -> Iterator[Seed]:
    """Further seeds of a kind; ``scratch`` is an empty folder for making them."""
    made = {"keras": _keras, "hdf5": _keras, "savedmodel": _keras, "tflite": _tflite, "onnx": _onnx}.get(kind)
    if made is not None:
        scratch.mkdir(parents=True, exist_ok=True)
        yield from made(kind, scratch)


def _keras(kind: str, scratch: Path) -> Iterator[Seed]:
    """What both libraries save: layers of every sort, several inputs, states, open sizes, custom code."""
    inside: dict[str, Mutator] = {".json": mutators.as_json, ".h5": mutators.hdf5}
    for library in ("k3", "legacy"):
        folder = scratch / library
        if not folder.exists():
            folder.mkdir()
            subprocess.run([sys.executable, KERAS_MODELS, library, folder], check=True, capture_output=True)
        for path in sorted(folder.iterdir()):
            name = f"{library}_{path.name}"
            if kind == "keras" and path.suffix == ".keras":
                yield Seed(kind, name, path.read_bytes(), mutators.zipped(inside))
            elif kind == "hdf5" and path.suffix == ".h5":
                yield Seed(kind, name, path.read_bytes(), mutators.hdf5)
            elif kind == "savedmodel" and path.is_dir():
                yield folder_seed(path)


def _tflite(_: str, scratch: Path) -> Iterator[Seed]:
    """Quantized files, a loop, a branch, a recurrent operator."""
    import tensorflow as tf  # noqa: PLC0415  seconds

    backend = tflite.TFLiteBackend()
    waist = networks.classifier(scratch / "classifier.tflite")
    samples = networks.samples(networks.signature(waist), 4)
    for precision in ("int8", "int16x8", "float16", "dynamic-int8"):
        backend.build(
            networks.job(waist, precision, calibration=samples, settings={"weights": "auto"}),
            f"{precision}.tflite",
            scratch,
        )
        yield Seed("tflite", f"{precision}.tflite", (scratch / f"{precision}.tflite").read_bytes(), mutators.flatbuffer)
    eye = tf.eye(8)
    bodies = {
        "while": lambda x: tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y @ eye), (tf.constant(0), x))[1],
        "if": lambda x: tf.cond(tf.reduce_sum(x) > 0, lambda: x @ eye, lambda: x + 1.0),
        "lstm": tf.keras.Sequential([tf.keras.layers.Reshape((4, 2)), tf.keras.layers.LSTM(3)]),
        "shapes": lambda x: tf.tile(tf.pad(tf.reshape(x, (2, 4)), [[1, 1], [0, 0]]), [2, 2])[1:, ::2] * 0.5,
        "choice": lambda x: tf.gather(tf.nn.top_k(x, 4).values, [[0, 3]], axis=1),
    }
    for name, body in bodies.items():
        traced = tf.function(body).get_concrete_function(tf.TensorSpec((1, 8), tf.float32, name="x"))
        content = tf.lite.TFLiteConverter.from_concrete_functions([traced]).convert()
        yield Seed("tflite", f"{name}.tflite", content, mutators.flatbuffer)


def _onnx(kind: str, _: Path) -> Iterator[Seed]:
    """The same graphs, damaged where a graph is one: operators, wires, sizes, constants; and quantized ones."""
    import onnx  # noqa: PLC0415  a second

    from tests.sources.onnx.onnx_cases import CASES, build, f32  # noqa: PLC0415  as above

    zero = {"xz": np.int8(0), "wz": np.int8(0), "yz": np.int8(-128)}
    held = {"xs": np.float32(0.02), "ws": np.float32(0.01), "ys": np.float32(0.03), "wi": np.ones((4, 3), np.int8)}
    text = f"xi = QuantizeLinear(x, xs, xz) {QUANTIZED}"
    quantized = {
        "qdq": build("float[1,4] x", text, **held, **zero),
        "dynamic": build(
            "float[1,4] x",
            "q, s, z = DynamicQuantizeLinear(x) i = MatMulInteger(q, wi, z, wz) f = Cast<to=1>(i) m = Mul(s, ws) y = Mul(f, m)",
            wi=held["wi"], ws=held["ws"], wz=zero["wz"],
        ),
        "qlinear": build(
            "float[1,4] x",
            "xi = QuantizeLinear(x, xs, xz) q = QLinearMatMul(xi, xs, xz, wi, ws, wz, ys, yz) y = DequantizeLinear(q, ys, yz)",
            **held, **zero,
        ),
        "axis": build(
            "float[1,4] x",
            "w = DequantizeLinear<axis=1>(wi, s, z) y = MatMul(x, w)",
            wi=held["wi"], s=f32(0.1, 0.2, 0.3), z=np.zeros(3, np.int8),
        ),
    }  # fmt: skip
    for name, model in quantized.items():
        content = model.SerializeToString()
        yield Seed(kind, f"{name}.onnx", content, mutators.message(onnx.ModelProto))
        yield Seed(kind, f"{name}.onnx", content, _structure)
    for name, model in CASES.items():
        yield Seed(kind, f"{name}.onnx", model.SerializeToString(), _structure)


def _structure(content: bytes, random: Random) -> bytes:
    """A change of an ONNX graph as a graph."""
    import onnx  # noqa: PLC0415  as above

    try:
        model = onnx.ModelProto.FromString(content)
        mutators.pick(random, onnx_mutants.MUTATIONS)(model, random)
        return model.SerializeToString()
    except Exception:  # noqa: BLE001  an earlier change broke it, in whatever way
        return mutators.flip(content, random)
