"""Keras and SavedModel as a source: ``.keras``, HDF5 under whatever name, SavedModel folders.

A network is loaded and traced once and kept, because describing, converting and running it follow
one another in the same process.
"""

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from edgekit import sources
from edgekit.errors import InputError, Unsupported
from edgekit.nouns.model import Divergence, Model, Signature, SourceOptions, TensorRow, TensorSpec, Waist
from edgekit.sources.keras import axes, conversion, cutting, divergence, policies, scaling
from edgekit.sources.keras.loading import load
from edgekit.sources.keras.network import Fixed, fix
from edgekit.sources.keras.reference import ReferenceRunner
from edgekit.waist import graph
from edgekit.waist.tensors import Array, arrays, inputs_to_file

ROUNDS = (
    "the source is quantized already, in training: float32 and float16 repeat its roundings in floats, every other "
    "precision than int8 rounds a second time"
)
"""What whoever uses files must know that are made, in floats or anew, of a network that rounds to grids of its own."""


class KerasSource(sources.Source):
    """Reads what Keras 2 (tf-keras), Keras 3 and TensorFlow save."""

    def __init__(self) -> None:
        self._kept: tuple[Any, ReferenceRunner] | None = None

    def describe(self, path: Path, options: SourceOptions) -> Model:
        """See `edgekit.sources.Source.describe`. The producer is the library and version that wrote the file."""
        fixed = self._open(path, options).fixed
        sha256, size = _digest(path)
        return Model(
            name=path.stem,
            file=path.name,
            sha256=sha256,
            format=sources.sniff(path),
            precision="int8" if fixed.rounds else "float32",
            producer=fixed.network.producer,
            bytes=size,
            signature=_source_signature(fixed),
            warnings=fixed.network.notes,
        )

    def to_waist(
        self,
        path: Path,
        options: SourceOptions,
        out: Path,
        samples: Path | None = None,  # noqa: ARG002  `Network.integer_limit` knows what is valid
    ) -> Waist:
        """See `edgekit.sources.Source.to_waist`. Notes say which converters were tried."""
        fixed = self._open(path, options).fixed
        waist = _written(fixed, conversion.convert(fixed, path), out / "waist.tflite")
        said, warned = policies.told(fixed)
        told = waist.warnings + ((ROUNDS,) if fixed.rounds else ()) + warned
        notes = (*fixed.network.notes, *said, *waist.notes)
        return msgspec.structs.replace(waist, notes=notes, warnings=told)

    def as_it_is(self, path: Path, options: SourceOptions, out: Path) -> Waist | None:
        """See `edgekit.sources.Source.as_it_is`: a network from quantization-aware training brings integers."""
        fixed = self._open(path, options).fixed
        if not fixed.rounds:
            return None
        try:
            converted = conversion.convert(fixed, path, integers=True)
        except Unsupported as error:
            raise Unsupported(
                f"{path.name} is quantized already, in training, and has no form in TFLite's integers: {error.problem}",
                place=error.place,
                fix="choose --precision float16, or save the network from before quantize_model",
            ) from error
        return _written(fixed, converted, out / "model.tflite")

    def run(self, path: Path, options: SourceOptions, inputs: Path, outputs: Path) -> None:
        """See `edgekit.sources.Source.run`."""
        reference = self._open(path, options)
        names = [spec.name for spec in _source_signature(reference.fixed).outputs]
        reference.run(_samples(reference.fixed, inputs), names, path, outputs)

    def tensors(self, path: Path, options: SourceOptions) -> tuple[TensorRow, ...]:
        """See `edgekit.sources.Source.tensors`. Keras's layers may be named too."""
        network = cutting.edit(load(path, sources.sniff(path), options), path, options)
        return cutting.tensors(network, path, options)

    def first_divergence(
        self, path: Path, options: SourceOptions, waist: Waist, inputs: Path, threshold_db: float
    ) -> Divergence | None:
        """See `edgekit.sources.Source.first_divergence`. ``tensor`` is the Keras layer's name."""
        fixed = self._open(path, options).fixed
        names = [port.name for port in fixed.network.inputs]
        samples = {name: array[:1] for name, array in zip(names, _samples(fixed, inputs), strict=True)}
        stored = {name: array[0] for name, array in inputs_to_file(waist.signature, samples).items()}
        return divergence.first(fixed, Path(waist.file), [array[0] for array in samples.values()], stored, threshold_db)

    def _open(self, path: Path, options: SourceOptions) -> ReferenceRunner:
        """The network of a file, loaded again only when the file or the options changed."""
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        key = (path, options, tuple((str(f), f.stat().st_mtime_ns, f.stat().st_size) for f in files if f.exists()))
        if self._kept is None or self._kept[0] != key:
            self._kept = None  # two networks at once may not fit into memory
            format_ = sources.sniff(path)
            network = cutting.edit(load(path, format_, options), path, options)
            self._kept = key, ReferenceRunner(fix(network, cutting.asked(network, options), path))
        return self._kept[1]


def _digest(path: Path) -> tuple[str, int]:
    """SHA-256 and size of a file, or of a folder: of the canonical JSON {relative path: SHA-256}."""
    if path.is_file():
        content = path.read_bytes()
        return hashlib.sha256(content).hexdigest(), len(content)
    parts = {str(file.relative_to(path)): _digest(file) for file in sorted(path.rglob("*")) if file.is_file()}
    named = msgspec.json.encode({name: digest for name, (digest, _) in parts.items()}, order="sorted")
    return hashlib.sha256(named).hexdigest(), sum(size for _, size in parts.values())


def _samples(fixed: Fixed, inputs: Path) -> list[Array]:
    """Samples ``[N, *shape]`` (see `edgekit.waist.tensors.arrays`), in the order of the network's inputs."""
    held = arrays(inputs)
    missing = [port.name for port in fixed.network.inputs if port.name not in held]
    if missing:
        raise InputError(
            f"There are no samples for {', '.join(missing)}.",
            place=str(inputs),
            fix=f"give arrays named {', '.join(port.name for port in fixed.network.inputs)}",
        )
    return [held[port.name] for port in fixed.network.inputs]


def _source_signature(fixed: Fixed) -> Signature:
    into, out = axes.known(fixed.function)
    inputs = zip(fixed.network.inputs, fixed.shapes, into, strict=True)
    outputs = zip(fixed.output_names, fixed.output_shapes, fixed.output_dtypes, out, strict=True)
    return Signature(
        inputs=tuple(_spec(port.name, shape, port.dtype, layout) for port, shape, layout in inputs),
        outputs=tuple(_spec(*output) for output in outputs),
    )


def _spec(name: str, shape: tuple[int, ...], dtype: str, layout: str | None) -> TensorSpec:
    return TensorSpec(
        name=name,
        shape=shape,
        dtype=dtype,
        layout=layout,
        source_name=name,
        source_shape=shape,
        source_dtype=dtype,
        source_layout=layout,
    )


def _written(fixed: Fixed, converted: conversion.Converted, file: Path) -> Waist:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(converted.content)
    main = graph.read(file)[0]
    source = _source_signature(fixed)
    signature = Signature(
        inputs=_waist_specs(source.inputs, main, main.inputs),
        outputs=_waist_specs(source.outputs, main, main.outputs),
    )
    return Waist(
        file=file.name,
        signature=signature,
        notes=converted.notes,
        warnings=converted.warnings,
        input_ranges=scaling.input_ranges(fixed),
    )


def _waist_specs(source: tuple[TensorSpec, ...], main: graph.Graph, indices: tuple[int, ...]) -> tuple[TensorSpec, ...]:
    made = []
    for spec, index in zip(source, indices, strict=True):
        tensor = main.tensors[index]
        made.append(
            TensorSpec(
                name=tensor.name,
                shape=tensor.shape,
                dtype=tensor.dtype,
                layout=spec.layout,
                source_name=spec.source_name,
                source_shape=spec.source_shape,
                source_dtype=spec.source_dtype,
                source_layout=spec.source_layout,
            )
        )
    return tuple(made)
