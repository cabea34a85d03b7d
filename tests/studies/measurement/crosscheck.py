"""The same file by edgekit, by OpenVINO's benchmark_app and by Google's litert-benchmark, on this host.

    python -m tests.studies.measurement.crosscheck [ROUNDS]

Every round runs edgekit's block and the other tool's process one after the other, in turns which comes
first. Both load the same file in the same version of the same runtime, with one thread and the same settings, make
the same call (`tests/studies/measurement/other_calls.py`), and give the same statistic. litert-benchmark with ai-edge-litert 2.2 and later, which is installed into an environment of its own. The table goes into
docs/explanation/measurement.md.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from edgekit.measure import statistics
from edgekit.nouns.profile import Comparison
from tests.runner.boards import Board
from tests.studies.measurement import other_calls, page
from tests.studies.measurement.overhead import inputs

ROUNDS = 10
SECONDS = 2.0
LITERT = "ai-edge-litert==2.3.0"

HALF_STEP_MS = {"litert-benchmark": 0.005, "benchmark_app": 0.0}
"""What a tool's result may lie beside the truth: one rounds to 0.01 ms, the other's sum over all inferences is exact."""

SECTION = "cross-check"
HEADER = """
| file | tool | of each process | ms | interval, ms | edgekit / tool | agrees |
| --- | --- | --- | ---: | ---: | ---: | --- |
"""


@dataclass
class Pair:
    """A file, and edgekit's and the other tool's figure of one process each, in ms; ``figure`` says which."""

    name: str
    tool: str
    figure: str
    ours: Callable[[], float]
    theirs: Callable[[], float]


def shared() -> Path:
    """The folder with real networks."""
    default = Path(__file__).resolve().parents[3].parent / "shared"
    return Path(os.environ.get("EDGEKIT_SHARED", default)) / "models"


def quiet(*command: str) -> None:
    """Run a command that must succeed."""
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def edgekit(board: Board, model: Path, given: dict[str, Any], figure: str) -> float:
    """The median or the mean of one block."""
    block, _ = board.run(model, given, threads=1, warm_up_s=0.5, min_runs=10, min_s=SECONDS)
    assert block.latency is not None
    value = block.latency.mean_ms if figure == "mean" else block.latency.median_ms
    assert value is not None
    return value


def benchmark_app(model: Path, dtype: str, folder: Path) -> float:
    """The mean of OpenVINO's tool: its loop's time over the inferences in it.

    Its median is of OpenVINO's own latencies, which leave out Python's call and the results' copies.
    ``dtype`` is that of the inputs: to pictures the tool would give bytes, and a conversion of its own.
    """
    tool = Path(sys.executable).with_name("benchmark_app")
    fixed = ("-d", "CPU", "-api", "sync", "-hint", "none", "-nthreads", "1", "-nstreams", "1", "-ip", dtype)
    fixed += ("-infer_precision", "f32")
    report = ("-json_stats", "-report_type", "no_counters", "-report_folder", str(folder))
    quiet(str(tool), "-m", str(model), *fixed, "-t", f"{SECONDS:.0f}", *report)
    found = json.loads((folder / "benchmark_report.json").read_text(encoding="utf8"))
    results = found["execution_results"]
    return float(results["total execution time (ms)"]) / float(results["total number of iterations"])


def litert_benchmark(tool: Path, model: Path, runs: int, folder: Path) -> float:
    """The median that Google's tool reports, rounded to 0.01 ms."""
    result = folder / "litert.json"
    numbers = ("--num_threads", "1", "--warmup_runs", str(runs // 4), "--num_runs", str(runs))
    quiet(str(tool), "--model", str(model), *numbers, "--result_json", str(result))
    return float(json.loads(result.read_text(encoding="utf8"))["latency"]["median_ms"])


def calling(tool: str, folder: Path, python: str = sys.executable) -> Board:
    """A board whose blocks make the call that a tool makes."""
    folder.mkdir()
    board = Board(folder, python)
    board.command = [python, str(Path(other_calls.__file__)), tool, *board.command[1:]]
    return board


def litert_pair(name: str, model: Path, folder: Path, python: str) -> Pair:
    """A file in LiteRT."""
    tool, figure = "litert-benchmark", "median"
    given = dict(np.load(inputs(model, folder)))
    board = calling(tool, folder / f"{model.stem}-litert", python)
    runs = max(int(SECONDS * 1000 / edgekit(board, model, given, figure)), 10)
    program = Path(python).with_name(tool)
    return Pair(
        name,
        tool,
        figure,
        lambda: edgekit(board, model, given, figure),
        lambda: litert_benchmark(program, model, runs, board.folder),
    )


def openvino_pair(name: str, source: Path, folder: Path) -> Pair:
    """A file in OpenVINO; an ONNX file is converted first."""
    tool, figure = "benchmark_app", "mean"
    board = calling(tool, folder / f"{source.stem}-openvino")
    read = ov.convert_model(source)
    model = source
    if source.suffix != ".tflite":
        model = board.folder / f"{source.stem}.xml"
        ov.save_model(read, model, compress_to_fp16=False)
    [port] = read.inputs
    dtype = port.element_type.to_dtype()
    random = np.random.default_rng(0).random((1, *port.shape)) * (1 if dtype == np.float32 else 255)
    given = {port.any_name: random.astype(dtype)}
    kind = "f32" if dtype == np.float32 else "u8"
    return Pair(
        name,
        tool,
        figure,
        lambda: edgekit(board, model, given, figure),
        lambda: benchmark_app(model, kind, board.folder),
    )


def agrees(ratio: Comparison, rounded: float) -> str:
    """Whether the ratio's interval holds 1, widened by the share that the other tool may round away; "–" without one."""
    if ratio.low is None or ratio.high is None:
        return "–"
    return "yes" if ratio.low * (1 - rounded) <= 1 <= ratio.high * (1 + rounded) else "no"


def rows(pair: Pair, rounds: int) -> str:
    """The two rows of a file."""
    ours, theirs = [], []
    for i in range(rounds):
        for which in (0, 1) if i % 2 else (1, 0):
            (theirs if which else ours).append(pair.theirs() if which else pair.ours())
    own, other = statistics.estimate_median(ours), statistics.estimate_median(theirs)
    ratio = statistics.compare(ours, theirs)
    assert own.value is not None
    assert other.value is not None
    verdict = agrees(ratio, HALF_STEP_MS[pair.tool] / other.value)
    span = f"{ratio.ratio:.3f} ({ratio.low:.3f}–{ratio.high:.3f})" if ratio.low is not None else f"{ratio.ratio:.3f}"
    return (
        f"| {pair.name} | edgekit | {pair.figure} | {own.value:.3f} | {_interval(own)} | | |\n"
        f"| | {pair.tool} | {pair.figure} | {other.value:.3f} | {_interval(other)} | {span} | {verdict} |\n"
    )


def _interval(estimate: Any) -> str:
    return "–" if estimate.low is None or estimate.high is None else f"{estimate.low:.3f}–{estimate.high:.3f}"


def environment(folder: Path) -> str:
    """An interpreter with `LITERT`."""
    quiet(sys.executable, "-m", "venv", str(folder / "litert"))
    python = str(folder / "litert/bin/python")
    quiet(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", LITERT)
    return python


def main() -> None:
    """Measure, show, and write the section."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = environment(folder)
        mobilenet = shared() / "edgetpu/mobilenet_v1_0.25_128_quant.tflite"
        pairs = [
            litert_pair("MobileNet 0.25 uint8, .tflite", mobilenet, folder, python),
            openvino_pair("MobileNet 0.25 uint8, .tflite", mobilenet, folder),
            litert_pair("ResNet-8 float32, .tflite", shared() / "mlperf_tiny/pretrainedResnet.tflite", folder, python),
            litert_pair(
                "ResNet-8 int8, .tflite", shared() / "mlperf_tiny/pretrainedResnet_quant.tflite", folder, python
            ),
            openvino_pair("UltraFace slim, .xml", shared() / "onnx/ultraface_version-slim-320.onnx", folder),
            openvino_pair("FastestDet, .xml", shared() / "onnx/FastestDet.onnx", folder),
        ]
        table = HEADER.strip() + "\n"
        for pair in pairs:
            table += rows(pair, rounds)
            sys.stdout.write(table.splitlines()[-2] + "\n" + table.splitlines()[-1] + "\n")
            sys.stdout.flush()
    command = f"`python -m tests.studies.measurement.crosscheck {rounds}`, one thread, {LITERT}, openvino=={version('openvino')}. "
    page.write(SECTION, table + "\n" + command + page.when_and_where())


if __name__ == "__main__":
    main()
