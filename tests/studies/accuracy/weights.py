"""Print what fitting weights and biases gains: python -m tests.studies.accuracy.weights [PART OF A NAME] (Markdown).

The table of docs/explanation/fitted-weights.md: int8 files of real networks with each way to choose weights, on inputs that
neither calibrated nor fitted. Seconds are those of the whole quantization.
"""

import io
import itertools
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

import edgekit
from edgekit.backends.tflite import integer
from edgekit.backends.tflite.layerwise import WAYS
from edgekit.backends.tflite.plan import QuantizationSettings
from edgekit.waist import graph, run
from edgekit.waist.tensors import Array, sqnr_db
from edgekit.waist.trial import Trial
from tests.shared_folder import shared_folder
from tests.studies.accuracy.tasks import CALIBRATION, TASKS, Split, Task

MOST = 1000
"""Inputs that are judged, taken evenly: some sets are sorted by class."""


def photographs(shared: Path) -> Split:
    """The ImageNet sample as EfficientNet-Lite0 takes it: (x - 127) / 128, RGB, channels last as in the waist."""
    with np.load(shared / "data/imagenet_sample.npz") as file:
        blob, offsets, labels = file["blob"].tobytes(), file["offsets"], file["y"]
    pictures = [Image.open(io.BytesIO(blob[start:end])) for start, end in itertools.pairwise(offsets)]
    x = np.stack([(np.asarray(picture.convert("RGB"), np.float32) - 127) / 128 for picture in pictures])
    return x[:CALIBRATION], x[CALIBRATION:], labels[CALIBRATION:]


ALL = (
    *TASKS,
    Task(
        name="EfficientNet-Lite0",
        model="models/phone/efficientnet_lite0.onnx",
        data=photographs,
        split=f"{CALIBRATION} photographs calibrate, the other 300 are judged",
    ),
)


def rows(task: Task, shared: Path, folder: Path) -> list[str]:
    """A row for each way: SQNR, agreement, top-1 and seconds."""
    calibration, x, y = task.data(shared)
    taken = np.linspace(0, len(x) - 1, min(MOST, len(x))).round().astype(int)
    x, y = x[taken], y[taken]
    edgekit.build(shared / task.model, "android", precision="float32", output=folder / "waist")
    waist = folder / "waist" / "model_float32.tflite"
    main = graph.read(waist)[0]
    source = main.tensors[main.inputs[0]]

    def given(values: Array) -> dict[str, Array]:
        return {source.name: values.reshape(-1, *source.shape).astype(np.float32)}

    def outputs(path: Path) -> Array:
        found = next(iter(run.run(path, given(x), threads=run.host_threads()).values()))
        return found.reshape(len(found), -1)

    wanted, found = outputs(waist), []
    for way in (*WAYS, "auto"):
        start = time.monotonic()
        with Trial() as trial:
            made = integer.quantize(waist, given(calibration), trial, QuantizationSettings(weights=way))
        seconds = time.monotonic() - start
        path = folder / f"{way}.tflite"
        path.write_bytes(made.candidate.content)
        got = outputs(path)
        classes = got.argmax(1)
        shown = way if way != "auto" else f"auto: {made.candidate.plan.weights}"
        found.append(
            f"| {task.name} | {shown} | {sqnr_db(wanted, got):.1f} dB | {np.mean(classes == wanted.argmax(1)):.1%} "
            f"| {np.mean(wanted.argmax(1) == y):.4f} → {np.mean(classes == y):.4f} | {seconds:.0f} s |"
        )
    return found


def main(part: str) -> None:
    write = sys.stdout.write
    write("| network | weights | SQNR | agrees | top-1 | quantized in |\n| --- | --- | ---: | ---: | ---: | ---: |\n")
    for task in ALL:
        if part.lower() in task.name.lower():
            with TemporaryDirectory() as folder:
                write("\n".join(rows(task, shared_folder(), Path(folder))) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
