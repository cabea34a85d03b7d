"""Does a waist compute what its source computes? Asked on the user's samples, else on made-up inputs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edgekit import tensors
from edgekit.errors import Unsupported
from edgekit.sources.onnx.runtime import RUNTIME_ERRORS, complaint, each_sample, made_up, run
from edgekit.types import Signature
from edgekit.waist import graph as waist_graph
from edgekit.waist import run as waist_run

Array = NDArray[Any]

THRESHOLD_DB = 60.0
"""SQNR below which a float32 conversion counts as failed (the house's limit)."""

SEEDS = (0, 1)
"""Made-up inputs are drawn this often: one draw could hide a swap of two inputs or a dead branch."""


@dataclass(frozen=True)
class Reference:
    """Inputs and what the source gives for them, in the source's names, layouts and dtypes, one sample each."""

    feeds: list[dict[str, Array]]
    outputs: list[dict[str, Array]]


def reference(
    running: onnxruntime.InferenceSession,
    shapes: dict[str, tuple[int, ...]],
    dtypes: dict[str, np.dtype[Any]],
    limits: Mapping[str, int] | None = None,
) -> Reference:
    """Run the source on made-up inputs.

    Args:
        running: the source.
        shapes: of its inputs.
        dtypes: of its inputs.
        limits: what integer inputs must stay below (`edgekit.sources.onnx.indices`).

    Raises:
        Unsupported: it runs on none of them, or the shape of an output depends on values.
    """
    feeds, outputs = [], []
    names = [output.name for output in running.get_outputs()]
    for seed in SEEDS:
        feed, result = _first_that_runs(running, made_up(shapes, dtypes, seed, limits or {}))
        feeds.append(feed)
        outputs.append(dict(zip(names, result, strict=True)))
    for name in names:
        sizes = {result[name].shape for result in outputs}
        if len(sizes) > 1:
            steering = [repr(n) for n, dtype in dtypes.items() if np.issubdtype(dtype, np.integer)]
            cause = f" (perhaps of {', '.join(steering)})" if steering else ""
            raise Unsupported(
                f"The shape of the output {name!r} depends on the inputs' values{cause}: {sorted(sizes)}.",
                place=name,
                fix="make the values that steer shapes constants when exporting, or cut the model before the operator "
                "that selects (NonZero, NonMaxSuppression, Compress, Loop …)",
            )
    return Reference(feeds, outputs)


def sampled(running: onnxruntime.InferenceSession, dtypes: dict[str, np.dtype[Any]], samples: Path) -> Reference | None:
    """The source on the first and the last of a user's samples; None if it does not run on them, or is not finite."""
    names, rows = [output.name for output in running.get_outputs()], list(each_sample(samples))
    feeds = [{name: rows[i][name].astype(dtype) for name, dtype in dtypes.items()} for i in (0, -1)]
    try:
        outputs = [dict(zip(names, run(running, feed), strict=True)) for feed in feeds]
    except RUNTIME_ERRORS:
        return None
    if not all(_telling(value) for result in outputs for value in result.values()):
        return None
    same = all(outputs[0][name].shape == outputs[1][name].shape for name in names)
    return Reference(feeds, outputs) if same else None


def _first_that_runs(
    running: onnxruntime.InferenceSession, inputs: Iterable[dict[str, Array]]
) -> tuple[dict[str, Array], list[Array]]:
    """The first made-up inputs that give finite outputs, or the first that run at all."""
    runs, problem = [], ""
    for feed in inputs:
        try:
            result = run(running, feed)
        except RUNTIME_ERRORS as error:
            problem = complaint(error)
            continue
        runs.append((feed, result))
        if all(_telling(value) for value in result):
            return feed, result
    if not runs:
        raise Unsupported(
            f"ONNX Runtime cannot run the model on made-up inputs: {problem}",
            place="ONNX Runtime",
            fix="check the shapes given with --shape; inputs that steer shapes must be constants in the model",
        )
    return runs[0]


def _telling(value: Array) -> bool:
    return not np.issubdtype(value.dtype, np.floating) or bool(np.isfinite(value).all())


def closeness_db(reference: Array, value: Array) -> float:
    """SQNR in dB (see `edgekit.tensors.sqnr_db`).

    Integers and booleans are compared for equality: the share that differs takes the place of the
    error. Arrays of different shapes are as far apart as can be.
    """
    if reference.shape != value.shape:
        return -tensors.IDENTICAL_DB
    if np.issubdtype(reference.dtype, np.floating):
        return tensors.sqnr_db(reference, value)
    wrong = float(np.mean(reference != value)) if reference.size else 0.0
    return tensors.IDENTICAL_DB if wrong == 0 else -10 * float(np.log10(wrong))


def check(waist: Path, signature: Signature, known: Reference) -> None:
    """Load the waist and compare it with the source.

    Raises:
        Unsupported: custom operators, no allocation, or an output below `THRESHOLD_DB` (named).
    """
    custom = sorted(name for name in waist_graph.operator_names(waist) if ":" in name or "BUILTIN" in name)
    if custom:
        raise Unsupported(f"No interpreter has {', '.join(custom)}.", place=str(waist), fix="simplify the model")
    stacked = {name: np.stack([feed[name] for feed in known.feeds]) for name in known.feeds[0]}
    made = waist_run.run(waist, tensors.inputs_to_file(signature, stacked))
    got = tensors.outputs_to_source(signature, made)
    for name, values in got.items():
        expected = np.stack([result[name] for result in known.outputs])
        agreement = closeness_db(expected, values)
        if agreement < THRESHOLD_DB:
            raise Unsupported(
                f"The converted model disagrees with ONNX Runtime at the output {name!r}: {agreement:.1f} dB SQNR, "
                f"{THRESHOLD_DB:.0f} dB wanted.",
                place=name,
                fix="the operators before this output are converted wrongly",
            )
