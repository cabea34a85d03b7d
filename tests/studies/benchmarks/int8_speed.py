"""Is an int8 file of edgekit as fast as those of other tools? Ratios with intervals, for docs/reference.

Usage: python -m tests.studies.benchmarks.int8_speed [MODEL ...] [--blocks 12] [--json]

Every block is a fresh process that loads one file, warms up and takes the median of many runs on
one thread of LiteRT (XNNPACK). Blocks of the files are interleaved in random order, so that what
else the machine does meets all alike. A ratio is edgekit's time by the other's, block by block; its
95 % interval comes from a bootstrap over blocks. Below 1 edgekit is faster.
"""

import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgekit.engine.worker import Worker
from edgekit.nouns.building import Job
from edgekit.nouns.model import SourceOptions, Waist
from edgekit.sources import FORMATS, sniff
from edgekit.waist import run
from tests.studies.accuracy.rows import ROOT

MODELS = (
    "models/mlperf_tiny/pretrainedResnet.h5",
    "models/mlperf_tiny/kws_ref_model",
    "models/mlperf_tiny/vww_96.h5",
    "models/mlperf_tiny/ad01.h5",
    "models/keras/nncf_LeNet.h5",
    "models/onnx/mnist-8_cntk.onnx",
    "models/onnx/ultraface_version-slim-320.onnx",
)
"""Convolutional, depthwise, dense; from Keras and ONNX."""

ONNX2TF = "onnx2tf -oiqt"

WARM_UP_S, MEASURED_S = 0.3, 0.7
"""Seconds of a block before and while times are taken."""


class Ratio(msgspec.Struct):
    """edgekit's median time in ms, the other's, and edgekit's by the other's with its 95 % interval."""

    model: str
    other: str
    edgekit_ms: float
    other_ms: float
    ratio: float
    low: float
    high: float


def block(file: Path) -> float:
    """The median time in ms of one inference, in this process."""
    made = run.interpreter(file, threads=1)
    random_values = np.random.default_rng(0)
    for detail in made.get_input_details():
        values = random_values.integers(0, 2, detail["shape"]).astype(detail["dtype"])
        made.set_tensor(detail["index"], values)
    times: list[float] = []
    start = time.perf_counter()
    while (now := time.perf_counter()) - start < WARM_UP_S + MEASURED_S:
        made.invoke()
        if now - start >= WARM_UP_S:
            times.append(time.perf_counter() - now)
    return statistics.median(times) * 1e3


def interleaved(files: dict[str, Path], blocks: int, seed: int = 0) -> dict[str, list[float]]:
    """Median times of each file, one for each block, measured in fresh processes in random order."""
    order = random.Random(seed)
    times: dict[str, list[float]] = {name: [] for name in files}
    for _ in range(blocks):
        for name in order.sample(sorted(files), len(files)):
            words = [sys.executable, "-m", "tests.studies.benchmarks.int8_speed", "--block", str(files[name])]
            found = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True)
            times[name].append(float(found.stdout))
    return times


def interval(ours: list[float], theirs: list[float], seed: int = 0, rounds: int = 4000) -> tuple[float, float, float]:
    """The median of paired ratios, and its 95 % percentile bootstrap interval (Efron 1979) over blocks."""
    ratios = np.array(ours) / np.array(theirs)
    drawn = np.random.default_rng(seed).choice(ratios, (rounds, len(ratios)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return float(np.median(ratios)), float(low), float(high)


def artifacts(worker: Worker, model: Path, folder: Path) -> dict[str, Path]:
    """int8 files of one model by every tool that can make one; calibrated on the same 64 random samples."""
    form = sniff(model)
    bridge = folder / "waist"
    bridge.mkdir()
    waist = worker.call("sources", FORMATS[form], "to_waist", path=model, options=SourceOptions(), out=bridge)
    file = bridge / waist.file
    (spec,) = waist.signature.inputs
    samples = np.random.default_rng(0).random((64, *spec.source_shape), np.float32)
    np.savez(folder / "calibration.npz", **{spec.source_name: samples})
    job = Job(
        waist=str(file),
        source=str(model),
        source_format=form,
        signature=waist.signature,
        source_signature=waist.signature,
        precision="int8",
        calibration=str(folder / "calibration.npz"),
    )
    worker.call("backends", "tflite", "build", job=job, file="edgekit.tflite", out=folder)
    order = (0, *(axis + 1 for axis in spec.permutation)) if spec.permutation else tuple(range(samples.ndim))
    np.save(folder / "calibration.npy", samples.transpose(order)[:, 0])
    found = {"edgekit": folder / "edgekit.tflite", "ai-edge-quantizer": _ai_edge_default(waist, folder)}
    found["TFLiteConverter"] = folder / "converter.tflite"
    source = file if form == "onnx" else model
    words = [
        sys.executable,
        "-m",
        "tests.studies.accuracy.converter",
        source,
        folder / "calibration.npy",
        found["TFLiteConverter"],
    ]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    if form == "onnx" and (made := _onnx2tf(model, spec.source_name, folder)):
        found[ONNX2TF] = made
    return found


def _ai_edge_default(waist: Waist, folder: Path) -> Path:
    """ai-edge-quantizer's recipe ``static_wi8_ai8`` with its own calibration."""
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 - only here
    from ai_edge_quantizer import quantizer, recipe  # noqa: PLC0415

    file = folder / "waist" / waist.file
    made = quantizer.Quantizer(str(file), recipe.static_wi8_ai8())
    ((key, names),) = Interpreter(model_path=str(file)).get_signature_list().items()
    rows = [{names["inputs"][0]: row[None]} for row in np.load(folder / "calibration.npy")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = made.quantize(made.calibrate({key: rows})).quantized_model
    out = folder / "ai-edge.tflite"
    out.write_bytes(bytes(content))
    return out


def _onnx2tf(model: Path, name: str, folder: Path) -> Path | None:
    """onnx2tf's own full-integer file; None where it fails, which it does for some models."""
    copy = folder / "model.onnx"  # onnx2tf overwrites what it reads
    shutil.copyfile(model, copy)
    words = [sys.executable, "-m", "onnx2tf", "-i", copy, "-o", folder / "onnx2tf", "-oiqt", "-n"]
    words += ["-cind", name, folder / "calibration.npy", "0", "1"]
    subprocess.run(words, cwd=folder, check=False, capture_output=True)
    made = folder / "onnx2tf/model_full_integer_quant.tflite"
    return made if made.is_file() else None


def measure(shared: Path, models: list[str], blocks: int) -> list[Ratio]:
    """Every ratio of every model."""
    found = []
    with tempfile.TemporaryDirectory() as top, Worker(Path(top) / "log.txt") as worker:
        made = {}
        for number, model in enumerate(models):
            folder = Path(top) / str(number)
            folder.mkdir()
            made[model] = artifacts(worker, shared / model, folder)
        worker.close()  # a quiet machine
        for model, files in made.items():
            times = interleaved(files, blocks)
            for other in files.keys() - {"edgekit"}:
                ratio, low, high = interval(times["edgekit"], times[other])
                ours, theirs = statistics.median(times["edgekit"]), statistics.median(times[other])
                found.append(Ratio(Path(model).name, other, ours, theirs, ratio, low, high))
    return sorted(found, key=lambda ratio: (ratio.model, ratio.other))


def markdown(found: list[Ratio]) -> str:
    """The table of ratios."""
    lines = [
        "| model | against | edgekit ms | other ms | ratio | 95 % interval |",
        "| --- | --- | ---: | ---: | ---: | --- |",
    ]
    lines += [
        f"| {r.model} | {r.other} | {r.edgekit_ms:.3f} | {r.other_ms:.3f} | {r.ratio:.3f} | {r.low:.3f} – {r.high:.3f} |"
        for r in found
    ]
    onnx = {r.model for r in found if r.model.endswith(".onnx")}
    lacking = sorted(onnx - {r.model for r in found if r.other == ONNX2TF})
    if lacking:
        lines += ["", f"{ONNX2TF} fails on {', '.join(lacking)}: there is no file to compare with."]
    return "\n".join(lines) + "\n"


def main(words: list[str]) -> str:
    """What the command prints."""
    if words[:1] == ["--block"]:
        return repr(block(Path(words[1])))
    blocks = int(words[words.index("--blocks") + 1]) if "--blocks" in words else 12
    named = [word for word in words if word.startswith("models/")]
    where = Path(os.environ.get("EDGEKIT_SHARED", ROOT.parent / "shared")).resolve()
    found = measure(where, named or list(MODELS), blocks)
    return msgspec.json.encode(found).decode() if "--json" in words else markdown(found)


def _print(text: Any) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    _print(main(sys.argv[1:]))
