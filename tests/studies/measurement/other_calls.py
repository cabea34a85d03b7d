"""edgekit's packed runner around the call that another tool times, in place of the one that edgekit makes.

    python other_calls.py litert-benchmark|benchmark_app RUNNER FOLDER

Carried out by the interpreter that has the tool's runtime; of edgekit it needs the packed runner alone.

litert-benchmark calls LiteRT's CompiledModel, and hands it maps of buffers each time; edgekit calls
``Interpreter.invoke``, which takes some µs less. benchmark_app runs .tflite files in OpenVINO, edgekit in LiteRT.
"""

import sys
from importlib import import_module
from typing import Any


class Compiled:
    """A file that litert-benchmark's own functions load, feed and call."""

    def __init__(self, order: dict[str, Any]) -> None:
        tool = import_module("ai_edge_litert.tools.benchmark_litert_model")
        compiled, hardware, environment, environment_options, options, cpu_options = tool._import_litert()
        sys.argv[1:] = ["--model", order["model"], "--num_threads", str(order["threads"])]
        args = tool.parse_args()
        accelerators = tool.build_hardware_accelerators(args, hardware)
        made = compiled.from_file(
            args.model,
            environment=tool.create_environment(args, environment, environment_options),
            options=tool.create_model_options(args, options, cpu_options, accelerators),
        )
        signature = next(iter(made.get_signature_list()))
        details = made.get_input_tensor_details(signature)
        given = {name: made.create_input_buffer_by_name(signature, name) for name in details}
        results = made.get_output_tensor_details(signature)
        taken = {name: made.create_output_buffer_by_name(signature, name) for name in results}
        for name, buffer in given.items():
            tool.fill_random_input(buffer, details[name])
        self.names: list[str] = []  # no input is asked for: the buffers are full
        self.invoke = lambda: made.run_by_name(signature, given, taken)

    def feed(self, inputs: dict[str, Any]) -> None:
        """Nothing more to set."""


def main() -> None:
    """Put the other call in place, and run the block."""
    tool, program, folder = sys.argv[1:]
    sys.path.insert(0, program)
    if tool == "litert-benchmark":
        import_module("edgekit_runner.block").loader = lambda order, _: lambda: Compiled(order)
    else:
        runtimes = import_module("edgekit_runner.machine").RUNTIMES
        runtimes[".tflite"] = runtimes[".xml"]
    sys.argv[1:] = [folder]
    import_module("edgekit_runner.__main__").main()


if __name__ == "__main__":
    main()
