"""edgekit turns a trained network into artifacts that run well on phones, boards and accelerators.

    import edgekit
    result = edgekit.build("model.onnx", "android", calibration=x_train[:200], eval=(x_test, y_test), metric="top1")
    result["android"]["int8"].path
    edgekit.profile(result["android"]["int8"], quick=True).latency_ms.median

Each name is imported when it is first used: ``import edgekit`` loads nothing but this file.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgekit import errors
    from edgekit.api import (
        build,
        check,
        compare,
        compress,
        devices,
        diagnose,
        doctor,
        gate,
        inspect,
        profile,
        run,
        save_baseline,
        targets,
        write_report,
    )

__version__ = "0.1.0"

__all__ = [
    "build", "check", "compare", "compress", "devices", "diagnose", "doctor", "errors", "gate", "inspect", "profile",
    "run", "save_baseline", "targets", "write_report",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module("edgekit.errors")
    if name in __all__:
        return getattr(importlib.import_module("edgekit.api"), name)
    raise AttributeError(f"edgekit has no {name}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
