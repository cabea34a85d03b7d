"""Operator times of LiteRT, through its C library: the interpreter in Python has no profiler.

Functions and layouts are those of litert/c in LiteRT 2.1 (litert_compiled_model.h, litert_profiler.h,
litert_profiler_event.h, options/litert_runtime_options.h). They changed before and after, so that only
versions are accepted with which this was tried.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

from .loop import calm_means
from .machine import version_of
from .refusal import OTHER, Refusal

VERSIONS = ("2.1.0", "2.1.2")
"""Versions of ai-edge-litert whose C library is known."""

CPU = 1
"""``kLiteRtHwAcceleratorCpu``: XNNPACK, and LiteRT's own kernels for the rest."""

OPERATOR, DELEGATED = 2, 8
"""Types of events: an operator of the interpreter; one inside a delegate that is reported like it."""

TYPE_BYTES = 256
"""Room for a ``LiteRtRankedTensorType``, which has 72."""


class _Event(ctypes.Structure):
    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("memory", ctypes.c_int64 * 6),  # before and after
        ("index", ctypes.c_uint64),
        ("more", ctypes.c_uint64),
        ("source", ctypes.c_int),
    )


UNSUPPORTED = 5
"""``kLiteRtStatusErrorUnsupported`` (litert_common.h)."""

STATEFUL = (
    "LiteRT times operators in its compiled model alone, which opens no file with a state in it: that of an LSTM, RNN "
    "or SVDF, or a variable."
)
"""What such a file is refused for (``model_load.cc``: "Variable tensors not yet supported", or resources)."""

ELSEWHERE = (
    "leave out --ops: latency and memory are measured as ever; or profile the network's file for OpenVINO "
    "(edgekit build -t openvino-cpu), which times its operators"
)


class Profiler:
    """A TFLite file in LiteRT's compiled model, with its profiler on."""

    def __init__(self, order: dict[str, Any], module: Any) -> None:
        version = version_of("ai-edge-litert")
        if order["delegate"] != "xnnpack" or version not in VERSIONS:
            raise Refusal(
                "Unsupported",
                f"Here LiteRT times operators of XNNPACK in version {' or '.join(VERSIONS)} alone, "
                f"and this is {order['delegate']} in version {version}.",
                "leave out --ops, or choose --delegate xnnpack",
            )
        self._library = ctypes.CDLL(str(Path(module.__file__).parent / "libLiteRt.so"))
        self._load(order)
        graph = self._make("LiteRtGetModelSubgraph", self._model, ctypes.c_size_t(0))
        self._tensors = {side: self._sides(graph, side) for side in ("Input", "Output")}
        self._buffers = {side: self._allocated(side) for side in self._tensors}
        self._graph = graph
        self.names = [self._name(tensor) for tensor in self._tensors["Input"]]

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise Refusal("Unsupported", f"LiteRT cannot load or run the file: {name} gives {status}.", OTHER)

    def _make(self, name: str, *arguments: Any) -> Any:
        made = ctypes.c_void_p()
        self._call(name, *arguments, ctypes.byref(made))
        return made

    def _opened(self, path: str) -> Any:
        made = ctypes.c_void_p()
        status = self._library.LiteRtCreateModelFromFile(path.encode(), ctypes.byref(made))
        if status == UNSUPPORTED:
            raise Refusal("Unsupported", STATEFUL, ELSEWHERE)
        if status:
            raise Refusal("Unsupported", f"LiteRT cannot load the file: it gives {status}.", OTHER)
        return made

    def _load(self, order: dict[str, Any]) -> None:
        self._environment = self._make("LiteRtCreateEnvironment", ctypes.c_int(0), None)
        self._model = self._opened(order["model"])
        options = self._make("LiteRtCreateOptions")
        self._call("LiteRtSetOptionsHardwareAccelerators", options, ctypes.c_int(CPU))
        runtime = self._make("LiteRtCreateRuntimeOptions")
        found = self._make("LiteRtFindRuntimeOptions", runtime)
        self._call("LiteRtSetRuntimeOptionsEnableProfiling", found, ctypes.c_bool(True))  # noqa: FBT003
        self._call("LiteRtAddOpaqueOptions", options, runtime)
        cpu = self._make("LiteRtCreateCpuOptions")
        found = self._make("LiteRtFindCpuOptions", cpu)
        self._call("LiteRtSetCpuOptionsNumThread", found, ctypes.c_int(order["threads"]))
        self._call("LiteRtAddOpaqueOptions", options, cpu)
        self._compiled = self._make("LiteRtCreateCompiledModel", self._environment, self._model, options)
        self._profiler = self._make("LiteRtCompiledModelGetProfiler", self._compiled)

    def _sides(self, graph: Any, side: str) -> list[Any]:
        number = ctypes.c_size_t()
        self._call(f"LiteRtGetNumSubgraph{side}s", graph, ctypes.byref(number))
        return [self._make(f"LiteRtGetSubgraph{side}", graph, ctypes.c_size_t(i)) for i in range(number.value)]

    def _allocated(self, side: str) -> Any:
        made = []
        for i, tensor in enumerate(self._tensors[side]):
            kind = ctypes.create_string_buffer(TYPE_BYTES)
            self._call("LiteRtGetRankedTensorType", tensor, kind)
            needs = f"LiteRtGetCompiledModel{side}BufferRequirements"
            needed = self._make(needs, self._compiled, ctypes.c_size_t(0), ctypes.c_size_t(i))
            made.append(self._make("LiteRtCreateManagedTensorBufferFromRequirements", self._environment, kind, needed))
        return (ctypes.c_void_p * len(made))(*made)

    def _name(self, tensor: Any) -> str:
        name = ctypes.c_char_p()
        self._call("LiteRtGetTensorName", tensor, ctypes.byref(name))
        return (name.value or b"").decode("utf8", "replace")

    def feed(self, inputs: dict[str, Any]) -> None:
        """Set every input."""
        for name, buffer in zip(self.names, self._buffers["Input"]):
            content, size = inputs[name].tobytes(), ctypes.c_size_t()
            self._call("LiteRtGetTensorBufferSize", ctypes.c_void_p(buffer), ctypes.byref(size))
            if len(content) > size.value:
                raise Refusal("InputError", f"The input {name} is larger than the file's.", "mend the inputs' shapes")
            memory = self._make("LiteRtLockTensorBuffer", ctypes.c_void_p(buffer))
            ctypes.memmove(memory, content, len(content))
            self._call("LiteRtUnlockTensorBuffer", ctypes.c_void_p(buffer))

    def invoke(self) -> None:
        """Run once."""
        sides = [side for b in self._buffers.values() for side in (ctypes.c_size_t(len(b)), b)]
        self._call("LiteRtRunCompiledModel", self._compiled, ctypes.c_size_t(0), *sides)

    def operators(self, runs: int) -> list[dict[str, Any]]:
        """Mean time by operator (`calm_means`), in the order of execution; events come in whole µs."""
        rows: list[dict[str, Any]] = []
        times: list[dict[int, float]] = []
        for _ in range(runs):
            self._call("LiteRtResetProfiler", self._profiler)
            self._call("LiteRtStartProfiler", self._profiler)
            self.invoke()
            self._call("LiteRtStopProfiler", self._profiler)
            seen = self._events()
            rows = rows or [self._row(event, i) for i, event in enumerate(seen)]
            times.append({i: event.elapsed_us / 1000 for i, event in enumerate(seen[: len(rows)])})
        for i, mean_ms in calm_means(times).items():
            rows[i]["mean_ms"] = mean_ms
        return rows

    def _events(self) -> list[_Event]:
        number = ctypes.c_int()
        self._call("LiteRtGetNumProfilerEvents", self._profiler, ctypes.byref(number))
        if number.value <= 0:
            raise Refusal("Unsupported", "LiteRT reports no operators for this file.", "leave out --ops")
        events = (_Event * number.value)()
        self._call("LiteRtGetProfilerEvents", self._profiler, number, events)
        return [event for event in events if event.type in {OPERATOR, DELEGATED} and b"Delegate" not in event.tag]

    def _row(self, event: _Event, position: int) -> dict[str, Any]:
        kind = event.tag.decode("utf8", "replace")
        if event.type == DELEGATED:
            return {"name": f"{position}: {kind}", "kind": kind, "mean_ms": 0.0, "runs_on": "xnnpack"}
        operator = self._make("LiteRtGetSubgraphOp", self._graph, ctypes.c_size_t(event.index))
        name = self._name(self._make("LiteRtGetOpOutput", operator, ctypes.c_size_t(0)))
        return {"name": f"{position}: {name}", "kind": kind, "mean_ms": 0.0, "runs_on": "litert"}
