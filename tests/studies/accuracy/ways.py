"""Every way to an int8 file that the study against peers compares: from one float network and the same samples.

Tools that read TFLite begin at the waist that edgekit's sources make, without its graph optimization;
TFLiteConverter begins at a Keras model itself, onnx2tf and NNCF at an ONNX model.
"""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

import edgekit
from edgekit.nouns.model import Signature
from edgekit.waist import graph
from edgekit.waist.tensors import to_file
from tests.shared_folder import ROOT
from tests.studies.accuracy import converter
from tests.studies.accuracy.tasks import Task

Runtime = Literal["LiteRT", "OpenVINO"]


@dataclass(frozen=True)
class Ground:
    """What every way begins with; ``calibration`` is in the source's layout, ``[N, *source_shape]``."""

    task: Task
    source: Path
    waist: Path
    signature: Signature
    calibration: Any

    @property
    def rows(self) -> Any:
        """The calibration samples in the waist's layout."""
        return to_file(self.signature.inputs[0], self.calibration)


@dataclass(frozen=True)
class Made:
    """A file, with the seconds that making it took, and what there is to say of it."""

    path: Path
    seconds: float
    notes: tuple[str, ...] = ()


class UnreadError(Exception):
    """A tool does not read this kind of model."""


Maker = Callable[[Ground, Path], Made]
"""(what there is, an empty folder) → the int8 file."""


def _timed(make: Callable[[], Path]) -> Made:
    start = time.monotonic()
    return Made(make(), time.monotonic() - start)


def tensorflow(ground: Ground, folder: Path) -> Made:
    """TFLiteConverter, as its guide says."""
    np.save(folder / "calibration.npy", ground.rows)
    from_waist = ground.source.suffix in {".onnx", ".tflite"}
    words = [ground.waist if from_waist else ground.source, folder / "calibration.npy", folder / "model.tflite"]
    words += [] if ground.task.per_channel else [converter.PER_TENSOR]

    def make() -> Path:
        _ran(["-m", converter.__name__, *words], ROOT)  # by itself: it and LiteRT register the same names
        return folder / "model.tflite"

    return _timed(make)


def _ran(words: list[Any], folder: Path, **environment: str) -> str:
    """What a Python command says; ``environment`` goes before this process's.

    Raises:
        RuntimeError: it failed; the last line that tells of an error.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # onnx2tf calls onnxsim
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=os.environ | {"PATH": path} | environment, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(telling(done.stdout))
    return done.stdout


def telling(text: str) -> str:
    """What went wrong: the first error in a program's output, which others may follow from; without folders of this machine."""
    lines = [re.sub(r"(?<=\s)/\S+/", "", line.strip()) for line in text.splitlines() if line.strip()]
    errors = [found[0] for line in lines if (found := re.search(r"\w+(Error|Exception): ((?!Error: ).)+$", line))]
    return errors[0] if errors else lines[-1] if lines else "it says nothing"


def _signed(waist: Path) -> bytes:
    """A float file as ai-edge-quantizer needs it: no two tensors share a name, and a signature is there."""
    from edgekit.backends.tflite.engines import prepare, schema  # noqa: PLC0415

    model = graph.load(waist)
    prepare(model)
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = b"serve", 0
    for name, tensors in (("inputs", model.subgraphs[0].inputs), ("outputs", model.subgraphs[0].outputs)):
        entries = [schema.TensorMapT() for _ in tensors]
        for number, (entry, tensor) in enumerate(zip(entries, tensors, strict=True)):
            entry.name, entry.tensorIndex = b"x" if name == "inputs" else b"y%d" % number, int(tensor)
        setattr(signature, name, entries)
    model.signatureDefs = [signature]
    return graph.pack(model)


def ai_edge(ground: Ground, folder: Path) -> Made:
    """ai-edge-quantizer with its recipe for int8 weights and activations."""
    out = folder / "model.tflite"

    def make() -> Path:
        from ai_edge_quantizer import quantizer, recipe  # noqa: PLC0415 - part of what is timed

        asked = recipe.static_wi8_ai8()
        if not ground.task.per_channel:
            for rule in asked:
                rule["op_config"]["weight_tensor_config"]["granularity"] = "TENSORWISE"
        made = quantizer.Quantizer(_signed(ground.waist), asked)
        seen = made.calibrate({"serve": [{"x": row} for row in ground.rows]})
        out.write_bytes(bytes(made.quantize(seen).quantized_model or b""))
        return out

    return _timed(make)


def onnx2tf(ground: Ground, folder: Path) -> Made:
    """``onnx2tf -oiqt``: the file with int8 inputs and outputs."""
    if ground.source.suffix != ".onnx":
        raise UnreadError("onnx2tf reads ONNX only")

    def make() -> Path:
        copy = Path(shutil.copy(ground.source, folder))  # it overwrites what it reads
        np.save(folder / "calibration.npy", ground.rows.reshape(-1, *ground.rows.shape[2:]))
        (spec,) = ground.signature.inputs
        words = ["-i", copy, "-o", folder / "made", "-oiqt", "-cind", spec.source_name, folder / "calibration.npy"]
        words += ["[0.0]", "[1.0]", "-ois", f"{spec.source_name}:{','.join(map(str, spec.source_shape))}"]
        said = _ran(["-m", "onnx2tf", *words], folder)
        found = sorted((folder / "made").glob("*_full_integer_quant.tflite"))
        if not found:
            raise RuntimeError(telling(said))
        return found[0]

    return _timed(make)


def openvino_float(ground: Ground, path: Path) -> Any:
    """The float network as OpenVINO reads it, also written to a path."""
    from edgekit.backends.openvino.libraries import ov  # noqa: PLC0415 - it does not call home

    onnx = ground.source.suffix == ".onnx"
    (spec,) = ground.signature.inputs
    shapes = {spec.source_name: list(spec.source_shape)} if onnx else None
    model = ov.convert_model(ground.source if onnx else ground.waist, input=shapes)
    ov.save_model(model, path, compress_to_fp16=False)
    return model


def nncf(ground: Ground, folder: Path) -> Made:
    """``nncf.quantize`` told nothing but the samples, or one scale for all weights of a layer as well."""

    def make() -> Path:
        from edgekit.backends.openvino.libraries import QuantizationParameters, nncf, ov  # noqa: PLC0415

        model = openvino_float(ground, folder / "float.xml")
        rows = ground.calibration if ground.source.suffix == ".onnx" else ground.rows
        asked = nncf.AdvancedQuantizationParameters()
        if not ground.task.per_channel:
            asked.weights_quantization_params = QuantizationParameters(per_channel=False)
        made = nncf.quantize(model, nncf.Dataset(list(rows)), advanced_parameters=asked)
        ov.save_model(made, folder / "model.xml")
        return folder / "model.xml"

    return _timed(make)


def by_edgekit(target: str, quantization: dict[str, Any], **search: Any) -> Maker:
    """``edgekit build``; seconds are those of quantization, of every rung of a search its verification too."""

    def maker(ground: Ground, folder: Path) -> Made:
        how = quantization if ground.task.per_channel else quantization | {"per_channel": False}
        result = edgekit.build(
            ground.source, target, precision="int8", calibration=ground.calibration, quantization=how,
            allow_loss=True, shapes=ground.task.shapes, output=folder, **search,
        )  # fmt: skip
        file = result[target]["int8"]
        rungs = [rung.seconds for rung in file.described.rungs]
        took = rungs or [step.seconds or 0 for step in file.described.lineage if step.what == "build"]
        kept = [f"rung {rung.name}" for rung in file.described.rungs if rung.chosen]
        return Made(file.path, sum(took), (*kept, *file.described.notes))

    return maker


EARLIER = "4217eb8"
"""The last commit of edgekit that left weights as they were rounded, ranges to one of four schemes for a whole network,
and the graph to the converter."""


BEFORE = "edgekit, before"
"""The way of that commit."""


def earlier(ground: Ground, folder: Path) -> Made:
    """``edgekit build`` as it was at `EARLIER`, from this repository's history."""
    if not ground.task.per_channel:
        raise UnreadError("it knew no single scale for the weights of a layer")
    words = ["git", "archive", EARLIER, "edgekit", "targets", "calibration_data"]
    archive = subprocess.run(words, cwd=ROOT, check=True, capture_output=True).stdout
    code, samples, out = (folder / name for name in ("code", "calibration.npz", "out"))
    with tarfile.open(fileobj=io.BytesIO(archive)) as file:
        file.extractall(code, filter="data")
    (spec,) = ground.signature.inputs
    np.savez(samples, **{spec.source_name: ground.calibration})
    shapes = [f"--shape={name}={','.join(map(str, shape))}" for name, shape in ground.task.shapes.items()]
    asked = ["--precision", "int8", "--calibration", samples, "--allow-loss", "-o", out, *shapes]
    _ran(
        ["-m", "edgekit", "build", ground.source, "-t", "android", *asked],
        folder,
        PYTHONPATH=str(code),
        EDGEKIT_CACHE=str(folder / "cache"),
    )
    (file,) = json.loads((out / "manifest.json").read_text())["artifacts"]
    return Made(
        out / file["file"], sum(step.get("seconds") or 0 for step in file["lineage"] if step["what"] == "build")
    )


RUNGS = ("nearest", "bias-correction", "learned", "auto")
"""What edgekit does to weights, from cheap to dear. The first leaves activations alone too, as builds did before any of it was
there; the last is what a build does that is told nothing."""


def _rungs(target: str) -> dict[str, Maker]:
    plain = {"nearest": {"weights": "nearest", "equalization": "off"}, "auto": dict[str, Any]()}
    return {f"edgekit, {way}": by_edgekit(target, plain.get(way, {"weights": way})) for way in RUNGS}


WAYS: dict[Runtime, dict[str, Maker]] = {
    "LiteRT": {
        "TFLiteConverter": tensorflow,
        "ai-edge-quantizer": ai_edge,
        "onnx2tf -oiqt": onnx2tf,
        BEFORE: earlier,
        **_rungs("android"),
        "edgekit, --min-sqnr 40 --time-limit 1m": by_edgekit("android", {}, min_sqnr=40.0, time_limit="1m"),
    },
    "OpenVINO": {"NNCF": nncf, "NNCF, CPU without VNNI": nncf, **_rungs("openvino-cpu")},
}
"""Ways by the runtime of their files and their names."""

ENVIRONMENT = {"NNCF, CPU without VNNI": {"ONEDNN_MAX_CPU_ISA": "AVX2"}}
"""What ways set before they begin. OpenVINO's kernels then run as on CPUs that add two products in 16 bits: the file is
the same, and what it computes may be another thing. edgekit's files compute the same there (tests/backends/
openvino/test_openvino_sums.py)."""

OURS = "edgekit, auto"
"""The way that is compared with peers."""
