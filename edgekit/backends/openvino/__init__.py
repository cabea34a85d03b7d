"""OpenVINO: IR files (``.xml`` with ``.bin``) for Intel CPUs, GPUs and NPUs.

source (ONNX) or waist → ways → [quantization] → IR → placements → [npu: blob]
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np

from edgekit.backends import Backend
from edgekit.backends.openvino import (
    biases,
    diagnosis,
    effort,
    half_precision,
    holding,
    npu,
    pixels,
    quantization,
    reading,
    settings,
    timing,
    ways,
)
from edgekit.backends.openvino.libraries import CORE, EXACT, FAILURES, ONE_THREAD, nncf, ov
from edgekit.errors import InputError, Unsupported
from edgekit.host import deadline, events
from edgekit.nouns.building import Built, Job, Placement, Tried
from edgekit.nouns.description import Description
from edgekit.nouns.diagnosis import Diagnosis
from edgekit.nouns.model import Precision, Signature, Waist
from edgekit.waist.holding import of_weights
from edgekit.waist.rows import write_rows
from edgekit.waist.tensors import Array, FileSamples, arrays, each_to_file, each_to_source, sqnr_db

ONE_STREAM = EXACT | {"NUM_STREAMS": "1"}


class OpenVINOBackend(Backend):
    """Builds OpenVINO IR and runs it on this host's CPU."""

    precisions: ClassVar[tuple[Precision, ...]] = ("float32", "float16", "int8")

    def build(self, job: Job, file: str, out: Path) -> Built:
        """Write ``out/file`` (``.xml``), its ``.bin``, and for an NPU its ``.blob`` if that can be compiled.

        Inputs and outputs keep the source's dtypes; shapes are fixed. ONNX sources are read
        directly, everything else from the waist.

        Raises:
            InputError: int8 without samples, a wrong setting, or ``file`` does not end in ``.xml``.
            Unsupported: OpenVINO or NNCF cannot take the network; the operators are named.
        """
        chosen = settings.of(job)
        self._check(job, file)
        model, signature, notes, tried = _network(job, chosen)
        _save(model, out / file)
        if job.precision == "int8":
            _require_same_in_one_thread(out / file, signature, job)
        saved = CORE.read_model(out / file)
        built = Built(
            files=(file, str(Path(file).with_suffix(".bin"))),
            signature=signature,
            notes=notes,
            warnings=tuple(of_weights(job.precision, holding.weights(saved))),
            tools={"openvino": ov.get_version(), "nncf": nncf.__version__},
            tried=tried,
        )
        if chosen.target_device == "NPU":
            return _for_npu(built, saved, chosen.npu_platform, out)
        kernels = _kernels(saved, job)
        return msgspec.structs.replace(built, placements=kernels, warnings=built.warnings + _own_precision(saved))

    def _check(self, job: Job, file: str) -> None:
        if job.precision not in self.precisions:
            raise Unsupported(
                f"OpenVINO targets have no {job.precision}.",
                place="--precision",
                fix=f"choose one of: {', '.join(self.precisions)}",
            )
        if job.io not in {None, "float32"}:
            raise Unsupported(
                f"OpenVINO files keep the source's dtypes at their boundary, not {job.io}.",
                place="--io",
                fix="leave out --io for this target",
            )
        if Path(file).suffix != ".xml":
            raise InputError(f"{file} is no name for OpenVINO IR.", place=file, fix="end it in .xml")

    def run(self, artifact: Path, signature: Signature, inputs: Path, outputs: Path) -> None:
        """Run the IR on this host's CPU, one sample after another; state goes on from each to the next.

        Files for other devices run on the CPU too: it is the reference of their arithmetic, not of
        their speed.

        Raises:
            Unsupported: the CPU plugin cannot compile or run it.
        """
        samples = each_to_file(signature, arrays(inputs))
        write_rows(outputs, each_to_source(signature, _each(artifact, signature, samples)))

    def embed_preprocessing(
        self, artifact: Path, description: Description, signature: Signature, out: Path
    ) -> tuple[Signature, float]:
        """See `Backend.embed_preprocessing`."""
        return pixels.embed(artifact, description, signature, out / artifact.name)

    def diagnose(self, artifact: Path, waists: Sequence[Waist], samples: Path, helps: int = 0) -> Diagnosis:
        """See `Backend.diagnose`."""
        return diagnosis.diagnose(artifact, waists[0], samples, helps)

    def best_ms(self, artifact: Path) -> float | None:
        """See `Backend.best_ms`; None for a file that was quantized for another device than this host's CPU."""
        return timing.best_ms(artifact)


SAME_DB = 20.0
"""SQNR of two ways to run one file: threads may add in another order, and an integer turn at a tie."""

COMPARED = 8
"""Samples on which they are compared: on one alone, an output of few steps may be 0 in one way and not in the other."""


def _require_same_in_one_thread(artifact: Path, signature: Signature, job: Job) -> None:
    """Refuse integers that OpenVINO computes otherwise in one thread, as an app may ask for by a hint of throughput.

    Raises:
        Unsupported: it does, or the CPU plugin cannot compile or run the file.
    """
    held = ways.sample(job) if job.calibration is None else arrays(Path(job.calibration))
    given = each_to_file(signature, {name: values[:COMPARED] for name, values in held.items()})
    one, many = (list(_each(artifact, signature, given, how)) for how in (ONE_THREAD, ONE_STREAM))
    if (level_db := _alike_db(many, one)) >= SAME_DB:
        return
    if _alike_db(many, list(_each(artifact, signature, given))) >= SAME_DB:  # else it draws random numbers
        raise Unsupported(
            f"OpenVINO {ov.get_version()} computes {artifact.name} otherwise in one thread than in several "
            f"({level_db:.1f} dB).",
            place=job.source,
            fix="choose another precision or target",
        )


def _alike_db(wanted: list[dict[str, Array]], found: list[dict[str, Array]]) -> float:
    """The SQNR of the float output that differs most over all samples, in dB; outputs of zeros tell nothing."""
    levels = []
    for name, values in wanted[0].items():
        first, second = (np.stack([row[name] for row in rows]) for rows in (wanted, found))
        if values.dtype.kind == "f" and np.any(first):
            levels.append(sqnr_db(first, second))
    return min(levels, default=np.inf)


def _each(
    artifact: Path, signature: Signature, samples: dict[str, FileSamples], how: dict[str, Any] = ONE_STREAM
) -> Iterator[dict[str, Array]]:
    """The outputs of one sample after another."""
    request, into, out = _loaded(artifact, signature, how)
    count = len(next(iter(samples.values())))
    for i in range(count):
        events.progress(i / count, "sample by sample")
        try:
            with deadline.inference(lambda: effort.of(artifact)):
                results = request.infer({port: samples[name][i] for name, port in into.items()}, share_inputs=True)
        except FAILURES as error:
            raise reading.cannot_run(artifact, error) from error
        yield {name: np.array(results[port]) for name, port in out.items()}


PRECISIONS = {ov.Type.bf16: "bf16", ov.Type.f16: "f16"}
"""Inference precisions by the names that OpenVINO's properties take."""

PROBE = 1 << 20
"""Bytes that a disk must still take if it was not the disk that refused a file."""


def _save(model: Any, path: Path) -> None:
    """Write a network. OpenVINO's stream tells only that it failed; Python's own tells why.

    Raises:
        OSError: the disk took no more.
    """
    try:
        ov.save_model(model, path, compress_to_fp16=False)
    except RuntimeError:
        path.with_suffix(".probe").write_bytes(bytes(PROBE))
        raise


def _network(job: Job, chosen: settings.NncfSettings) -> tuple[Any, Signature, tuple[str, ...], tuple[Tried, ...]]:
    """The network in the job's precision, signature, notes, and what it was chosen from, by the first way to work."""
    tried: tuple[Tried, ...] = ()
    refusals: list[Unsupported] = []
    own = "the source's own integers and scales: NNCF was not used"
    if job.learned is not None and job.precision == "int8":
        job = msgspec.structs.replace(job, waist=job.learned, has_integers=True)
        own = "the integers and scales that were trained: NNCF was not used"
    for way, read in ways.readers(job):
        notes = tuple(f"not read from {job.source_format} directly: {refusal.problem}" for refusal in refusals)
        try:
            model, signature = read(job)
            signature = reading.named(model, signature)
            if job.precision == "int8":
                biases.fill(model)
            if job.has_integers:  # quantizing it once more would only lose
                notes += (own,)
            elif job.precision == "int8":
                model, found, tried = quantization.quantize(model, job, signature, chosen)
                notes += found
            elif job.precision == "float16":
                half_precision.compress(model)
        except Unsupported as refusal:
            refusals.append(refusal)
        else:
            return model, signature, (f"OpenVINO read the {way}", *notes), tried
    raise refusals[0]


def _for_npu(built: Built, model: Any, platform: str, out: Path) -> Built:
    """The NPU's part: the place of every operator, and the compiled blob or the reason why there is none."""
    placed = npu.placements(model)
    blob = str(Path(built.files[0]).with_suffix(".blob"))
    reason = npu.compile_blob(CORE, model, platform, out / blob)
    return msgspec.structs.replace(
        built,
        placements=placed,
        notes=built.notes + npu.notes(placed),
        files=built.files if reason else (*built.files, blob),
        unavailable={"compiled": reason} if reason else {},
    )


def _loaded(artifact: Path, signature: Signature, how: dict[str, Any]) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """An inference request, with the port of every input and output by the file's names."""
    try:
        with deadline.inference(lambda: effort.of(artifact)):  # what reads constants alone runs now
            compiled = CORE.compile_model(CORE.read_model(artifact), "CPU", how)
        into = {
            s.name: p for s, p in zip(signature.inputs, reading.matched(signature.inputs, compiled.inputs), strict=True)
        }
        out = {
            s.name: p
            for s, p in zip(signature.outputs, reading.matched(signature.outputs, compiled.outputs), strict=True)
        }
    except FAILURES as error:
        raise reading.cannot_run(artifact, error) from error
    return compiled.create_infer_request(), into, out


def _own_precision(model: Any) -> tuple[str, ...]:
    """What an app must know if OpenVINO would compute a network in less than float32 here."""
    own = CORE.compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY"}).get_property("INFERENCE_PRECISION_HINT")
    if own in {ov.Type.f32, ov.Type.dynamic}:
        return ()
    return (
        f"verified and timed in f32, but OpenVINO's own choice on this CPU is {PRECISIONS.get(own, own)}: "
        'set {"INFERENCE_PRECISION_HINT": "f32"} when compiling to get the same results',
    )


def _kernels(model: Any, job: Job) -> tuple[Placement, ...]:
    """What the CPU plugin made of the network here: every kernel with the dtype it computes in.

    Kernels fuse operators; ``name`` lists them all.
    """
    try:
        compiled = CORE.compile_model(model, "CPU", ONE_STREAM)
    except FAILURES as error:
        raise reading.cannot_run(Path(job.source), error) from error
    kernels = []
    for node in compiled.get_runtime_model().get_ordered_ops():
        info = {key: str(value.value) for key, value in node.get_rt_info().items()}
        if info["layerType"] not in {"Const", "Input", "Output", "Result", "Constant", "Parameter"}:
            kernels.append((info["layerType"], info["originalLayersNames"], info["runtimePrecision"]))
    return tuple(
        Placement(index=i, operator=kind, name=names, runs_on="CPU", status=precision)
        for i, (kind, names, precision) in enumerate(kernels)
    )
