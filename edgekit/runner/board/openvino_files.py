"""IR and ONNX files in OpenVINO, on the CPU."""

from __future__ import annotations

from typing import Any

from .loop import calm_means
from .refusal import OTHER, Refusal, first_line

SETTINGS = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_PRECISION_HINT": "f32"}
"""As edgekit verifies such files: what was verified is what is timed."""


class OpenVINO:
    """A file compiled by OpenVINO for the CPU."""

    def __init__(self, order: dict[str, Any], module: Any) -> None:
        core = module.Core()
        settings: dict[str, Any] = {**SETTINGS, "INFERENCE_NUM_THREADS": order["threads"]}
        settings["PERF_COUNT"] = order["mode"] == "operators"
        try:
            compiled = core.compile_model(core.read_model(order["model"]), "CPU", settings)
        except RuntimeError as error:
            raise Refusal("Unsupported", f"OpenVINO cannot compile the file: {first_line(error)}", OTHER) from error
        self._request = compiled.create_infer_request()
        self._inputs = {port.get_any_name(): port for port in compiled.inputs}
        self._outputs = {_name(port, i): port for i, port in enumerate(compiled.outputs)}
        self._tensor = module.Tensor
        self.names = list(self._inputs)
        self.invoke = self._request.infer

    def feed(self, inputs: dict[str, Any]) -> None:
        """Set every input, which also defines its shape, and forget the state of earlier samples."""
        self._request.reset_state()
        for name, port in self._inputs.items():
            self._request.set_tensor(port, self._tensor(inputs[name]))

    def outputs(self) -> dict[str, Any]:
        """Every output by name; copied, because a request writes into the same arrays again."""
        return {name: self._request.get_tensor(port).data.copy() for name, port in self._outputs.items()}

    def operators(self, runs: int) -> list[dict[str, Any]]:
        """Mean time by operator (`calm_means`), as fields of ``edgekit.nouns.profile.OperatorTime``."""
        rows: dict[str, dict[str, Any]] = {}
        times: list[dict[str, float]] = []
        for _ in range(runs):
            self.invoke()
            times.append({})
            for node in self._request.get_profiling_info():
                if "NOT_RUN" in str(node.status):
                    continue
                plain = {"name": node.node_name, "kind": node.node_type, "mean_ms": 0.0, "runs_on": node.exec_type}
                rows.setdefault(node.node_name, plain)
                took_ms = node.real_time.total_seconds() * 1000
                times[-1][node.node_name] = times[-1].get(node.node_name, 0.0) + took_ms
        for name, mean_ms in calm_means(times).items():
            rows[name]["mean_ms"] = mean_ms
        return list(rows.values())


def _name(port: Any, index: int) -> str:
    """An output's name; a result without one, as some IR files have, is called by its number."""
    return str(port.get_any_name()) if port.get_names() else f"output_{index}"
