"""The runtimes that load files: which one is there, and the class that drives it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from .machine import NUMPY_1, RUNTIMES, installed, version_of
from .refusal import Refusal, first_line


def runtime(suffix: str) -> tuple[str, str]:
    """The first installed runtime for files of a suffix: distribution and version.

    Raises:
        Refusal: there is none; the command that installs one is given.
    """
    choices = RUNTIMES.get(suffix, {})
    for name in choices:
        version = installed(name)
        if version is not None:
            return name, version
    first = next(iter(choices), "ai-edge-litert")
    raise Refusal(
        "MissingTool",
        f"There is no runtime for {suffix} files here ({', '.join(choices) or 'none is known'}).",
        f"{sys.executable} -m pip install {first}",
    )


def imported(name: str, suffix: str) -> Any:
    """A runtime's module.

    Raises:
        Refusal: it does not load.
    """
    if name in NUMPY_1 and not (version_of("numpy") or "1").startswith("1."):  # it would load, and fail later
        problem = f"{name} needs numpy 1, and numpy {version_of('numpy')} is installed here."
        raise Refusal("MissingTool", problem, f"{sys.executable} -m pip install 'numpy<2'")
    try:
        return importlib.import_module(RUNTIMES[suffix][name])
    except (ImportError, AttributeError, SystemError) as error:  # what modules raise that fit another numpy
        problem = f"{name} is installed here but does not load: {first_line(error)}"
        fix = f"{sys.executable} -m pip install --force-reinstall {name}"
        raise Refusal("MissingTool", problem, fix) from error


def made(order: dict[str, Any], name: str) -> Any:
    """The file of an order, loaded: an object with ``names``, ``feed``, ``invoke`` and ``outputs``."""
    module = imported(name, Path(order["model"]).suffix)
    if name == "openvino":
        from .openvino_files import OpenVINO

        return lambda: OpenVINO(order, module)
    if name == "onnxruntime":
        from .onnx_files import OnnxRuntime

        return lambda: OnnxRuntime(order, module)
    if name == "ai-edge-litert" and order["mode"] == "operators":
        from .profiler import Profiler

        return lambda: Profiler(order, module)
    from .litert import LiteRT

    return lambda: LiteRT(order, module)
