"""ONNX files in ONNX Runtime, on the CPU."""

from __future__ import annotations

import json
from bisect import bisect_right
from pathlib import Path
from typing import Any

from .loop import calm_means
from .refusal import OTHER, Refusal, first_line


class OnnxRuntime:
    """An ONNX file in a session."""

    def __init__(self, order: dict[str, Any], module: Any) -> None:
        options = module.SessionOptions()
        options.intra_op_num_threads = order["threads"]
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if order["mode"] == "operators":
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(order["out"]) / "onnxruntime")
        self.errors = errors(module)
        try:
            self._session = module.InferenceSession(order["model"], options, providers=["CPUExecutionProvider"])
        except self.errors as error:
            raise Refusal("Unsupported", f"ONNX Runtime cannot load the file: {first_line(error)}", OTHER) from error
        self.names = [given.name for given in self._session.get_inputs()]
        self._fed: dict[str, Any] = {}
        self._last: list[Any] = []

    def feed(self, inputs: dict[str, Any]) -> None:
        """Set every input, which also defines its shape."""
        self._fed = {name: inputs[name] for name in self.names}

    def invoke(self) -> None:
        """Run once."""
        self._last = self._session.run(None, self._fed)

    def outputs(self) -> dict[str, Any]:
        """Every output by name."""
        described = self._session.get_outputs()
        others = [output.name for output in described if not output.type.startswith("tensor(")]
        if others:
            raise Refusal("Unsupported", f"These outputs are no tensors: {', '.join(others)}.", OTHER)
        return {output.name: value for output, value in zip(described, self._last)}

    def operators(self, runs: int) -> list[dict[str, Any]]:
        """Mean time by operator, as fields of ``edgekit.nouns.profile.OperatorTime``."""
        for _ in range(runs):
            self.invoke()
        file = Path(self._session.end_profiling())
        rows = read_profile(json.loads(file.read_text(encoding="utf8")), runs)
        file.unlink()
        return rows


def read_profile(events: list[dict[str, Any]], runs: int) -> list[dict[str, Any]]:
    """Mean times (`calm_means`) of the last runs in ONNX Runtime's profile: nodes' events ``*_kernel_time``, in µs."""
    begins = sorted(event["ts"] for event in events if event.get("name") == "model_run")
    rows: dict[str, dict[str, Any]] = {}
    times: list[dict[str, float]] = [{} for _ in begins]
    for event in events:
        name = event.get("name", "")
        if event.get("cat") != "Node" or not name.endswith("_kernel_time") or event["ts"] < begins[-runs]:
            continue
        more = event.get("args", {})
        row = rows.setdefault(
            name[: -len("_kernel_time")],
            {
                "name": name[: -len("_kernel_time")],
                "kind": more.get("op_name", ""),
                "mean_ms": 0.0,
                "calls": 0,
                "runs_on": more.get("provider", "").replace("ExecutionProvider", ""),
            },
        )
        took = times[bisect_right(begins, event["ts"]) - 1]
        took[row["name"]] = took.get(row["name"], 0.0) + event["dur"] / 1000
        row["calls"] += 1
    for name, mean_ms in calm_means(times[-runs:]).items():
        rows[name]["mean_ms"] = mean_ms
    return [{**row, "calls": max(round(row["calls"] / runs), 1)} for row in rows.values()]


def errors(module: Any) -> tuple[type[BaseException], ...]:
    """ONNX Runtime's own errors, which share no base class of theirs."""
    state = module.capi.onnxruntime_pybind11_state
    own = [kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return (RuntimeError, ValueError, *own)
