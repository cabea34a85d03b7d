"""LiteRT (TensorFlow Lite) files, the runtime of Android, iOS and most boards with an operating system."""

from collections.abc import Collection, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import numpy as np

from edgekit.backends import Backend
from edgekit.backends.tflite import (
    biases,
    diagnosis,
    equalization,
    evening,
    integer,
    layerwise,
    others,
    weight_only,
    weights,
)
from edgekit.backends.tflite.plan import QuantizationSettings
from edgekit.backends.tflite.range_search import SEARCHED
from edgekit.backends.tflite.ranges import METHODS
from edgekit.backends.tflite.ready import aliases
from edgekit.errors import InputError, Unsupported
from edgekit.nouns.building import CPU, Built, Job, Placement, Tried
from edgekit.nouns.diagnosis import Diagnosis
from edgekit.nouns.model import CALIBRATED, Boundary, Precision, Signature, Waist
from edgekit.waist import edit, graph, holding, named, run, trial
from edgekit.waist.boundary import described, set_boundary
from edgekit.waist.exact import MOVES, Wiring
from edgekit.waist.holding import float_operators
from edgekit.waist.rows import write_rows
from edgekit.waist.tensors import Array, arrays, each_to_file, each_to_source, inputs_to_file


class TFLiteBackend(Backend):
    """Writes one ``.tflite`` file in any precision.

    ``job.settings`` that it reads (others belong to a backend that compiles its file further):

    * ``per_channel`` (true): a scale for each output channel of weights, not one for all.
    * ``full_integer`` (false): refuse a network of which an operator stays float.
    * ``ranges`` (``auto``): how activations' ranges are chosen, one of `ranges.METHODS`, or
      ``searched`` (`range_search`).
    * ``weights`` (``auto``): what is done to weights and biases before, one of `layerwise.WAYS`.
    * ``equalization`` (``auto``): whether weights of layers in a row are brought to one scale (`equalization`), or
      channels of activations (`evening`).
    * ``float_operators`` (none): operators that stay float, see `edgekit.waist.named`.
    """

    precisions: ClassVar[tuple[Precision, ...]] = ("float32", "float16", "dynamic-int8", "int8", "int16x8", "int4")

    def build(self, job: Job, file: str, out: Path) -> Built:
        """Write ``out/file``; see `Backend.build`.

        The boundary of ``int8`` is int8 unless ``job.io`` says otherwise, that of every other
        precision is float32.
        """
        waist = _waist(job)
        boundary = _boundary(job)
        notes: tuple[str, ...] = ()
        tried: tuple[Tried, ...] = ()
        if job.has_integers:
            content, notes = _finished(job, waist)
        elif job.precision == "float32":
            content = waist.read_bytes()
        elif job.precision == "float16":
            content, notes = weights.to_float16(waist)
        elif job.learned is not None:
            content, notes = _learned(job, Path(job.learned), boundary)
        elif job.precision in CALIBRATED:
            content, notes, tried = _integer(job, waist, boundary)
        else:
            content, notes, tried = weight_only.quantize(
                waist,
                4 if job.precision == "int4" else 8,
                None if job.calibration is None else _samples(job),
                trial.kept(),
                per_channel=_flag(job, "per_channel", default=True),
                wanted=_choice(job, "weights", layerwise.WAYS),
                kept=named.makers(graph.read(waist)[0], _floats(job, waist)),
            )
        model = graph.parse(content, Path(file))
        as_it_is = job.has_integers and job.source_format == "tflite"
        if not as_it_is and edit.tidy(model):
            content = graph.pack(model)
        signature = _tried(content, job.signature, file)
        (out / file).write_bytes(content)
        tools = {name: version(name) for name in ("ai-edge-litert", "ai-edge-quantizer")}
        return Built(
            files=(file,),
            signature=signature,
            placements=_placements(job, graph.describe(model)[0]),
            notes=notes,
            warnings=(
                *(() if boundary == "float32" else _floats_at_the_boundary(signature)),
                *holding.told(job.precision, model),
            ),
            tools=tools,
            tried=tried,
        )

    def run(self, artifact: Path, signature: Signature, inputs: Path, outputs: Path) -> None:
        """Run on LiteRT, sample by sample; see `Backend.run`."""
        given = each_to_file(signature, arrays(inputs))
        found = run.each(artifact, given, threads=run.host_threads())
        write_rows(outputs, each_to_source(signature, found))

    def run_otherwise(self, artifact: Path, signature: Signature, inputs: Path, outputs: Path, seconds: float) -> None:
        """Run on LiteRT's own kernels, and on its plain loops; see `Backend.run_otherwise`."""
        others.run(artifact, signature, inputs, outputs, seconds)

    def best_ms(self, artifact: Path) -> float | None:
        """See `Backend.best_ms`."""
        return run.best_ms(artifact)

    def diagnose(self, artifact: Path, waists: Sequence[Waist], samples: Path, helps: int = 0) -> Diagnosis:
        """See `Backend.diagnose`."""
        return diagnosis.diagnose(artifact, waists, samples, helps)


def _floats_at_the_boundary(signature: Signature) -> Iterator[str]:
    """Inputs and outputs of a file of integers that an app must fill and read as float32."""
    for side, specs in (("input", signature.inputs), ("output", signature.outputs)):
        for spec in specs:
            if spec.dtype == "float32":
                yield f"{side} {spec.name} is float32: what is next to it stays outside of the integers (see the notes)"


def _waist(job: Job) -> Path:
    if job.waist is None:
        raise Unsupported(
            "This network has no LiteRT form.", place=job.source, fix="choose a target that reads its format itself"
        )
    return Path(job.waist)


def _boundary(job: Job) -> Boundary:
    if job.precision == "int8":
        return job.io or "int8"
    if job.io not in {None, "float32"}:
        raise InputError(
            f"{job.precision} has float32 inputs and outputs, not {job.io}.",
            place=f"io = {job.io}",
            fix="leave io out, or choose the precision int8",
        )
    return "float32"


def _finished(job: Job, waist: Path) -> tuple[bytes, tuple[str, ...]]:
    """The source's own integers: a TFLite file as it is, any other source with the boundary that is wanted."""
    if job.source_format == "tflite":
        return waist.read_bytes(), ("finished already: copied as it is",)
    model = graph.load(waist)
    set_boundary(model, _boundary(job))
    main = graph.describe(model)[0]
    floats = float_operators(main)
    _refuse_floats(job, main, floats)
    notes = ["the source's own integers and scales: no calibration was used"]
    if left := ", ".join(sorted({operator.name for operator in floats})):
        notes.append(f"stays float32, having no integers in the source or no such form in TFLite: {left}")
    specs = (*job.signature.inputs, *job.signature.outputs)
    if job.io and (own := [s for s in specs if s.source_dtype in {"int8", "uint8"} and s.dtype != job.io]):
        told = ", ".join(f"{spec.name} ({spec.dtype})" for spec in own)
        notes.append(f"has the source's own integers, whatever io says: {told}")
    return graph.pack(model), tuple(notes)


def _integer(job: Job, waist: Path, boundary: Boundary) -> tuple[bytes, tuple[str, ...], tuple[Tried, ...]]:
    settings = QuantizationSettings(
        activations="int16" if job.precision == "int16x8" else "int8",
        per_channel=_flag(job, "per_channel", default=True),
        method=_choice(job, "ranges", (*METHODS, SEARCHED)),
        weights=_choice(job, "weights", layerwise.WAYS),
        full_integer=_flag(job, "full_integer", default=False),
        seed=job.seed,
        floats=_floats(job, waist),
        equalization=_choice(job, "equalization", (equalization.ON, "off", evening.ACTIVATIONS)),
    )
    made = integer.quantize(waist, _samples(job), trial.kept(), settings)
    found = made.candidate
    model = graph.parse(found.content, waist)
    poor = biases.fit(model, waist)
    _refuse_floats(job, graph.describe(model)[0], found.floats)
    set_boundary(model, boundary, made.integers)
    aliases.put_back(model, made.aliases)
    edit.sweep(model)  # ai-edge-quantizer keeps the float weights that were fitted
    notes = [
        f"quantized by {found.engine} with {found.method} ranges, {layerwise.WAYS[found.plan.weights]}:"
        f" {found.sqnr_db:.1f} dB on the calibration samples"
    ]
    notes += made.notes
    notes += [f"{poor} channels that compute next to nothing got a scale that their bias fits"] if poor else []
    told = " ".join(found.plan.reasons)
    untold = [operator.name for operator in found.floats if operator.name not in told]
    notes += [f"stays float32: {', '.join(sorted(set(untold)))}"] if untold else []
    notes += [f"stays float32: {reason}" for reason in found.plan.reasons]
    notes += [f"rounded to the nearest level, its samples are not finite: {name}" for name in found.plan.unfitted]
    return graph.pack(model), tuple(notes), made.tried


def _learned(job: Job, path: Path, boundary: Boundary) -> tuple[bytes, tuple[str, ...]]:
    """The integers and scales that a pass has trained, to the last one, with the boundary that is wanted."""
    model = graph.load(path)
    main = graph.describe(model)[0]
    floats = float_operators(main)
    _refuse_floats(job, main, floats)
    taken = aliases.take_off(model)
    set_boundary(model, boundary)
    aliases.put_back(model, taken)
    edit.sweep(model)
    notes = ["the integers and scales that were trained: no calibration was used"]
    if left := ", ".join(sorted({operator.name for operator in floats})):
        notes.append(f"stays float32: {left}")
    return graph.pack(model), tuple(notes)


def _refuse_floats(job: Job, main: graph.Graph, floats: tuple[graph.Operator, ...]) -> None:
    """Stop at operators that stay float if a target takes integers alone; what moves values to an output may stay.

    Raises:
        Unsupported: with the operators.
    """
    moves = {operator.index for operator in Wiring(main).chain(main.outputs, MOVES)}
    left = ", ".join(sorted({operator.name for operator in floats if operator.index not in moves}))
    if left and _flag(job, "full_integer", default=False):
        raise Unsupported(
            f"The network cannot be made of integers alone: {left} would stay float32.",
            place=Path(job.source).name,
            fix=f"replace {left} in the model, or choose a target that also computes in float32",
        )


def _placements(job: Job, made: graph.Graph) -> tuple[Placement, ...]:
    """Every operator that runs, in a file of integers with those that stay float.

    A DEQUANTIZE of a constant, which each weight of a float16 file has, runs once when the file is loaded.
    """
    floats = {operator.index for operator in float_operators(made)} if job.precision in CALIBRATED else set()
    return tuple(
        Placement(
            index=operator.index,
            operator=operator.name,
            name=made.tensors[operator.outputs[0]].name if operator.outputs else "",
            runs_on=CPU,
            status="stays float32" if operator.index in floats else "",
        )
        for operator in made.operators
        if operator.name != "DEQUANTIZE" or made.tensors[operator.inputs[0]].constant_bytes == 0
    )


def _flag(job: Job, name: str, *, default: bool) -> bool:
    return bool(job.settings.get(name, default))


def _floats(job: Job, waist: Path) -> frozenset[str]:
    """The operators that are to stay float, by the names of what they make.

    Raises:
        InputError: there is no such operator.
        Unsupported: the target takes integers alone.
    """
    wanted = job.settings.get("float_operators", ())
    if not wanted or not isinstance(wanted, tuple | list):
        return frozenset()
    if _flag(job, "full_integer", default=False):
        raise Unsupported(
            "This target takes integers alone: none of its operators can stay float.",
            place="float_operators",
            fix="leave float_operators out, or choose a target that also computes in float32",
        )
    return named.outputs(graph.read(waist)[0], wanted, "float_operators")


def _choice(job: Job, name: str, known: Collection[str]) -> str:
    choice = str(job.settings.get(name, "auto"))
    if choice not in {"auto", *known}:
        raise InputError(
            f"There is no way to choose {name} named {choice}.",
            place=f"settings.{name}",
            fix=f"choose one of: auto, {', '.join(known)}",
        )
    return choice


def _samples(job: Job) -> dict[str, Array]:
    """Calibration samples as the waist wants them, under its names."""
    if job.calibration is None:
        raise InputError(
            f"The precision {job.precision} needs calibration samples.",
            place=job.precision,
            fix="pass --calibration with some hundred real samples, or choose float16 or dynamic-int8",
        )
    samples = arrays(Path(job.calibration))
    for spec in job.signature.inputs:
        found = samples.get(spec.source_name)
        if found is None or found.shape[1:] != spec.source_shape or not len(found):
            raise InputError(
                f"Calibration samples of {spec.source_name} must be [N, {', '.join(map(str, spec.source_shape))}], "
                f"but are {'missing' if found is None else list(found.shape)}.",
                place=job.calibration,
                fix="prepare the samples for this model",
            )
        if np.issubdtype(found.dtype, np.floating) and not np.isfinite(found).all():
            raise InputError(
                f"Calibration samples of {spec.source_name} hold NaN or infinity.",
                place=job.calibration,
                fix="leave the broken samples out",
            )
    return inputs_to_file(job.signature, samples)


def _tried(content: bytes, signature: Signature, file: str) -> Signature:
    """Load and run a file before it is shown to anybody, and read its signature.

    Raises:
        Unsupported: LiteRT cannot load or run it.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / Path(file).name
        path.write_bytes(content)
        made = described(signature, graph.read(path)[0])
        run.run(path, {spec.name: np.zeros((1, *spec.shape), spec.dtype) for spec in made.inputs})
    return made
