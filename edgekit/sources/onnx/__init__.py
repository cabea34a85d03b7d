"""ONNX models: described and run by ONNX Runtime, brought to the waist by onnx2tf's direct backend."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx

from edgekit.errors import InputError, Unsupported
from edgekit.nouns.model import Divergence, Model, Signature, SourceOptions, TensorRow, TensorSpec, Waist
from edgekit.sources import Source
from edgekit.sources.onnx import (
    agreement,
    channels,
    cutting,
    divergence,
    indices,
    lowering,
    narrowing,
    prepare,
    quantized,
    refusal,
    runtime,
)
from edgekit.sources.onnx.lowering import layout, sequences
from edgekit.sources.onnx.network import ONNX_ERRORS, Network
from edgekit.sources.onnx.opening import batches, reading, resizing, shapes, sizes
from edgekit.sources.onnx.quantized import dynamic, integer_boundary, qoperator, scales
from edgekit.waist.rows import write_rows
from edgekit.waist.tensors import Array, sqnr_db

__all__ = ["OnnxSource"]


@dataclass(frozen=True)
class Opened:
    """A model in memory with fixed input shapes, as the user wrote it otherwise. Nothing in it is changed any more.

    ``batch`` is how many samples the file takes at once if the model is one for a single sample, else 1.
    """

    path: Path
    companions: tuple[str, ...]
    model: onnx.ModelProto
    session: runtime.Running
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, np.dtype[Any]]
    assumed: list[str]
    batch: int

    @cached_property
    def known(self) -> agreement.ReferenceRun:
        """What the source gives for made-up inputs.

        Raises:
            Unsupported: it runs on none of them, or the shape of an output depends on values.
        """
        try:
            return agreement.reference(self.session, self.shapes, self.dtypes, self.limits)
        except Unsupported as error:
            raise refusal.mended(self.path, self.model, error) from error

    @cached_property
    def limits(self) -> dict[str, range]:
        """What integer inputs must stay within if they index a table, or tell a length."""
        return indices.limits(self.model, [name for name, dtype in self.dtypes.items() if dtype.kind in "iu"])

    @cached_property
    def layouts(self) -> dict[str, str]:
        """The layouts of the values that the model's operators tell of (`channels.known`)."""
        return channels.known(self.model)


def open_model(path: Path, options: SourceOptions) -> Opened:
    """Read, check and fix the shapes of a model.

    Raises:
        InputError: unreadable, invalid, a dynamic dimension needs ``--shape``, or it does not run at what that says.
        Unsupported: operators or types that cannot run.
    """
    model = reading.read(path, options)
    companions = reading.companions(path)
    asked = shapes.still_asked(model, options)
    shapes.refuse_asked(path, model, asked)
    whole = batches.as_declared(model, asked)
    fixed, assumed = shapes.fixed(path, model, whole)
    sizes.refuse_large(path, model, fixed)
    if other := resizing.left(model, fixed):
        model, running, said = resizing.taken(path, model, fixed, other)
        assumed += said
    else:
        running = reading.session_of(path, model)  # of the user's own model: the reference must not depend on edits
    batch = batches.fixed_batch(model) if not asked or whole != asked else 1
    if batch > 1 and (alone := batches.single(model, running, fixed)) is not None:
        model, running = alone
        assumed.append(batches.note(fixed))
        fixed = {name: (1, *shape[1:]) for name, shape in fixed.items()}
    elif whole != asked:
        raise batches.inseparable(path, fixed)
    else:
        batch = 1
    shapes.fix(model, fixed)
    dtypes = {value.name: reading.dtype_of(value) for value in shapes.true_inputs(model)}
    return Opened(path, companions, model, running, fixed, dtypes, assumed, batch)


class OnnxSource(Source):
    """ONNX of opset 7 and later."""

    def __init__(self) -> None:
        self._kept: tuple[Any, Opened] | None = None

    def describe(self, path: Path, options: SourceOptions) -> Model:
        """See `Source.describe`."""
        opened = self._open(path, options)
        content = path.read_bytes()
        opset = [entry.version for entry in opened.model.opset_import if entry.domain in reading.STANDARD]
        producer = f"{opened.model.producer_name} {opened.model.producer_version}".strip()
        return Model(
            name=path.stem,
            file=path.name,
            sha256=hashlib.sha256(content).hexdigest(),
            format="onnx",
            precision=quantized.precision(opened.model),
            producer=producer or None,
            opset=opset[0] if opset else None,
            bytes=len(content),
            signature=source_signature(opened),
            companions=opened.companions,
            batch=opened.batch,
            warnings=tuple(opened.assumed),
        )

    def to_waist(self, path: Path, options: SourceOptions, out: Path, samples: Path | None = None) -> Waist:
        """See `Source.to_waist`. Strategies are tried in order; the first that agrees is taken."""
        opened, read = _in_floats(path, self._open(path, options))
        known = None if samples is None else agreement.sampled(opened.session, opened.dtypes, samples)
        rounds = quantized.precision(opened.model) == "int8"
        threshold_db = agreement.INTEGERS_DB if rounds else agreement.THRESHOLD_DB
        source = source_signature(opened)
        network = prepared(path, qoperator.spelled_out(opened.model))
        try:
            refusal.refuse_unresolved(path, network)
        except Unsupported as error:
            raise refusal.mended(path, opened.model, error) from error
        model, complaints, signature = network.proto(), [], source
        with tempfile.TemporaryDirectory(prefix="edgekit-onnx-") as folder:
            file = Path(folder, "waist.tflite")
            for strategy in lowering.strategies(model):
                try:
                    signature = convert(model, strategy, source, file, keep_layout=options.keep_layout)
                    signature = integer_boundary.unsigned(file, signature)
                    agreement.check(file, signature, known or opened.known, threshold_db)
                except (Unsupported, *lowering.CONVERTER_ERRORS) as error:
                    complaints.append(_told(error, opened, signature, file))
                    continue
                shutil.copyfile(file, out / "waist.tflite")
                grown = sequences.growth(opened.model, path.stat().st_size, file)
                notes = (
                    *opened.assumed,
                    f"converted by onnx2tf ({strategy.name})",
                    *grown,
                )
                wrapping = narrowing.warning(network, sampled=samples is not None) if narrowing.narrows(file) else ()
                warnings = read + quantized.warning(opened.model) + wrapping
                return Waist(file="waist.tflite", signature=signature, notes=notes, warnings=warnings, unshown=wrapping)
        raise refusal.cannot_convert(path, opened.model, network, complaints)

    def as_it_is(self, path: Path, options: SourceOptions, out: Path) -> Waist | None:
        """See `Source.as_it_is`. Strategies are tried in order; the first that agrees is taken."""
        opened = self._open(path, options)
        if quantized.precision(opened.model) != "int8":
            return None
        source, complaints = source_signature(opened), []
        try:
            marked = scales.mark(qoperator.as_pairs(opened.model))
            model = prepared(path, marked.model).proto()
        except Unsupported as error:
            raise quantized.refused_static(path, opened.model, error.problem) from error
        with tempfile.TemporaryDirectory(prefix="edgekit-onnx-") as folder:
            file = Path(folder, "model.tflite")
            for strategy in lowering.strategies(model):
                try:
                    signature = convert(model, strategy, source, file, keep_layout=options.keep_layout)
                    warnings = scales.fuse(file, marked)
                    signature = integer_boundary.with_own_integers(file, signature)
                    agreement.check(file, signature, opened.known.usual, agreement.INTEGERS_DB)
                except (Unsupported, *lowering.CONVERTER_ERRORS) as error:
                    complaints.append(error.problem if isinstance(error, Unsupported) else str(error))
                    continue
                shutil.copyfile(file, out / "model.tflite")
                notes = (*opened.assumed, f"converted by onnx2tf ({strategy.name}) with the source's own scales")
                return Waist(file="model.tflite", signature=signature, notes=notes, warnings=warnings)
        raise quantized.refused_static(path, opened.model, complaints[0])

    def run(self, path: Path, options: SourceOptions, inputs: Path, outputs: Path) -> None:
        """See `Source.run`.

        Raises:
            InputError: ONNX Runtime refuses a sample.
            Unsupported: the shape of an output depends on the values of the inputs.
        """
        opened = self._open(path, options)
        write_rows(outputs, _each(path, opened, inputs))

    def tensors(self, path: Path, options: SourceOptions) -> tuple[TensorRow, ...]:
        """See `Source.tensors`."""
        model = reading.well_formed(path)
        cutting.edit(path, model, options)
        return cutting.tensors(model, options)

    def first_divergence(
        self, path: Path, options: SourceOptions, waist: Waist, inputs: Path, threshold_db: float
    ) -> Divergence | None:
        """See `Source.first_divergence`."""
        opened = self._open(path, options)
        sample = next(runtime.each_sample(inputs))
        feed = {name: sample[name].astype(opened.dtypes[name]) for name in opened.shapes}
        file = Path(waist.file) if Path(waist.file).is_absolute() else path.parent / waist.file
        return divergence.first(opened.model, waist.signature, file, feed, threshold_db)

    def _open(self, path: Path, options: SourceOptions) -> Opened:
        """The model of a file, read again only when the file, its external data or the options changed."""
        if self._kept is None or self._kept[0] != (options, _stamps(path, self._kept[1].companions)):
            self._kept = None  # two models at once may not fit into memory
            opened = open_model(path, options)
            self._kept = (options, _stamps(path, opened.companions)), opened
        return self._kept[1]


def _each(path: Path, opened: Opened, inputs: Path) -> Iterator[dict[str, Array]]:
    """The outputs of one sample after another."""
    names = [value.name for value in opened.session.get_outputs()]
    shapes: dict[str, tuple[int, ...]] = {}
    for number, sample in enumerate(runtime.each_sample(inputs)):
        try:
            feeds = {n: np.asarray(sample[n], opened.dtypes[n]) for n in opened.shapes}
            made = dict(zip(names, runtime.run(opened.session, feeds), strict=True))
        except runtime.RUNTIME_ERRORS as error:
            raise refusal.refused_sample(path, number, error) from error
        for name, values in made.items():
            if shapes.setdefault(name, values.shape) != values.shape:
                raise refusal.mended(path, opened.model, refusal.varying_output(path, name))
        yield made


def _in_floats(path: Path, opened: Opened) -> tuple[Opened, tuple[str, ...]]:
    """A dynamically quantized model as the float network that it approximates, with what users must know; others stay.

    Raises:
        Unsupported: an operator of it has no float form here.
    """
    if quantized.precision(opened.model) != "dynamic-int8":
        return opened, ()
    model = dynamic.as_floats(opened.model)
    quantized.refuse_dynamic(path, model)
    try:
        floats = replace(opened, model=model, session=reading.session_of(path, model))
    except (InputError, Unsupported) as error:  # the user's own file ran
        raise quantized.no_float_form(path, opened.model, error) from error
    pairs = zip(opened.known.outputs, map(floats.known.again, opened.known.feeds), strict=True)
    least = min(sqnr_db(value, found[name]) for wanted, found in pairs for name, value in wanted.items())
    return floats, (quantized.DYNAMIC_READ.format(least=least),)


def prepared(path: Path, model: onnx.ModelProto) -> Network:
    """See `prepare.prepare`.

    Raises:
        Unsupported: onnx's own library fails on the graph, which ONNX Runtime took.
    """
    try:
        return prepare.prepare(reading.only_float32(model))
    except ONNX_ERRORS as error:
        raise refusal.not_prepared(path, error) from error


def _told(error: Exception, opened: Opened, signature: Signature, file: Path) -> Exception:
    """The complaint, with the operator at which the file leaves its source if it disagrees with it."""
    if not isinstance(error, agreement.Disagreement):
        return error
    try:
        if beyond := divergence.beyond_32_bits(opened.model, error.feed):
            return refusal.too_wide(error.output, *beyond)
        found = divergence.first(opened.model, signature, file, error.feed, agreement.EDGE_DB)
    except (Unsupported, *lowering.CONVERTER_ERRORS):
        return error
    return error if found is None else refusal.disagreement(error.output, error.detail, found)


def _stamps(path: Path, companions: tuple[str, ...]) -> list[tuple[Path, int, int]]:
    """Path, time of change in ns and bytes of the files that a model is made of, as far as they exist."""
    files = [path, *(path.parent / name for name in companions)]
    return [(file, file.stat().st_mtime_ns, file.stat().st_size) for file in files if file.exists()]


def source_signature(opened: Opened) -> Signature:
    """The signature as the source has it, on both sides; output shapes are those that came out."""
    results = opened.known.outputs[0]
    inputs = [(name, opened.shapes[name], str(opened.dtypes[name])) for name in opened.shapes]
    outputs = [(name, value.shape, str(value.dtype)) for name, value in results.items()]
    return Signature(
        inputs=tuple(
            _within(_same(*value, opened.layouts.get(value[0])), opened.limits.get(value[0])) for value in inputs
        ),
        outputs=tuple(_same(*value, opened.layouts.get(value[0])) for value in outputs),
    )


def _within(spec: TensorSpec, values: range | None) -> TensorSpec:
    """An input, with what its values must stay within."""
    if values is None:
        return spec
    return msgspec.structs.replace(spec, index_from=values.start, index_below=values.stop)


def _same(name: str, shape: tuple[int, ...], dtype: str, layout_: str | None) -> TensorSpec:
    return TensorSpec(
        name=name,
        shape=shape,
        dtype=dtype,
        layout=layout_,
        source_name=name,
        source_shape=shape,
        source_dtype=dtype,
        source_layout=layout_,
    )


def convert(
    prepared: onnx.ModelProto, strategy: lowering.Strategy, source: Signature, file: Path, *, keep_layout: bool
) -> Signature:
    """Lower, peel the boundary and write; the signature of the written file.

    Raises:
        One of `lowering.CONVERTER_ERRORS`.
    """
    lowered = lowering.lower(
        layout.flatten_outputs(prepared), strategy, [value.name for value in prepared.graph.output]
    )
    outputs = [(value.name, spec) for value, spec in zip(prepared.graph.output, source.outputs, strict=True)]
    shapes_of = {name: spec.source_shape for name, spec in outputs}
    permutations = layout.peel(lowered, shapes_of, keep_layout=keep_layout)
    lowering.write(lowered, file)
    return Signature(
        inputs=tuple(_bound(spec, spec.name, lowered, permutations) for spec in source.inputs),
        outputs=tuple(_bound(spec, name, lowered, permutations) for name, spec in outputs),
    )


def _bound(spec: TensorSpec, name: str, lowered: Any, permutations: dict[str, tuple[int, ...]]) -> TensorSpec:
    tensor = lowered.tensors[name]
    order = permutations.get(name)
    told = spec.source_layout
    return msgspec.structs.replace(
        spec,
        name=name,
        shape=tuple(int(dim) for dim in tensor.shape),
        dtype=str(tensor.dtype).lower(),
        layout=told if order is None or told is None else "".join(told[axis] for axis in order),
        permutation=order,
    )
