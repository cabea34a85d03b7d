"""What is installed here and what it makes possible. Nothing is imported, nothing is installed."""

import platform
import shutil

from edgekit import config, sources
from edgekit.engine import registry
from edgekit.engine.fingerprint import tool_versions
from edgekit.errors import MissingTool
from edgekit.host import compilers, sandbox
from edgekit.host.cachedir import cache_folder
from edgekit.nouns.results import Capability, Health


def doctor() -> Health:
    """Look at this environment."""
    return Health(
        python=platform.python_version(),
        platform=platform.platform(terse=True),
        cache=str(cache_folder()),
        tools=tool_versions(),
        parts=(*_sources(), *_targets(), *_devices(), *_meters(), _edgetpu_compiler(), _npu_compiler(), _sandbox()),
    )


def _missing(leaf: str) -> MissingTool | None:
    try:
        registry.require(leaf)
    except MissingTool as error:
        return error
    return None


def _sources() -> list[Capability]:
    return [
        Capability(
            kind="source", name=name, works=missing is None, detail=_detail(missing), fix=missing.fix if missing else ""
        )
        for name, leaf in sources.FORMATS.items()
        for missing in [_missing(leaf)]
    ]


def _detail(missing: MissingTool | None) -> str:
    return missing.problem if missing else ""


def _targets() -> list[Capability]:
    parts = []
    for name in config.target_names():
        gaps = [gap for variant in config.target(name).variants if (gap := _missing(variant.backend)) is not None]
        first = gaps[0] if gaps else None
        fix = first.fix if first else ""
        parts.append(Capability(kind="target", name=name, works=first is None, detail=_detail(first), fix=fix))
    return parts


DEVICES = {
    "local": "this host",
    "adb": "Android phones",
    "ssh": "Linux boards",
    "emulated": "arm64 kernels without a board",
    "serial": "microcontrollers",
}
"""Kinds of devices → what they reach."""


def _devices() -> list[Capability]:
    parts = []
    for name in registry.names("drivers"):
        missing, what = _missing(name), DEVICES.get(name, "")
        if name == "emulated" and missing is None and shutil.which("qemu-aarch64-static") is None:
            missing = MissingTool("qemu-aarch64-static is not installed.", fix="apt-get install qemu-user-static")
        detail = _detail(missing) or what
        parts.append(Capability(kind="device", name=name, works=missing is None, detail=detail, fix=_fix(missing)))
    return parts


def _meters() -> list[Capability]:
    """Meters whose library is missing; what the others see, only a device can tell (`edgekit devices`)."""
    return [
        Capability(kind="meter", name=name, works=False, detail=missing.problem, fix=missing.fix)
        for name in registry.names("meters")
        if (missing := _missing(name)) is not None
    ]


def _sandbox() -> Capability:
    """What is in force where strangers' models are read."""
    walls = sandbox.in_force()
    whole = len(walls) == len(sandbox.WALLS)
    return Capability(
        kind="guard",
        name="sandbox",
        works=whole,
        detail=", ".join(walls) or "models are read with all that you may do",
        fix="" if whole else "use Linux 5.13 or later with Landlock, on x86-64 or arm64, for strangers' models",
    )


def _fix(missing: MissingTool | None) -> str:
    return missing.fix if missing is not None else ""


def _edgetpu_compiler() -> Capability:
    found = compilers.edgetpu()
    return Capability(
        kind="tool",
        name="edgetpu_compiler",
        works=bool(found),
        detail=found or "without it the target edgetpu gives the compile-ready model and a forecast",
        fix="" if found else compilers.EDGETPU_INSTALL,
    )


def _npu_compiler() -> Capability:
    found = compilers.npu()
    return Capability(
        kind="tool",
        name="openvino npu compiler",
        works=bool(found),
        detail=found or "without it the target openvino-npu gives the checked IR, not the blob",
        fix="" if found else "compile on a machine with the Intel NPU driver, or with the Windows wheel of openvino",
    )
