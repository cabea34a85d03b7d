"""ONNX Runtime on the CPU: sessions that say nothing, runs over samples, inputs made up for checks."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort

from edgekit.host import deadline, events
from edgekit.sources.onnx import effort
from edgekit.waist.tensors import arrays, distinct

Array = NDArray[Any]

THREADS = 2
"""CPU threads of a session: references need not be fast, and other work goes on beside them."""

RUNTIME_ERRORS = (
    ort.EPFail, ort.Fail, ort.InvalidArgument, ort.InvalidGraph, ort.InvalidProtobuf, ort.NoSuchFile,
    ort.NotImplemented, ort.RuntimeException, RuntimeError, ValueError, TypeError,
)  # fmt: skip
"""What ONNX Runtime raises: its own classes, and pybind11's for arguments of a wrong type."""

onnxruntime.set_default_logger_severity(4)  # fatal only: complaints come as exceptions


_STOPPED = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : \w+ : "
    r"(?:Non-zero status code returned while running (\w+) node\. Name:'([^']*)' "
    r"Status Message: (?:\S+\.(?:h|cc):\d+ \w+ )?)?"
)
"""How ONNX Runtime begins to say that it stopped: with codes of its own, and at which operator."""

_WHERE = re.compile(r"/\S+\.(?:cc|h):\d+ .*?\)(?: const)?(?: \[with .*?\])? ")
"""Where in ONNX Runtime's own source a complaint arose: file, line and the function's signature."""


def complaint(error: Exception) -> str:
    """What ONNX Runtime says is wrong, on one line of at most 300 characters."""
    told = _WHERE.sub("", " ".join(str(error).split()))
    return _STOPPED.sub(lambda found: f"{found[1]} ({found[2]}): " if found[1] else "", told)[:300]


class Running(onnxruntime.InferenceSession):  # type: ignore[misc]  # it has no types
    """A session that knows which network it runs."""

    network: onnx.ModelProto


def session(model: onnx.ModelProto, *, optimize: bool = True) -> Running:
    """A session on the CPU. The model may not be changed as long as it runs."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # which keeps what the largest run took, while other processes work
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    # Else its optimizer makes of DequantizeLinear and MatMul what rounds activations to 8 bits.
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
    made = Running(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    made.network = model
    return made


def run(running: Running, feeds: dict[str, Array], names: list[str] | None = None) -> list[Array]:
    """One run, in the time that `edgekit.host.deadline` gives it: every input in its own dtype."""
    with deadline.inference(lambda: effort.of(running.network)):
        return [np.asarray(value) for value in running.run(names, feeds)]


def made_up(
    shapes: dict[str, tuple[int, ...]], dtypes: dict[str, np.dtype[Any]], seed: int, limits: Mapping[str, range]
) -> Iterator[dict[str, Array]]:
    """Inputs to try, the most telling first, deterministic in the seed.

    Floats are normal, then uniform in 0..1 (for logarithms and roots). Integers stay within their
    ``limits``, and if none are known below 100, 2 and 1, because they may be indices into tables of
    unknown length. They repeat as little as they can.
    """
    for below, positive in ((100, False), (100, True), (2, False), (2, True), (1, False)):
        random = np.random.default_rng(seed)
        draw = random.random if positive else random.standard_normal
        yield {
            name: _draw(random, draw, shape, dtypes[name], limits.get(name, range(below)))
            for name, shape in shapes.items()
        }


def _draw(
    random: np.random.Generator, draw: Callable[..., Any], shape: tuple[int, ...], dtype: np.dtype[Any], within: range
) -> Array:
    if dtype == np.bool_:
        return np.asarray(random.integers(0, 2, shape)).astype(np.bool_)
    if np.issubdtype(dtype, np.integer):
        drawn = distinct(random, shape, len(within))
        drawn = random.integers(0, len(within), shape) if drawn is None else drawn
        return np.asarray(drawn + within.start).astype(dtype)
    return np.asarray(draw(shape)).astype(dtype)


def each_sample(path: Path) -> Iterator[dict[str, Array]]:
    """Samples one by one (see `edgekit.waist.tensors.arrays`); every array is ``[N, *shape]``."""
    samples = arrays(path)
    count = len(next(iter(samples.values())))
    for i in range(count):
        events.progress(i / count, "sample by sample")
        yield {name: values[i] for name, values in samples.items()}
