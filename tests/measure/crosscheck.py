"""The same file by edgekit, by OpenVINO's benchmark_app and by Google's litert-benchmark, on this host.

    python -m tests.measure.crosscheck [ROUNDS]

Every round runs edgekit's block and the other tool's process one after the other, in turns which comes
first. Both load the same file with one thread in the same version of the same runtime: litert-benchmark
comes with ai-edge-litert 2.2 and later, which is installed into an environment of its own. The
table goes into docs/explanation/measurement.md.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from edgekit.measure import statistics
from tests.measure import page
from tests.runner.boards import Board
from tests.runner.overhead import inputs

ROUNDS = 10
SECONDS = 2.0
LITERT = "ai-edge-litert==2.3.0"

SECTION = "cross-check"
TITLE = "## The same file by other tools"
HEADER = """
| file | tool | median, ms | interval, ms | edgekit / tool | agrees |
| --- | --- | ---: | ---: | ---: | --- |
"""


@dataclass
class Pair:
    """A file, and edgekit's and the other tool's median of one process each, in ms."""

    name: str
    tool: str
    ours: Callable[[], float]
    theirs: Callable[[], float]


def shared() -> Path:
    """The folder with real networks."""
    default = Path(__file__).resolve().parents[2].parent / "shared"
    return Path(os.environ.get("EDGEKIT_SHARED", default)) / "models"


def quiet(*command: str) -> None:
    """Run a command that must succeed."""
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def edgekit(board: Board, model: Path, given: dict[str, Any]) -> float:
    """The median of one block."""
    block, _ = board.run(model, given, threads=1, warm_up_s=0.5, min_runs=10, min_s=SECONDS)
    assert block.latency is not None
    assert block.latency.median_ms is not None
    return block.latency.median_ms


def benchmark_app(model: Path, folder: Path) -> float:
    """The median that OpenVINO's tool reports: a string rounded to 0.01 ms."""
    tool = Path(sys.executable).with_name("benchmark_app")
    fixed = (
        "-d",
        "CPU",
        "-api",
        "sync",
        "-hint",
        "none",
        "-nthreads",
        "1",
        "-nstreams",
        "1",
        "-infer_precision",
        "f32",
    )
    report = ("-json_stats", "-report_type", "no_counters", "-report_folder", str(folder))
    quiet(str(tool), "-m", str(model), *fixed, "-t", f"{SECONDS:.0f}", *report)
    found = json.loads((folder / "benchmark_report.json").read_text(encoding="utf8"))
    return float(found["execution_results"]["latency (ms)"])


def litert_benchmark(tool: Path, model: Path, runs: int, folder: Path) -> float:
    """The median that Google's tool reports, rounded to 0.01 ms."""
    result = folder / "litert.json"
    numbers = ("--num_threads", "1", "--warmup_runs", str(runs // 4), "--num_runs", str(runs))
    quiet(str(tool), "--model", str(model), *numbers, "--result_json", str(result))
    return float(json.loads(result.read_text(encoding="utf8"))["latency"]["median_ms"])


def litert_pair(name: str, model: Path, folder: Path, board: Board) -> Pair:
    """A file for LiteRT."""
    given = dict(np.load(inputs(model, folder)))
    first = edgekit(board, model, given)
    runs = max(int(SECONDS * 1000 / first), 10)
    tool = Path(board.python).with_name("litert-benchmark")
    return Pair(
        name,
        "litert-benchmark",
        lambda: edgekit(board, model, given),
        lambda: litert_benchmark(tool, model, runs, folder),
    )


def openvino_pair(name: str, source: Path, folder: Path) -> Pair:
    """A file for OpenVINO, converted from ONNX."""
    folder = folder / source.stem
    folder.mkdir()
    model = folder / f"{source.stem}.xml"
    converted = ov.convert_model(source)
    ov.save_model(converted, model, compress_to_fp16=False)
    random = np.random.default_rng(0)
    given = {port.any_name: random.random((1, *port.shape)).astype(np.float32) for port in converted.inputs}
    board = Board(folder)
    return Pair(name, "benchmark_app", lambda: edgekit(board, model, given), lambda: benchmark_app(model, folder))


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
    within = own.low is not None and own.high is not None and own.low <= other.value <= own.high
    agrees = "yes" if within or ratio.verdict == "no difference shown" else "no"
    agrees = agrees if ratio.low is not None else "–"
    span = f"{ratio.ratio:.3f} ({ratio.low:.3f}–{ratio.high:.3f})" if ratio.low is not None else f"{ratio.ratio:.3f}"
    return (
        f"| {pair.name} | edgekit | {own.value:.3f} | {_interval(own)} | | |\n"
        f"| | {pair.tool} | {other.value:.3f} | {_interval(other)} | {span} | {agrees} |\n"
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
        (folder / "new").mkdir()
        board = Board(folder / "new", environment(folder))
        pairs = [
            litert_pair("ResNet-8 float32, .tflite", shared() / "mlperf_tiny/pretrainedResnet.tflite", folder, board),
            litert_pair(
                "ResNet-8 int8, .tflite", shared() / "mlperf_tiny/pretrainedResnet_quant.tflite", folder, board
            ),
            litert_pair("DTLN 1, .tflite", shared() / "tflite/dtln_model_1.tflite", folder, board),
            openvino_pair("UltraFace slim, .xml", shared() / "onnx/ultraface_version-slim-320.onnx", folder),
            openvino_pair("FastestDet, .xml", shared() / "onnx/FastestDet.onnx", folder),
        ]
        table = HEADER.strip() + "\n"
        for pair in pairs:
            table += rows(pair, rounds)
            sys.stdout.write(table.splitlines()[-2] + "\n" + table.splitlines()[-1] + "\n")
    words = f"{rounds} rounds, one thread; litert-benchmark and edgekit's blocks beside it with {LITERT}. "
    text = page.PAGE.read_text(encoding="utf8")
    if f"<!-- {SECTION} -->" not in text:
        page.PAGE.write_text(f"{text}\n{TITLE}\n\n<!-- {SECTION} -->\n<!-- /{SECTION} -->\n", encoding="utf8")
    page.write(SECTION, table + "\n" + words + page.when_and_where())


if __name__ == "__main__":
    main()
