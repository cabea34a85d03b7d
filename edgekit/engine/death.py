"""Why a child process died: its exit code and its last words in the log, turned into an error with a remedy."""

import re
import signal
from pathlib import Path

from edgekit.errors import DeviceError, EdgekitError, Unsupported, out_of_memory, too_large

LIBRARIES = {
    "ai_edge_litert": "LiteRT",
    "ai_edge_quantizer": "ai-edge-quantizer",
    "h5py": "HDF5 (h5py)",
    "keras": "Keras",
    "onnx": "onnx",
    "onnx2tf": "onnx2tf",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "nncf": "NNCF",
    "tensorflow": "TensorFlow",
    "tf_keras": "tf-keras",
}
"""Packages that hold native code, or call it, by the names that people know."""

DOINGS = {
    "describe": "reading the model",
    "to_waist": "converting the model",
    "as_it_is": "reading the model",
    "run": "running the model",
    "first_divergence": "looking for the first operator that differs",
    "build": "building the file",
}
"""Methods of leaves that load models, as steps that a user knows."""


def of_reader(code: int, leaf: str, method: str, *, place: str, log: Path, since: int, limit: int) -> EdgekitError:
    """The error for a process that died of a model.

    Args:
        code: its exit code, as `subprocess` tells it.
        leaf: the leaf that was busy.
        method: with which method.
        place: the file that it was busy with.
        log: where its last words are.
        since: how long the log was when it was called, in bytes.
        limit: the most bytes of memory that it could have.
    """
    with log.open("rb") as file:
        file.seek(since)
        words = file.read(1 << 20).decode("utf8", "replace")
    if out_of_memory(words):
        return too_large(place, limit)
    doing = DOINGS.get(method, method)
    if code == -signal.SIGKILL:
        return Unsupported(
            f"{leaf} was killed while {doing} ({named(code)}).",
            place=place,
            fix="most often memory ran out: free some, set a limit with --max-memory, or use a machine with more",
        )
    library = _library(words)
    return Unsupported(
        f"{library or leaf} crashed while {doing} ({named(code)}).",
        place=place,
        fix=f"choose another precision or target, or save the model again in another form; its last words are in {log}",
    )


def at_bench(code: int, leaf: str, method: str, *, place: str, log: Path) -> DeviceError:
    """The error for a process that died while it was busy with a device or a meter."""
    killed = "it was killed, most often for want of memory: free some, or use a machine with more"
    attached = "see that the device is attached and answers (edgekit devices), then run it again"
    return DeviceError(
        f"{leaf} died while it was busy with {method} ({named(code)}).",
        place=place,
        fix=f"{killed if code == -signal.SIGKILL else attached}; its last words are in {log}",
    )


def named(code: int) -> str:
    """An exit code, or the signal that ended a process, in words."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _library(words: str) -> str | None:
    """The library that was running: the innermost in the stack that Python's faulthandler wrote last."""
    _, fatal, stack = words.rpartition("Fatal Python error")
    packages = re.findall(r'File "[^"]*site-packages/(\w+)', stack) if fatal else []
    return next((LIBRARIES[package] for package in packages if package in LIBRARIES), None)
