"""OpenVINO and NNCF, loaded so that they neither call home nor draw progress bars.

Importing openvino sends a usage event, and so does every conversion and quantization, unless the
package ``openvino_telemetry`` cannot be imported: then both fall back to a stub of their own. Every
module of this leaf imports the libraries from here.
"""

import logging
import sys

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # makes its import fail

import nncf  # noqa: E402
import openvino as ov  # noqa: E402
from nncf.quantization.advanced_parameters import QuantizationParameters  # noqa: E402
from nncf.quantization.algorithms.min_max.algorithm import MinMaxQuantization  # noqa: E402
from nncf.quantization.range_estimator import (  # noqa: E402
    AggregatorType,
    RangeEstimatorParameters,
    RangeEstimatorParametersSet,
    StatisticsCollectorParameters,
    StatisticsType,
)
from openvino import frontend  # noqa: E402
from openvino import opset13 as operators  # noqa: E402
from openvino._offline_transformations import compress_model_transformation  # noqa: E402
from openvino.tools.ovc.error import BasicError  # noqa: E402

nncf.set_log_level(logging.ERROR)

FAILURES: tuple[type[Exception], ...] = (
    BasicError, RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, AssertionError,
    frontend.GeneralFailure, frontend.InitializationFailure, frontend.NotImplementedFailure,
    frontend.OpConversionFailure, frontend.OpValidationFailure,
    nncf.InternalError, nncf.InvalidQuantizerGroupError, nncf.ParameterNotSupportedError,
    nncf.UnsupportedModelError, nncf.ValidationError,
)  # fmt: skip
"""What OpenVINO and NNCF raise on networks that they cannot take; most have no base but Exception."""

CORE = ov.Core()
"""OpenVINO's runtime: its plugins are loaded when a device is first named."""

__all__ = [
    "CORE",
    "FAILURES",
    "AggregatorType",
    "MinMaxQuantization",
    "QuantizationParameters",
    "RangeEstimatorParameters",
    "RangeEstimatorParametersSet",
    "StatisticsCollectorParameters",
    "StatisticsType",
    "compress_model_transformation",
    "nncf",
    "operators",
    "ov",
]

EXACT = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
"""Settings to compile with: float32 if the file is float.

Without, CPUs with bfloat16 units compute float networks in bfloat16, and the same file gives other results on other
machines.
"""

ONE_THREAD = EXACT | {"INFERENCE_NUM_THREADS": 1}
"""The same as ``NUM_STREAMS`` of one for each core leaves to each."""
