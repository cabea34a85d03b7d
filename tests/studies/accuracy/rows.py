"""One row of the accuracy table: a task, its float network, and every way to make it int8."""

import subprocess
import sys
from collections.abc import Callable
from math import comb
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgekit.engine.worker import Worker
from edgekit.nouns.building import Job
from edgekit.nouns.model import SourceOptions
from edgekit.sources import FORMATS, sniff
from edgekit.waist import graph, run, tensors
from tests.studies.accuracy.tasks import CALIBRATION, Task

ROOT = Path(__file__).resolve().parents[3]


class Column(msgspec.Struct):
    """How one int8 file fares: top-1 in percent, and the paired test of edgekit's against it.

    ``won`` and ``lost`` count rows that only edgekit, or only this file, gets right; ``p_value`` is
    McNemar's exact test, two-sided, None for edgekit itself.
    """

    top1: float
    bytes: int
    won: int = 0
    lost: int = 0
    p_value: float | None = None


class Row(msgspec.Struct):
    """A task's figures. ``columns`` holds ``edgekit`` and every file that it is compared with."""

    name: str
    split: str
    samples: int
    float_top1: float
    columns: dict[str, Column]
    notes: tuple[str, ...] = ()


def mcnemar(won: int, lost: int) -> float:
    """The exact two-sided p-value of McNemar's test: won and lost are fair coin flips under the null.

    Source: McNemar (1947); exact form as in Edwards' and Liddell's reviews (binomial, p = 1/2).
    """
    flips = won + lost
    tail = sum(comb(flips, k) for k in range(min(won, lost) + 1)) / 2**flips
    return min(1.0, 2 * tail)


def predictions(file: Path, inputs: Any) -> Any:
    """Classes that a TFLite file with one input and one output gives, whatever its dtypes."""
    main = graph.read(file)[0]
    tensor, output = main.tensors[main.inputs[0]], main.tensors[main.outputs[0]]
    rows = inputs.reshape(-1, *tensor.shape)
    if tensor.scales:
        rows = tensors.quantize(rows, tensor.scales[0], tensor.zero_points[0], tensor.dtype)
    found = run.run(file, {tensor.name: rows.astype(tensor.dtype)}, threads=run.host_threads())
    return found[output.name].reshape(len(rows), -1).argmax(1)


def edgekit_classes(
    worker: Worker,
    task: Task,
    shared: Path,
    folder: Path,
    backend: str,
    precision: Any,
    file: str = "model.tflite",
    **settings: Any,
) -> Any:
    """Classes by a backend's file, from the source through the waist, calibrated on the task's rows.

    ``settings`` are the target's for the backend.

    Returns:
        The classes ``[M]``, the bytes of the files, and the notes.
    """
    path = shared / task.model
    form = sniff(path)
    calibration, inputs, _ = task.data(shared)
    described = worker.call("sources", FORMATS[form], "describe", path=path, options=SourceOptions())
    (spec,) = described.signature.inputs
    bridge = folder / "waist"
    if not bridge.exists():
        bridge.mkdir()
        waist = worker.call("sources", FORMATS[form], "to_waist", path=path, options=SourceOptions(), out=bridge)
        (bridge / "waist.json").write_bytes(msgspec.json.encode(waist.signature))
    signature = msgspec.json.decode((bridge / "waist.json").read_bytes(), type=type(described.signature))
    for name, rows in (("calibration", calibration), ("inputs", inputs)):
        np.savez(folder / f"{name}.npz", **{spec.source_name: rows.reshape(-1, *spec.source_shape)})
    job = Job(
        waist=str(bridge / "waist.tflite"),
        source=str(path),
        source_format=form,
        signature=signature,
        source_signature=described.signature,
        precision=precision,
        calibration=str(folder / "calibration.npz"),
        settings=settings,
    )
    out = folder / "-".join((backend, precision, *map(str, settings.values())))
    out.mkdir()
    made = worker.call("backends", backend, "build", job=job, file=file, out=out)
    worker.call(
        "backends",
        backend,
        "run",
        artifact=out / made.files[0],
        signature=made.signature,
        inputs=folder / "inputs.npz",
        outputs=folder / "outputs.npz",
    )
    with np.load(folder / "outputs.npz") as found:
        (values,) = found.values()
    return (
        values.reshape(len(inputs), -1).argmax(1),
        sum((out / name).stat().st_size for name in made.files),
        made.notes,
    )


def converter_classes(task: Task, shared: Path, folder: Path) -> tuple[Any, int]:
    """Classes by plain TFLiteConverter on the same calibration rows."""
    calibration, inputs, _ = task.data(shared)
    np.save(folder / "calibration.npy", calibration)
    source = folder / "waist/waist.tflite" if task.model.endswith(".onnx") else shared / task.model
    out = folder / "converter.tflite"
    words = [sys.executable, "-m", "tests.studies.accuracy.converter", source, folder / "calibration.npy", out]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    return predictions(out, inputs), out.stat().st_size


def measure(worker: Worker, task: Task, shared: Path, folder: Path, others: dict[str, Callable[..., Any]]) -> Row:
    """Everything about one task.

    Args:
        worker: the leaves.
        task: what to measure.
        shared: the folder with models and data.
        folder: an empty folder for files in between.
        others: further columns by name: ``f(worker, task, shared, folder)`` → (classes, bytes, notes).
    """
    _, inputs, labels = task.data(shared)
    floats, _, _ = edgekit_classes(worker, task, shared, folder, "tflite", "float32")
    ours, size, notes = edgekit_classes(worker, task, shared, folder, "tflite", "int8")
    columns = {"edgekit": Column(top1=_top1(ours, labels), bytes=size)}
    compared: dict[str, tuple[Any, int]] = {"TFLiteConverter": converter_classes(task, shared, folder)}
    if task.reference:
        file = shared / task.reference
        compared["reference"] = predictions(file, inputs), file.stat().st_size
    for name, classes in others.items():
        compared[name] = classes(worker, task, shared, folder)[:2]
    for name, (theirs, size) in compared.items():
        won = int(((ours == labels) & (theirs != labels)).sum())
        lost = int(((ours != labels) & (theirs == labels)).sum())
        columns[name] = Column(top1=_top1(theirs, labels), bytes=size, won=won, lost=lost, p_value=mcnemar(won, lost))
    return Row(
        name=task.name,
        split=task.split,
        samples=len(labels),
        float_top1=_top1(floats, labels),
        columns=columns,
        notes=(f"calibrated on {CALIBRATION} rows", *notes),
    )


def _top1(classes: Any, labels: Any) -> float:
    return float((classes == labels).mean() * 100)
