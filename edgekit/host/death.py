"""Why a child process died: its exit code and its last words, turned into an error with a remedy."""

import re
import signal
from pathlib import Path

from edgekit.errors import DeviceError, EdgekitError, InputError, Unsupported, out_of_memory, too_large
from edgekit.nouns.leaves import MODULES

NAMES = {
    "ai_edge_litert": "LiteRT",
    "ai_edge_quantizer": "ai-edge-quantizer",
    "h5py": "HDF5 (h5py)",
    "keras": "Keras",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "nncf": "NNCF",
    "numpy": "NumPy",
    "ppk2_api": "ppk2-api",
    "pyjoulescope_driver": "pyjoulescope-driver",
    "serial": "pyserial",
    "tensorflow": "TensorFlow",
    "tf_keras": "tf-keras",
}
"""Packages that hold native code, or call it, by the names that people know; those of leaves need none to be named."""


def of_reader(
    code: int, words: str, *, leaf: str, doing: str, place: str, log: Path, limit: int | None
) -> EdgekitError:
    """The error for a process that died of a model.

    Args:
        code: its exit code, as `subprocess` tells it.
        words: what it printed last.
        leaf: who was busy.
        doing: with what.
        place: the file that it was busy with.
        log: where its last words are.
        limit: the most bytes of memory that it could have; None: the machine's.
    """
    if out_of_memory(words):
        return too_large(place, limit)
    if code == -signal.SIGKILL:
        return Unsupported(
            f"{leaf} was killed while {doing} ({named(code)}).",
            place=place,
            fix="most often memory ran out: free some, set a limit with --max-memory, or use a machine with more",
        )
    return Unsupported(
        f"{library(words) or leaf} crashed while {doing} ({named(code)}).",
        place=place,
        fix=f"choose another precision or target, or save the model again in another form; its last words are in {log}",
    )


def of_users_code(code: int, *, what: str, doing: str, log: Path) -> InputError:
    """The error for a process that died while it read the user's samples or called a function of the user's."""
    killed = "most often memory ran out: free some, or keep less in memory at once"
    return InputError(
        f"{what}: the process died while {doing} ({named(code)}).",
        place=what,
        fix=f"{killed if code == -signal.SIGKILL else 'try it in Python alone'}; its last words are in {log}",
    )


def at_bench(code: int, words: str, *, leaf: str, doing: str, place: str, log: Path) -> DeviceError:
    """The error for a process that died while it was busy with a device or a meter (see `of_reader`)."""
    killed = "it was killed, most often for want of memory: free some, or use a machine with more"
    attached = "see that the device is attached and answers (edgekit devices), then run it again"
    who = library(words)
    return DeviceError(
        f"{leaf}{f' ({who})' if who else ''} died while {doing} ({named(code)}).",
        place=place,
        fix=f"{killed if code == -signal.SIGKILL else attached}; its last words are in {log}",
    )


def named(code: int) -> str:
    """An exit code, or the signal that ended a process, in words."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def library(words: str) -> str | None:
    """The library that was running: the innermost in the stack that Python's faulthandler wrote last.

    That is the stack of the thread that died if it is one of Python's. A library's own thread tells nothing: then it is
    whichever library Python's threads were waiting for.
    """
    _, fatal, stacks = words.rpartition("Fatal Python error")
    _, _, own = stacks.partition("Current thread")
    for stack in (own, stacks):
        packages: list[str] = re.findall(r'File "[^"]*site-packages/(\w+)', stack) if fatal else []
        found = next((NAMES.get(package, package) for package in packages if package in {*NAMES, *MODULES}), None)
        if found is not None:
            return found
    return None
