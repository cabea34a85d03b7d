"""Running any int8 file on samples in the source's layout, and timing files that take turns."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edgekit.nouns.model import Signature
from edgekit.waist import run
from edgekit.waist.tensors import dequantize, quantize, to_file

TURNS = 7
"""Pairs of timings of which the median is taken."""

TURN_S = 0.15
"""How long one side of a pair runs; twice at least."""


class Loaded(Protocol):
    """A file that was loaded, with one input."""

    shape: tuple[int, ...]

    def __call__(self, row: Any) -> list[Any]:
        """The outputs, float32, of one sample of `shape`."""

    def again(self) -> None:
        """Run on the last sample once more."""


class LiteRT:
    """A TFLite file."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        self._made = run.interpreter(path, threads=threads)
        (self._input,) = self._made.get_input_details()
        self.shape = tuple(int(size) for size in self._input["shape"])

    def __call__(self, row: Any) -> list[Any]:
        """See `Loaded`."""
        (scale, zero), dtype = self._input["quantization"], np.dtype(self._input["dtype"]).name
        self._made.set_tensor(self._input["index"], quantize(row, scale, zero, dtype) if scale else row.astype(dtype))
        self._made.invoke()
        return [
            _real(self._made.get_tensor(out["index"]), *out["quantization"]) for out in self._made.get_output_details()
        ]

    def again(self) -> None:
        """See `Loaded`."""
        self._made.invoke()


def _real(values: Any, scale: float, zero: int) -> Any:
    return dequantize(values, scale, zero) if scale else values.astype(np.float32)


class OpenVINO:
    """An OpenVINO IR file; what is float in it is computed in float32."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        from edgekit.backends.openvino.libraries import CORE  # noqa: PLC0415 - the child of a TFLite file needs it not

        hints = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_PRECISION_HINT": "f32"}
        model = CORE.compile_model(CORE.read_model(path), "CPU", hints | {"INFERENCE_NUM_THREADS": threads})
        self._request = model.create_infer_request()
        self.shape = tuple(model.inputs[0].shape)

    def __call__(self, row: Any) -> list[Any]:
        """See `Loaded`."""
        return [np.array(values, np.float32) for values in self._request.infer([row]).values()]

    def again(self) -> None:
        """See `Loaded`."""
        self._request.infer()


def loaded(path: Path, threads: int = 1) -> Loaded:
    """A file, by its name."""
    return LiteRT(path, threads) if path.suffix == ".tflite" else OpenVINO(path, threads)


def outputs(made: Loaded, signature: Signature, x: Any) -> list[Any]:
    """Outputs ``[N, *shape]`` of samples in the source's layout, as the file orders them."""
    (spec,) = signature.inputs
    rows = to_file(spec, x) if made.shape == spec.shape else x
    return [np.stack(values) for values in zip(*(made(row.reshape(made.shape)) for row in rows), strict=True)]


def matched(wanted: Any, found: list[Any]) -> Any:
    """The output ``[N, 1, *shape]`` that comes closest to what is wanted: files name, order and lay them out as they like.

    Raises:
        ValueError: none has as many values.
    """
    forms = [values for values in found if values.size == wanted.size]
    forms += [np.moveaxis(values, -1, 2) for values in forms if values.ndim > 3]
    if not forms:
        raise ValueError(f"no output has {wanted[0].size} values")
    return min((form.reshape(wanted.shape) for form in forms), key=lambda form: float(np.square(form - wanted).mean()))


def latencies(first: Loaded, second: Loaded) -> tuple[float, float]:
    """The best time of the second in ms, and the median of its ratios to the first, in runs that take turns."""
    pairs = [(_best(first.again), _best(second.again)) for _ in range(TURNS)]
    return min(own for _, own in pairs) * 1000, statistics.median(own / other for other, own in pairs)


def _best(call: Callable[[], None]) -> float:
    times: list[float] = []
    end = time.monotonic() + TURN_S
    while len(times) < 2 or time.monotonic() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)
