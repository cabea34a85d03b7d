"""Compilers outside Python packages: where they are on this machine. Nothing is imported or run."""

import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

EDGETPU_VARIABLE = "EDGEKIT_EDGETPU_COMPILER"
"""The environment variable that names the Edge TPU compiler or the command that runs it."""

EDGETPU_PROGRAM = "edgetpu_compiler"
"""The program's name on ``PATH``."""

EDGETPU_INSTALL = (
    "on x86-64 Debian or Ubuntu: sudo apt-get install edgetpu-compiler, after adding Google's repository as "
    "https://coral.ai/docs/edgetpu/compiler/#download shows; elsewhere: set "
    f"{EDGETPU_VARIABLE} to a command that runs it in a container or on another host"
)
"""How to get it."""

NPU_LIBRARIES = ("libopenvino_intel_npu_compiler_loader.so", "openvino_intel_npu_compiler_loader.dll")
"""OpenVINO's NPU compiler is a library beside its plugins (read off the Linux and Windows wheels of 2026.4)."""


def edgetpu() -> str:
    """The command of the Edge TPU compiler: ``EDGEKIT_EDGETPU_COMPILER``, or from ``PATH``; empty without."""
    return os.environ.get(EDGETPU_VARIABLE) or shutil.which(EDGETPU_PROGRAM) or ""


def npu() -> str:
    """The path of OpenVINO's NPU compiler; empty without."""
    spec = importlib.util.find_spec("openvino")
    folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    found = (path for folder in folders for name in NPU_LIBRARIES if (path := folder / "libs" / name).exists())
    return str(next(found, ""))


class Compiler(NamedTuple):
    """A compiler of a backend's: how it is found, what there is without it, and how to get it."""

    backend: str
    name: str
    find: Callable[[], str]
    without: str
    fix: str


COMPILERS = (
    Compiler(
        "edgetpu",
        EDGETPU_PROGRAM,
        edgetpu,
        "without it the target edgetpu gives the compile-ready model and a forecast",
        EDGETPU_INSTALL,
    ),
    Compiler(
        "openvino",
        "openvino npu compiler",
        npu,
        "without it the target openvino-npu gives the checked IR, not the blob",
        "compile on a machine with the Intel NPU driver, or with the Windows wheel of openvino",
    ),
)
"""All of them. What a backend makes with one is another answer than what it makes without."""


def installed() -> dict[str, str]:
    """Backend → what decides, beside the versions of Python packages, what it can make, with its size and date."""
    return {compiler.backend: _as_it_is(compiler.find()) for compiler in COMPILERS}


def _as_it_is(program: str) -> str:
    """A program's path, with what changes when another takes its place; a command in words stays as it is."""
    try:
        seen = Path(program).stat()
    except OSError:
        return program
    return f"{program} {seen.st_size} {seen.st_mtime_ns}" if program else ""
