"""The ways in which a network may come into OpenVINO: from its ONNX source, or from the waist.

OpenVINO's ONNX reader ignores what it does not know of some operators (the antialiasing of Resize)
without a word. The waist was proven against the source: what disagrees with it is not read directly.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.backends.openvino import reading
from edgekit.backends.openvino.libraries import CORE, FAILURES
from edgekit.errors import Unsupported
from edgekit.host import deadline
from edgekit.nouns.building import Job
from edgekit.nouns.model import Signature
from edgekit.waist import effort, run
from edgekit.waist.tensors import Array, arrays, inputs_to_file, outputs_to_source, sqnr_db

DIRECT = ("onnx",)
"""Source formats that OpenVINO reads itself (see docs/explanation/openvino-from-source.md)."""

THRESHOLD_DB = 40.0
"""Two float32 forms of one network agree better: verification asks as much of a float file."""

_EXACT = {"INFERENCE_PRECISION_HINT": "f32"}


def readers(job: Job) -> tuple[tuple[str, Callable[[Job], tuple[Any, Signature]]], ...]:
    """The ways, the better first.

    Returns:
        For each way what it is called and a function that gives the network as an
        ``openvino.Model`` with fixed shapes, and the signature of its tensors: the source's own
        if it is read directly, the waist's otherwise. The functions raise `Unsupported` if
        OpenVINO cannot read the network, or reads a source as another one; the operators are named.
        A source that disagrees with a waist that cannot be read either is left to verification.
    """
    if job.source_format not in DIRECT:
        return (("TFLite waist", reading.from_waist),)
    if job.waist is None:
        return (("source", reading.from_source),)
    return ("source", _proven), ("TFLite waist", reading.from_waist), ("source", reading.from_source)


def _proven(job: Job) -> tuple[Any, Signature]:
    """The source as OpenVINO reads it, if it agrees with the waist on one sample."""
    model, signature = reading.from_source(job)
    if not job.has_integers:
        _check(model, reading.named(model, signature), job)
    return model, signature


def _check(model: Any, signature: Signature, job: Job) -> None:
    one = sample(job)
    wanted = outputs_to_source(job.signature, run.run(Path(str(job.waist)), inputs_to_file(job.signature, one)))
    given = inputs_to_file(signature, one)
    try:
        compiled = CORE.compile_model(model, "CPU", _EXACT)
        into = reading.matched(signature.inputs, compiled.inputs)
        with deadline.inference(lambda: effort.of(Path(str(job.waist)))):
            results = compiled({port: given[spec.name][0] for spec, port in zip(signature.inputs, into, strict=True)})
    except FAILURES as error:
        raise Unsupported(
            f"OpenVINO cannot run {Path(job.source).name}: {reading.telling_line(error)}.",
            place=job.source,
            fix="choose another target",
        ) from error
    ports = zip(signature.outputs, reading.matched(signature.outputs, compiled.outputs), strict=True)
    found = outputs_to_source(signature, {spec.name: np.array(results[port])[None] for spec, port in ports})
    for name, values in wanted.items():
        if values.shape != found[name].shape:
            raise Unsupported(
                f"OpenVINO reads {Path(job.source).name} as another network ({name} is "
                f"{list(found[name].shape[1:])} instead of {list(values.shape[1:])}).",
                place=job.source,
                fix="choose another target",
            )
        close = sqnr_db(values, found[name])
        if close < THRESHOLD_DB:
            raise Unsupported(
                f"OpenVINO reads {Path(job.source).name} as another network ({close:.1f} dB at {name}).",
                place=job.source,
                fix="choose another target",
            )


def sample(job: Job) -> dict[str, Array]:
    """One of the user's samples, else random floats beside integers of 0; ``[1, *shape]`` under the source's names."""
    if job.calibration is not None:
        held = arrays(Path(job.calibration))
        return {name: values[len(values) // 2 :][:1] for name, values in held.items()}
    random = np.random.default_rng(job.seed)
    return {
        spec.source_name: (
            random.standard_normal((1, *spec.source_shape)).astype(spec.source_dtype)
            if np.issubdtype(np.dtype(spec.source_dtype), np.floating)
            else np.zeros((1, *spec.source_shape), spec.source_dtype)
        )
        for spec in job.signature.inputs
    }
