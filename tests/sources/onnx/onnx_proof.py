"""What the tests of this folder ask of a conversion, independently of the leaf's own check."""

from pathlib import Path

import numpy as np

from edgekit.engine.worker import Worker
from edgekit.nouns.model import Model, SourceOptions, Waist
from edgekit.waist import graph, tensors
from edgekit.waist import run as waist_run
from edgekit.waist.tensors import Array

SAMPLES = 2


def convert(worker: Worker, model: Path, folder: Path, options: SourceOptions | None = None) -> Waist:
    """The leaf's own call; ``folder`` must not exist."""
    folder.mkdir()
    waist = worker.call("sources", "onnx", "to_waist", path=model, options=options or SourceOptions(), out=folder)
    assert isinstance(waist, Waist)
    return waist


def describe(worker: Worker, model: Path, options: SourceOptions | None = None) -> Model:
    described = worker.call("sources", "onnx", "describe", path=model, options=options or SourceOptions())
    assert isinstance(described, Model)
    return described


def draw(waist: Waist, seed: int = 42) -> dict[str, Array]:
    """Random samples in the source's terms, other ones than the leaf draws for its own check."""
    random = np.random.default_rng(seed)
    drawn: dict[str, Array] = {}
    for spec in waist.signature.inputs:
        shape, dtype = (SAMPLES, *spec.source_shape), np.dtype(spec.source_dtype)
        if np.issubdtype(dtype, np.floating):
            drawn[spec.source_name] = random.standard_normal(shape).astype(dtype)
        elif spec.index_from:  # a length
            drawn[spec.source_name] = random.integers(spec.index_from, spec.index_below, shape).astype(dtype)
        else:
            drawn[spec.source_name] = random.integers(0, 2, shape).astype(dtype)
    return drawn


def expected(
    worker: Worker, model: Path, folder: Path, samples: dict[str, Array], options: SourceOptions | None = None
) -> dict[str, Array]:
    """What ONNX Runtime gives, by the leaf's ``run``."""
    inputs, outputs = folder / "inputs.npz", folder / "outputs.npz"
    np.savez(inputs, **samples)
    worker.call(
        "sources", "onnx", "run", path=model, options=options or SourceOptions(), inputs=inputs, outputs=outputs
    )
    with np.load(outputs) as file:
        return {name: file[name] for name in file.files}


def computed(waist: Waist, folder: Path, samples: dict[str, Array]) -> dict[str, Array]:
    """What LiteRT gives, in the source's terms."""
    made = waist_run.run(folder / waist.file, tensors.inputs_to_file(waist.signature, samples))
    return tensors.outputs_to_source(waist.signature, made)


def sqnr_db(reference: Array, value: Array) -> float:
    assert reference.shape == value.shape
    if not np.issubdtype(reference.dtype, np.floating):
        return float(np.inf) if np.array_equal(reference, value) else 0.0
    noise = float(np.sum((reference.astype(np.float64) - value) ** 2))
    return float(np.inf) if noise == 0 else float(10 * np.log10(np.sum(reference.astype(np.float64) ** 2) / noise))


def assert_faithful(worker: Worker, model: Path, folder: Path, options: SourceOptions | None = None) -> Waist:
    """Converts, is loadable with builtin operators only, and agrees on samples of our own; nothing else is left."""
    waist = convert(worker, model, folder / "waist", options)
    assert sorted(p.name for p in (folder / "waist").iterdir()) == ["waist.tflite"]
    names = [operator.name for subgraph in graph.read(folder / "waist" / waist.file) for operator in subgraph.operators]
    assert not [name for name in names if name.startswith(("CUSTOM", "BUILTIN", "WHILE", "IF"))]
    samples = draw(waist)
    reference = expected(worker, model, folder, samples, options)
    for name, value in computed(waist, folder / "waist", samples).items():
        assert sqnr_db(reference[name], value) >= 60, name
    return waist
