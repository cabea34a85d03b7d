"""Plays benchmark_model on the phone that is none: this host's LiteRT runs the file, the classic tool's words tell of it.

What is measured and computed is real; only the words are played. ``var/replay`` in the phone's folder names a
recording to print instead. ``var/takes`` says how much the asked delegate takes (all, part, none); ``var/lacks``
holds flags that this build does not know; ``var/dies`` a signal to die of; ``var/generation`` ``litert`` for the other tool.
"""

import os
import resource
import struct
import sys
import time
from pathlib import Path
from statistics import mean, median, pstdev

VAR = Path(os.environ.get("ANDROID_ROOT", "/nowhere")) / "var"
FLAGS = {
    "graph": "",
    "num_threads": "1",
    "num_runs": "50",
    "min_secs": "1",
    "max_secs": "150",
    "warmup_runs": "1",
    "warmup_min_secs": "0.5",
    "input_layer": "",
    "input_layer_shape": "",
    "input_layer_value_files": "",
    "output_filepath": "",
    "result_file_path": "",
    "enable_op_profiling": "false",
    "profiling_output_csv_file": "",
    "use_xnnpack": "true",
    "use_gpu": "false",
    "use_nnapi": "false",
    "require_full_delegation": "false",
}
LITERT = {"use_cpu": "true", "use_npu": "false", "dispatch_library_path": ""}
CLASSIC_ONLY = {
    "input_layer",
    "input_layer_shape",
    "input_layer_value_files",
    "output_filepath",
    "enable_op_profiling",
    "profiling_output_csv_file",
    "use_xnnpack",
    "use_nnapi",
}


def var(name: str) -> str:
    file = VAR / name
    return file.read_text(encoding="utf8").strip() if file.is_file() else ""


def write(text: str = "") -> None:
    """A line at once, as the tool writes it."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    write(f"INFO: {text}")


def known() -> dict[str, str]:
    if var("generation") == "litert":
        return {name: value for name, value in FLAGS.items() if name not in CLASSIC_ONLY} | LITERT
    return {name: value for name, value in FLAGS.items() if name not in var("lacks").split()}


def line(taken: list[float]) -> str:
    """What the tool writes of its runs, in µs."""
    us = sorted(taken)
    if len(us) == 1:
        return f"count=1 curr={us[0]:.0f}"
    low, high = us[len(us) * 5 // 100], us[min(len(us) * 95 // 100, len(us) - 1)]
    return (
        f"count={len(us)} first={taken[0]:.0f} curr={taken[-1]:.0f} min={us[0]:.0f} max={us[-1]:.0f} "
        f"avg={mean(us):g} std={pstdev(us):.0f} p5={low:.0f} median={median(us):.0f} p95={high:.0f}"
    )


def loop(invoke, runs: int, least_s: float, most_s: float) -> list[float]:
    say(
        f"Running benchmark for at least {runs} iterations and at least {least_s:g} seconds but terminate if exceeding {most_s:g} seconds."
    )
    begin, taken = time.monotonic(), []
    while (len(taken) < runs or time.monotonic() < begin + least_s) and time.monotonic() <= begin + most_s:
        before = time.perf_counter_ns()
        invoke()
        taken.append((time.perf_counter_ns() - before) / 1e3)
    if taken:
        say(line(taken))
    return taken


def message(fields: dict[int, float | int]) -> bytes:
    """A protobuf message of floats and small integers."""
    content = b""
    for number, value in fields.items():
        if isinstance(value, float):
            content += bytes([number << 3 | 5]) + struct.pack("<f", value)
        else:
            content += bytes([number << 3]) + varint(value)
    return content


def varint(value: int) -> bytes:
    content = b""
    while value > 127:
        content, value = content + bytes([value & 127 | 128]), value >> 7
    return content + bytes([value])


def result(taken: list[float], warm: list[float], init_us: float, memory_kib: tuple[int, int]) -> bytes:
    us = sorted(taken)
    latency = [mean(us), us[0], us[-1], pstdev(us), median(us), us[len(us) * 5 // 100], us[len(us) * 95 // 100]]
    latency += [init_us, warm[0] if warm else 0.0, mean(warm) if warm else 0.0]
    parts = {
        2: message({i + 1: value / 1e3 for i, value in enumerate(latency)}),
        3: message(dict(enumerate(memory_kib, 1))),
        4: message({2: len(taken), 3: len(warm)}),
    }
    return b"".join(bytes([number << 3 | 2]) + varint(len(part)) + part for number, part in parts.items())


def resident_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def delegate(flags: dict[str, str], operators: int) -> bool:
    """Tell what the asked delegate takes; whether the tool may go on."""
    takes = var("takes") or "all"
    for flag, name, kind in (
        ("use_gpu", "GPU", "TfLiteGpuDelegateV2"),
        ("use_nnapi", "NNAPI", "TfLiteNnapiDelegate"),
        ("use_xnnpack", "XNNPACK", "TfLiteXNNPackDelegate"),
    ):
        if flags.get(flag) != "true" or (name == "XNNPACK" and f"--{flag}=true" not in sys.argv):
            continue
        some = {"all": operators, "part": max(operators - 2, 1), "none": 0}[takes]
        say(f"Created TensorFlow Lite delegate for {name}.")
        if some:
            kernels = 1 if takes == "all" else 2
            write(
                f"VERBOSE: Replacing {some} out of {operators} node(s) with delegate ({kind}) node, yielding {kernels} partitions for subgraph 0."
            )
        if flags.get("require_full_delegation") == "true" and takes != "all":
            write("ERROR: Disallowed CPU fallback detected.")
            return False
        how = {
            "all": f"Explicitly applied {name} delegate, and the model graph will be completely executed by the delegate.",
            "part": f"Explicitly applied {name} delegate, and the model graph will be partially executed by the delegate w/ 2 delegate kernels.",
            "none": f"Though {name} delegate is explicitly applied, the model graph will not be executed by the delegate.",
        }
        say(how[takes])
    return True


def replay(flags: dict[str, str], recording: str) -> None:
    """Print a recording, with the pauses between its loops; write the table of operators where it was asked for."""
    text = Path(recording).read_text(encoding="utf8")
    for row in text.splitlines():
        if not row.startswith("#"):
            write(row)
    if flags.get("result_file_path") and Path(recording + ".pb").is_file():
        Path(flags["result_file_path"]).write_bytes(Path(recording + ".pb").read_bytes())


def main() -> int:
    names = known()
    given = dict(part[2:].partition("=")[::2] for part in sys.argv[1:] if part.startswith("--"))
    if "help" in given:
        write("usage: benchmark_model <flags>\nFlags:")
        write("".join(f"\t--{name}={value}\tstring\toptional\n" for name, value in names.items()))
        return 1
    flags = names | {name: value for name, value in given.items() if name in names}
    say("STARTING!")
    if unknown := [f"--{name}={value}" for name, value in given.items() if name not in names]:
        write(f"WARN: Unconsumed cmdline flags: {' '.join(unknown)}")
    say(f"Graph: [{flags['graph']}]")
    if var("replay"):
        replay(flags, var("replay"))
        return 0
    return run(flags)


def loaded(flags: dict[str, str]):
    """The file in an interpreter, with its tensors; None where it cannot be loaded."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType  # noqa: PLC0415  --help answers at once

    plain = flags.get("use_xnnpack") == "false"
    kind = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if plain else OpResolverType.AUTO
    try:
        made = Interpreter(flags["graph"], num_threads=int(flags["num_threads"]), experimental_op_resolver_type=kind)
        made.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        write(f"ERROR: Failed to load model {flags['graph']}: {error}")
        return None
    return made


def feed(made, flags: dict[str, str]) -> None:
    """Set every input, from a file of raw bytes or made up."""
    import numpy as np  # noqa: PLC0415  --help answers at once

    files = dict(part.split(":") for part in flags.get("input_layer_value_files", "").split(",") if part)
    for i, detail in enumerate(made.get_input_details()):
        if f"in{i}" in files:
            value = np.frombuffer(Path(files[f"in{i}"]).read_bytes(), detail["dtype"]).reshape(detail["shape"])
        else:
            value = np.random.default_rng(0).random(detail["shape"]).astype(detail["dtype"])
        made.set_tensor(detail["index"], value)


def run(flags: dict[str, str]) -> int:
    """Load, warm up, time, and tell."""
    import ai_edge_litert.interpreter  # noqa: F401, PLC0415  a library that is there before the clock starts, as in the tool

    start_kib, begin = resident_kib(), time.perf_counter()
    made = loaded(flags)
    if made is None:
        return 1
    say(f"Loaded model {flags['graph']}")
    if not delegate(flags, len(made._get_ops_details())):
        return 1
    init_us, init_kib = (time.perf_counter() - begin) * 1e6, resident_kib() - start_kib
    say(f"The input model file size (MB): {Path(flags['graph']).stat().st_size / 1e6:g}")
    say(f"Initialized session in {init_us / 1e3:g}ms.")
    if var("dies"):
        os.kill(os.getpid(), int(var("dies")))
    feed(made, flags)
    most_s = float(flags["max_secs"])
    warm = loop(made.invoke, int(flags["warmup_runs"]), float(flags["warmup_min_secs"]), most_s)
    write()
    taken = loop(made.invoke, int(flags["num_runs"]), float(flags["min_secs"]), most_s)
    write()
    overall_kib = resident_kib() - start_kib
    say(
        f"Inference timings in us: Init: {init_us:.0f}, First inference: {warm[0] if warm else 0:.0f}, "
        f"Warmup (avg): {mean(warm) if warm else 0:g}, Inference (avg): {mean(taken):g}"
    )
    say(
        "Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to the actual memory footprint of the model at runtime. Take the information at your discretion."
    )
    say(
        f"Memory footprint delta from the start of the tool (MB): init={init_kib / 1024:g} overall={overall_kib / 1024:g}"
    )
    if flags.get("output_filepath"):
        outputs = [made.get_tensor(detail["index"]).tobytes() for detail in made.get_output_details()]
        Path(flags["output_filepath"]).write_bytes(b"".join(outputs))
    if flags.get("result_file_path"):
        Path(flags["result_file_path"]).write_bytes(result(taken, warm, init_us, (init_kib, overall_kib)))
    if flags.get("enable_op_profiling") == "true":
        write((VAR.parent / "operators.txt").read_text(encoding="utf8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
