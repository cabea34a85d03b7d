"""Runtimes that load a file and run it: LiteRT in its three packages, OpenVINO, ONNX Runtime."""

from __future__ import annotations

import sys
from typing import Any

from .machine import RUNTIMES, version_of
from .refusal import Refusal, first_line

OTHER = "see what is named; choose another precision, delegate or runtime"


def runtime(suffix: str) -> tuple[str, str]:
    """The first installed runtime for files of a suffix: distribution and module."""
    choices = RUNTIMES.get(suffix, {})
    for name, module in choices.items():
        if version_of(name) is not None:
            return name, module
    raise Refusal(
        "MissingTool",
        f"There is no runtime for {suffix} files here ({', '.join(choices) or 'none is known'}).",
        f"{sys.executable} -m pip install {next(iter(choices), 'ai-edge-litert')}",
    )


class LiteRT:
    """A TFLite file in an interpreter of LiteRT, tflite-runtime or tensorflow."""

    def __init__(self, order: dict[str, Any], module: Any) -> None:
        delegates = self._delegates(order, module)
        options: dict[str, Any] = {"experimental_delegates": delegates} if delegates else {}
        if order["delegate"] == "none":
            options["experimental_op_resolver_type"] = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        try:
            self._made = module.Interpreter(model_path=order["model"], num_threads=order["threads"], **options)
            self._made.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise Refusal("Unsupported", f"LiteRT cannot load the file: {first_line(error)}", OTHER) from error
        self._into = {detail["name"]: detail for detail in self._made.get_input_details()}
        self.invoke = self._made.invoke

    @staticmethod
    def _delegates(order: dict[str, Any], module: Any) -> list[Any]:
        if order["delegate"] in {"xnnpack", "none"}:
            return []
        names = {"edgetpu": "libedgetpu.so.1"}
        library = order.get("library") or names.get(order["delegate"])
        if library is None:
            raise Refusal(
                "Unsupported",
                f"The delegate {order['delegate']} is no library on this kind of device.",
                "choose --delegate xnnpack or none, or name its library in the device's configuration",
            )
        try:
            return [module.load_delegate(library)]
        except (OSError, ValueError) as error:
            raise Refusal(
                "MissingTool",
                f"The delegate's library cannot be loaded: {library}: {first_line(error)}",
                "install it there, or name its path as delegate_library in the device's configuration",
            ) from error

    def feed(self, inputs: dict[str, Any]) -> None:
        """Set every input, state aside."""
        self._made.reset_all_variables()
        for name, detail in self._into.items():
            self._made.set_tensor(detail["index"], inputs[name])

    def outputs(self) -> dict[str, Any]:
        """Every output by name."""
        return {detail["name"]: self._made.get_tensor(detail["index"]) for detail in self._made.get_output_details()}


class OpenVINO:
    """An IR or ONNX file compiled by OpenVINO for the CPU."""

    def __init__(self, order: dict[str, Any], module: Any) -> None:
        core = module.Core()
        settings: dict[str, Any] = {"INFERENCE_NUM_THREADS": order["threads"]}
        settings["PERF_COUNT"] = order["mode"] == "operators"
        try:
            compiled = core.compile_model(core.read_model(order["model"]), "CPU", settings)
        except RuntimeError as error:
            raise Refusal("Unsupported", f"OpenVINO cannot compile the file: {first_line(error)}", OTHER) from error
        self._request = compiled.create_infer_request()
        self._inputs = {port.get_any_name(): port for port in compiled.inputs}
        self._outputs = {port.get_any_name(): port for port in compiled.outputs}
        self._tensor = module.Tensor
        self.invoke = self._request.infer

    def feed(self, inputs: dict[str, Any]) -> None:
        """Set every input."""
        for name, port in self._inputs.items():
            self._request.set_tensor(port, self._tensor(inputs[name]))

    def outputs(self) -> dict[str, Any]:
        """Every output by name."""
        return {name: self._request.get_tensor(port).data.copy() for name, port in self._outputs.items()}

    def operators(self) -> list[dict[str, Any]]:
        """Times of the last inference, by operator."""
        return [
            {
                "name": node.node_name,
                "kind": node.node_type,
                "mean_ms": node.real_time.total_seconds() * 1000,
                "runs_on": node.exec_type,
            }
            for node in self._request.get_profiling_info()
            if "NOT_RUN" not in str(node.status)
        ]


class OnnxRuntime:
    """An ONNX file in ONNX Runtime on the CPU."""

    def __init__(self, order: dict[str, Any], module: Any) -> None:
        options = module.SessionOptions()
        options.intra_op_num_threads = order["threads"]
        options.log_severity_level = 3
        try:
            self._session = module.InferenceSession(order["model"], options, providers=["CPUExecutionProvider"])
        except _errors(module) as error:
            raise Refusal("Unsupported", f"ONNX Runtime cannot load the file: {first_line(error)}", OTHER) from error
        self._fed: dict[str, Any] = {}
        self._names = [output.name for output in self._session.get_outputs()]
        self._last: list[Any] = []

    def feed(self, inputs: dict[str, Any]) -> None:
        """Set every input."""
        self._fed = {given.name: inputs[given.name] for given in self._session.get_inputs()}

    def invoke(self) -> None:
        """Run once."""
        self._last = self._session.run(None, self._fed)

    def outputs(self) -> dict[str, Any]:
        """Every output by name."""
        return dict(zip(self._names, self._last))


def _errors(module: Any) -> tuple[type[BaseException], ...]:
    """ONNX Runtime's own errors, which share no base class of theirs."""
    state = module.capi.onnxruntime_pybind11_state
    own = [kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return (RuntimeError, ValueError, *own)


KINDS: dict[str, Any] = {"openvino": OpenVINO, "onnxruntime": OnnxRuntime}
