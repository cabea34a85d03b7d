"""What the runner itself costs: the loop's share of an inference, and a quick run's seconds.

    python -m tests.studies.measurement.overhead

One line a network of MLPerf Tiny: the share is the loop's own time around an empty call over the median
time of an inference. The last lines say how long ``edgekit profile --quick`` takes from its start to its end,
and where its seconds go.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from edgekit import runner
from edgekit.drivers.local import Local
from edgekit.measure.protocol import QUICK
from edgekit.nouns.profile import Block, Run
from edgekit.waist.run import Interpreter

NETWORKS = (
    "pretrainedResnet_quant",
    "kws_ref_model",
    "vww_96_int8",
    "ad01_int8",
    "pretrainedResnet",
    "kws_ref_model_float32",
)

PARTS = {"Python": "pass", "with numpy": "import numpy", "with LiteRT": "import ai_edge_litert.interpreter"}
"""What a process imports → the code that does it."""


def models() -> Path:
    """The folder with the MLPerf Tiny networks."""
    default = Path(__file__).resolve().parents[3].parent / "shared"
    return Path(os.environ.get("EDGEKIT_SHARED", default)) / "models" / "mlperf_tiny"


def inputs(model: Path, folder: Path) -> Path:
    """One random sample."""
    random = np.random.default_rng(0)
    made = Interpreter(model_path=str(model))
    given = {}
    for detail in made.get_input_details():
        low, high = (-128, 127) if detail["dtype"] is np.int8 else (0, 255)
        given[detail["name"]] = random.integers(low, high, (1, *detail["shape"])).astype(detail["dtype"])
    path = folder / f"{model.stem}.npz"
    np.savez(path, allow_pickle=False, **given)
    return path


def blocks(model: Path, count: int, run: Run = QUICK.run) -> tuple[list[Block], float]:
    """That many blocks on this host, and the seconds that all took with putting files there and removing them."""
    driver = Local()
    with tempfile.TemporaryDirectory() as name:
        given = inputs(model, Path(name))
        begin = time.perf_counter()
        device = driver.find({})[0]
        deployment = driver.open(device, model, given, run, runner.place_name(0))
        seen = []
        for i in range(count):
            out = Path(name) / f"block{i}"
            out.mkdir()
            seen.append(driver.run(device, deployment, run, out))
        driver.close(device, deployment)
        return seen, time.perf_counter() - begin


def start_s(code: str) -> float:
    """Seconds of a process that does this and ends: the quickest of five."""
    taken = []
    for _ in range(5):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL)
        taken.append(time.perf_counter() - begin)
    return min(taken)


def quick_files(folder: Path) -> list[Path]:
    """A file for LiteRT, one for ONNX Runtime, and the same one for OpenVINO, which starts slowest."""
    import openvino  # noqa: PLC0415  only here

    onnx, ir = models().parent / "onnx" / "FastestDet.onnx", folder / "FastestDet.xml"
    openvino.save_model(openvino.Core().read_model(str(onnx)), ir)
    return [models() / f"{NETWORKS[0]}.tflite", onnx, ir]


def quick_s(model: Path) -> float:
    """Seconds of ``edgekit profile MODEL --quick``, from its start to its end."""
    with tempfile.TemporaryDirectory() as name:
        begin = time.perf_counter()
        command = [sys.executable, "-m", "edgekit", "profile", str(model), "--quick", "-o", name]
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - begin


def write(line: str) -> None:
    """A line on standard output."""
    sys.stdout.write(line + "\n")


def main() -> None:
    """Print all of it."""
    write(f"{'network':24} {'median ms':>10} {'loop / inference':>18} {'inferences a reading':>22}")
    for name in NETWORKS:
        seen, _ = blocks(models() / f"{name}.tflite", 3)
        median = np.median([block.latency.median_ms for block in seen if block.latency])
        share = np.median([block.harness_share for block in seen])
        each = max(block.latency.inferences_per_reading for block in seen if block.latency)
        write(f"{name:24} {median:10.4f} {share:17.3%} {each:22}")
    write("")
    for words, code in PARTS.items():
        write(f"{'start, ' + words:24} {start_s(code):8.3f} s")
    count, run = QUICK.protocol.blocks, QUICK.run
    _, blocks_s = blocks(models() / f"{NETWORKS[0]}.tflite", count)
    loops_s = count * (run.warm_up_s + run.min_s)
    write(f"{f'{count} quick blocks':24} {blocks_s:8.3f} s, of which {loops_s:.1f} s are warm-up and timed loops")
    with tempfile.TemporaryDirectory() as name:
        for file in quick_files(Path(name)):
            whole_s = [quick_s(file) for _ in range(3)]
            median_s, most_s = np.median(whole_s), max(whole_s)
            write(f"{f'{file.suffix} profile --quick':24} {median_s:8.3f} s, the median of 3; at most {most_s:.3f} s")


if __name__ == "__main__":
    main()
