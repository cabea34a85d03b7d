"""The verbs for Python programs and notebooks, which `edgekit` itself exports.

    what a user holds: paths, arrays, a Keras model, an ONNX ModelProto
      → given     files, since networks and data travel as files
      → verbs     the same functions as behind the command line
      → results   nouns that print as the screens do

Each call has a session of its own, which ends with it: no process and no temporary file stays behind. Calls may
come from several threads. Nothing is printed unless ``progress`` asks for it. Errors are those of `edgekit.errors`.
"""

from edgekit.api.building import build, check, inspect
from edgekit.api.compressing import CompressResult, compress
from edgekit.api.diagnosing import DiagnoseResult, diagnose
from edgekit.api.measuring import compare, devices, profile
from edgekit.api.results import (
    BuildResult,
    BuiltFile,
    BuiltFolder,
    CheckResult,
    CompareResult,
    DevicesResult,
    DoctorResult,
    InspectResult,
    LatencyMs,
    ProfileResult,
    TargetsResult,
)
from edgekit.api.running import ProgressEvent
from edgekit.api.shipping import GateResult, RunResult, gate, run, save_baseline, write_report
from edgekit.api.surroundings import doctor, targets

__all__ = [
    "BuildResult",
    "BuiltFile",
    "BuiltFolder",
    "CheckResult",
    "CompareResult",
    "CompressResult",
    "DevicesResult",
    "DiagnoseResult",
    "DoctorResult",
    "GateResult",
    "InspectResult",
    "LatencyMs",
    "ProfileResult",
    "ProgressEvent",
    "RunResult",
    "TargetsResult",
    "build",
    "check",
    "compare",
    "compress",
    "devices",
    "diagnose",
    "doctor",
    "gate",
    "inspect",
    "profile",
    "run",
    "save_baseline",
    "targets",
    "write_report",
]
