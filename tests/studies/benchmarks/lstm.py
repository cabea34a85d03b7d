"""An LSTM of an ONNX file: unrolled into primitive operators, or whole as TFLite's own sequence operator?

Usage: python -m tests.studies.benchmarks.lstm [--blocks 60]

Every model is converted twice: with every LSTM unrolled, and with every LSTM whole that can be, whatever its
length. Printed for both: seconds
of conversion, bytes, milliseconds of one inference (one thread, the least of blocks in which the two
take turns), the SQNR of int8 files on the calibration samples, and by how much a second run with the
same input differs from the first, for a runtime that does not reset variables between runs.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.backends.tflite import TFLiteBackend
from edgekit.errors import EdgekitError
from edgekit.nouns.building import Job
from edgekit.nouns.model import SourceOptions, Waist
from edgekit.sources.onnx import OnnxSource
from edgekit.sources.onnx.lowering import sequences
from edgekit.waist import run
from edgekit.waist.tensors import Array, inputs_to_file, outputs_to_source, sqnr_db
from tests.shared_folder import shared_folder
from tests.studies.coverage.cases import BYTES, CONSTANTS, SHAPES

MODELS = (
    "models/onnx/tract_byte_sb_bidi_lstm.onnx",
    "models/onnx_ops/LSTM.tanh.bidirectional.onnx",
    "models/onnx_ops/LSTM_1layer_fixed.onnx",
    "models/onnx/silero_vad_v5_16k_op15.onnx",
    "models/onnx/dtln_model_1.onnx",
)
"""Bidirectional, over 20 and 7 steps; forward over 100; two that carry their state from call to call."""

RUNS = 5
"""Inferences of a block: few, so that some block meets no other work."""

HEAD = """| model | form | converted, s | KiB | ms | int8, dB | second run differs by |
| --- | --- | ---: | ---: | ---: | ---: | ---: |"""


@dataclass(frozen=True)
class Form:
    """One form of a model: how it came out, or why it did not."""

    model: str
    name: str
    conversion_s: float = 0.0
    bytes: int = 0
    latency_ms: float = float("inf")
    int8_db: str = ""
    drift: float = 0.0
    failure: str = ""

    @property
    def row(self) -> str:
        """A row of the table."""
        if self.failure:
            return f"| {self.model} | {self.name} | {self.failure} | | | | |"
        figures = f"{self.conversion_s:.1f} | {self.bytes / 1024:,.0f} | {self.latency_ms:.3f} | {self.int8_db}"
        return f"| {self.model} | {self.name} | {figures} | {self.drift:.2g} |"


def samples(waist: Waist, stem: str) -> dict[str, Array]:
    """Sixteen random samples in the source's terms."""
    random = np.random.default_rng(0)
    made: dict[str, Array] = {}
    for spec in waist.signature.inputs:
        shape, dtype = (16, *spec.source_shape), np.dtype(spec.source_dtype)
        if (stem, spec.source_name) in CONSTANTS:
            made[spec.source_name] = np.full(shape, CONSTANTS[stem, spec.source_name], dtype)
        elif np.issubdtype(dtype, np.integer):
            made[spec.source_name] = random.integers(0, 255 if stem in BYTES else 2, shape).astype(dtype)
        else:
            made[spec.source_name] = random.standard_normal(shape).astype(dtype)
    return made


def int8_db(waist: Waist, path: Path, drawn: dict[str, Array], folder: Path) -> str:
    """SQNR of the int8 file against the float one, states reset before every sample; or the refusal."""
    file, calibration = folder / waist.file, folder / "calibration.npz"
    np.savez(calibration, **drawn)
    job = Job(
        waist=str(file), source=str(path), source_format="onnx", signature=waist.signature,
        source_signature=waist.signature, precision="int8", calibration=str(calibration),
    )  # fmt: skip
    try:
        built = TFLiteBackend().build(job, "int8.tflite", folder)
        TFLiteBackend().run(folder / built.files[0], built.signature, calibration, folder / "int8.npz")
    except EdgekitError as error:
        return f"refused: {str(error.problem).split('.')[0]}"
    wanted = outputs_to_source(waist.signature, run.run(file, inputs_to_file(waist.signature, drawn)))
    with np.load(folder / "int8.npz") as found:
        return f"{min(sqnr_db(value, found[name]) for name, value in wanted.items()):.1f}"


def started(waist: Waist, folder: Path, drawn: dict[str, Array]) -> Any:
    """An interpreter with the first sample in its inputs."""
    made = run.interpreter(folder / waist.file)
    given = inputs_to_file(waist.signature, drawn)
    for detail in made.get_input_details():
        made.set_tensor(detail["index"], given[detail["name"]][0])
    return made


def drift(running: Any, first: dict[str, Array]) -> float:
    """The largest difference between two runs with one input, no state reset between them."""
    results = []
    for _ in range(2):
        for detail in running.get_input_details():
            running.set_tensor(detail["index"], first[detail["name"]][0])
        running.invoke()
        results.append([running.get_tensor(detail["index"]) for detail in running.get_output_details()])
    return max(float(np.abs(a.astype(float) - b.astype(float)).max()) for a, b in zip(*results, strict=True))


def block_ms(running: Any) -> float:
    """Milliseconds of one inference."""
    begin = time.perf_counter()
    for _ in range(RUNS):
        running.invoke()
    return (time.perf_counter() - begin) / RUNS * 1e3


def convert(path: Path, name: str, folder: Path) -> tuple[Form, Any]:
    """One form of a model, and its interpreter; none where it fails."""
    form = Form(path.stem, name)
    folder.mkdir(parents=True)
    begin = time.perf_counter()
    try:
        waist = OnnxSource().to_waist(path, SourceOptions(shapes=SHAPES.get(path.stem, {})), folder)
    except EdgekitError as error:
        return replace(form, failure=error.problem.split(":", 1)[-1].strip()), None
    spent = time.perf_counter() - begin
    drawn = samples(waist, path.stem)
    running = started(waist, folder, drawn)
    return replace(
        form,
        conversion_s=spent,
        bytes=(folder / waist.file).stat().st_size,
        int8_db=int8_db(waist, path, drawn, folder),
        drift=drift(running, inputs_to_file(waist.signature, drawn)),
    ), running


def both(path: Path, folder: Path, blocks: int) -> list[Form]:
    """The two forms of a model, timed in turns."""
    longest, made = sequences.LONGEST_UNROLLED, []
    for name, steps in (("unrolled", sys.maxsize), ("whole", 0)):
        sequences.LONGEST_UNROLLED = steps
        made.append(convert(path, name, folder / name))
    sequences.LONGEST_UNROLLED = longest
    times = [[block_ms(running) if running is not None else 0.0 for _, running in made] for _ in range(blocks)]
    return [
        replace(form, latency_ms=min(column)) for (form, _), column in zip(made, zip(*times, strict=True), strict=True)
    ]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.studies.benchmarks.lstm")
    parser.add_argument("--blocks", type=int, default=60)
    given = parser.parse_args()
    shared, lines = shared_folder(), [HEAD]
    with tempfile.TemporaryDirectory() as folder:
        for model in MODELS:
            lines += [form.row for form in both(shared / model, Path(folder, Path(model).stem), given.blocks)]
            sys.stderr.write("\n".join(lines[-2:]) + "\n")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
