"""How many operators others make of the same model: onnx2tf of ONNX, TFLiteConverter of Keras.

Usage of the latter alone, in a process of its own: python -m tests.studies.graphs.peers MODEL OUT.tflite
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from edgekit.errors import Unsupported
from edgekit.waist import graph, run

TIMEOUT_S = 180

NONE = "–"
"""Where a peer makes nothing that LiteRT runs."""


def operators(path: Path, scratch: Path) -> str:
    """How many operators a peer's float file has; "" if there is no peer for the format, `NONE` if it makes none."""
    keras = path.suffix in {".h5", ".hdf5", ".keras"} or (path / "saved_model.pb").is_file()
    if path.suffix != ".onnx" and not keras:
        return ""
    out = scratch / "peer"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    made = (
        _run(out, ["tests.studies.graphs.peers", str(path), str(out / "made.tflite")]) if keras else _onnx2tf(path, out)
    )
    try:
        run.interpreter(made) if made is not None else None
    except Unsupported:
        return NONE
    return NONE if made is None else str(sum(len(part.operators) for part in graph.read(made)))


def _onnx2tf(path: Path, out: Path) -> Path | None:
    copy = Path(shutil.copy(path, out / path.name))  # it overwrites what it reads
    return _run(out, ["onnx2tf", "-i", str(copy), "-o", str(out / "made")])


def _run(out: Path, command: list[str]) -> Path | None:
    """What a module writes; None if it writes nothing."""
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # onnx2tf calls onnxsim
    here = Path(__file__).parents[3]
    environment = os.environ | {"PATH": search, "PYTHONPATH": str(here), "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        subprocess.run(
            [sys.executable, "-m", *command], capture_output=True, cwd=out, timeout=TIMEOUT_S, check=False,
            env=environment,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None
    return next(iter([*out.glob("made.tflite"), *(out / "made").glob("*float32.tflite")]), None)


def converted(model: Path) -> bytes:
    """A Keras file or SavedModel for one sample at a time, as TFLiteConverter makes it without options."""
    import keras  # noqa: PLC0415  only in this child process
    import tensorflow as tf  # noqa: PLC0415
    import tf_keras  # noqa: PLC0415

    if model.is_dir():
        converter = tf.lite.TFLiteConverter.from_saved_model(str(model))
        return bytes(converter.convert())
    try:
        loaded: Any = tf_keras.models.load_model(model, compile=False)
    except Exception:  # noqa: BLE001  each library refuses the other's files in ways of its own
        loaded = keras.saving.load_model(model, compile=False)
    call = tf.function(lambda *given: loaded(list(given) if len(given) > 1 else given[0], training=False))
    specs = [tf.TensorSpec([1, *tensor.shape[1:]], tensor.dtype) for tensor in loaded.inputs]
    return bytes(
        tf.lite.TFLiteConverter.from_concrete_functions([call.get_concrete_function(*specs)], loaded).convert()
    )


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(converted(Path(sys.argv[1]).resolve()))
