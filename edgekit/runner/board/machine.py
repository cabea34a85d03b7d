"""What this machine is, and in which state."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

RUNTIMES = {
    ".tflite": {
        "ai-edge-litert": "ai_edge_litert.interpreter",
        "tflite-runtime": "tflite_runtime.interpreter",
        "tensorflow": "tensorflow.lite.python.interpreter",
    },
    ".xml": {"openvino": "openvino"},
    ".onnx": {"onnxruntime": "onnxruntime", "openvino": "openvino"},
}
"""Suffix → runtime → module, in the order of preference."""

NUMPY_1 = {"tflite-runtime"}
"""Runtimes whose last version was built against numpy 1 and fails with numpy 2."""

ALSO_AS = {
    "tensorflow": ("tensorflow-cpu", "tensorflow-aarch64", "tensorflow-intel", "tf-nightly"),
    "onnxruntime": ("onnxruntime-gpu", "onnxruntime-openvino"),
    "openvino": ("openvino-nightly",),
    "ai-edge-litert": ("ai-edge-litert-nightly",),
}
"""Runtime → other distributions that bring the same module."""


def read(path: str) -> str | None:
    """A file's text without the line's end; None if it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf8", errors="replace").strip("\n\0 ")
    except OSError:
        return None


def number(text: str | None) -> float | None:
    """A text as a number; None if it is none."""
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def root() -> str:
    """A prefix of all sensor paths, for tests; empty on a real device."""
    return os.environ.get("EDGEKIT_SENSORS", "")


def sensors(pattern: str) -> list[str]:
    """Paths below the root that match a pattern."""
    return [str(path) for path in Path(root() or "/").glob(pattern)]


def state() -> dict[str, Any]:
    """What can change a measurement, as fields of ``edgekit.nouns.profile.State``."""
    cpus = sorted(sensors("sys/devices/system/cpu/cpu[0-9]*/cpufreq"))
    governors = sorted({text for cpu in cpus if (text := read(cpu + "/scaling_governor"))})
    frequencies = [value for cpu in cpus if (value := number(read(cpu + "/scaling_cur_freq"))) is not None]
    zones = [number(read(path)) for path in sensors("sys/class/thermal/thermal_zone*/temp")]
    hottest = max((zone for zone in zones if zone is not None), default=None)
    load = read(root() + "/proc/loadavg")
    now, since_start = throttling()
    return {
        "utc": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
        "governor": ", ".join(governors) or None,
        "frequencies_khz": [int(value) for value in frequencies] or None,
        "temperature_c": None if hottest is None else hottest / 1000,
        "throttled": now,
        "has_throttled": since_start,
        "load": number(load.split()[0]) if load else None,
    }


THROTTLED = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
"""Bits of ``vcgencmd get_throttled`` on a Raspberry Pi (Raspberry Pi documentation, vcgencmd)."""

SINCE_START = 16
"""By how many bits the same ones stand higher that tell what has occurred since the start (there)."""


def throttling() -> tuple[list[str] | None, list[str] | None]:
    """Why the firmware holds the clock down now, and why it has since its start; None if it does not tell."""
    if not any(os.access(os.path.join(folder, "vcgencmd"), os.X_OK) for folder in os.get_exec_path()):  # noqa: PTH118
        return None, None
    import subprocess  # slow to import, and most machines need it not

    try:
        command = ["vcgencmd", "get_throttled"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
        bits = int(said.stdout.strip().partition("=")[2], 16)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None, None
    return _reasons(bits), _reasons(bits >> SINCE_START)


def _reasons(bits: int) -> list[str]:
    return [words for bit, words in THROTTLED.items() if bits >> bit & 1]


def processor() -> str | None:
    """The processor's or board's name."""
    model = read("/proc/device-tree/model")
    if model:
        return model
    for line in (read("/proc/cpuinfo") or "").splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.processor() or None


def version_of(distribution: str) -> str | None:
    """An installed distribution's version; None if it is not installed."""
    return _distributions().get(distribution.replace("-", "_"))


@cache
def _distributions() -> dict[str, str]:
    """Versions by name, from the names of metadata folders; importing ``importlib.metadata`` takes longer than that."""
    found: dict[str, str] = {}
    for folder in sys.path:
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else ()  # noqa: PTH112, PTH208
        for name in names:
            stem, dot, kind = name.rpartition(".")
            if dot and kind in {"dist-info", "egg-info"}:
                title, _, version = stem.partition("-")
                found.setdefault(title.lower().replace(".", "_"), version.partition("-py")[0])
    return found


def installed(runtime: str) -> str | None:
    """A runtime's version, ``unknown`` if its module has no distribution; None if it is not installed."""
    for name in (runtime, *ALSO_AS.get(runtime, ())):
        version = version_of(name)
        if version is not None:
            return version
    module = next(modules[runtime] for modules in RUNTIMES.values() if runtime in modules)
    spec = importlib.util.find_spec(module.partition(".")[0])
    return None if spec is None or spec.origin is None else "unknown"


def cores() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


NARROW = {"aarch64": "armv7l", "x86_64": "i686"}
"""What a 32-bit system computes with on a 64-bit kernel, which names itself."""


def abi() -> str:
    """The instruction set of this Python and its runtimes, as ``uname -m`` names it."""
    named = platform.machine()
    return named if sys.maxsize > 2**32 else NARROW.get(named, named)


def look() -> dict[str, Any]:
    """What this machine is and what it can run. Imports no runtime."""
    names = dict.fromkeys(name for choices in RUNTIMES.values() for name in choices)
    found = {name: version for name in names if (version := installed(name)) is not None}
    problems = []
    if importlib.util.find_spec("numpy") is None:
        problems.append(f"numpy is not installed there; fix: {sys.executable} -m pip install numpy")
    elif NUMPY_1 & set(found) and not (version_of("numpy") or "1").startswith("1."):
        needing = ", ".join(sorted(NUMPY_1 & set(found)))
        problems.append(f"{needing} needs numpy 1; fix: {sys.executable} -m pip install 'numpy<2'")
    return {
        "python": platform.python_version(),
        "os": platform.platform(terse=True),
        "cpu": processor(),
        "abi": abi(),
        "cores": cores(),
        "runtimes": found,
        "problems": problems,
        "state": state(),
    }
