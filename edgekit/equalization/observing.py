"""Every float activation of a waist, seen in one pass over samples: extremes, of each channel too, and some values."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.host import events
from edgekit.waist import run
from edgekit.waist.graph import Graph
from edgekit.waist.tensors import Array

Floats = NDArray[np.floating[Any]]

KEPT_VALUES = 1 << 16
"""Values remembered for each activation, drawn evenly from all samples: 6 beyond the 99.99th percentile."""

KEPT_ROWS = 1 << 15
"""Values remembered, in whole rows, of an activation that feeds a softmax."""

ALL_ROWS = 1 << 21
"""The same of all of them together: a recurrent network, unrolled, has hundreds, each of few values."""

FINITE = 3e38
"""Larger magnitudes are masks (-inf written as a bfloat16), as ai-edge-quantizer's min_max_calibrate has it."""

SATURATING = {"SOFTMAX", "LOGISTIC", "TANH"}
"""Functions before which an activation matters by what comes after them alone."""

_TRANSPARENT = {"RESHAPE", "SQUEEZE", "EXPAND_DIMS"}


@dataclass
class Observed:
    """An activation over all samples: extremes, and a sample of its values ``[K]`` or rows ``[K, last]``.

    ``masked``: beside these it held values of -`FINITE` and less; ``unbounded``: of `FINITE` and more.
    ``channels``: least and greatest value within `FINITE` for each place of the last axis ``[2, last]``, if that was
    asked for.
    """

    low: float = np.inf
    high: float = -np.inf
    masked: bool = False
    unbounded: bool = False
    values: list[Floats] = field(default_factory=list)
    rows: list[Floats] = field(default_factory=list)
    channels: Floats | None = None


@dataclass
class Observation:
    """Every float activation by tensor index, and the float outputs of the scored samples by name."""

    activations: dict[int, Observed]
    outputs: dict[str, Array]


def observe(
    path: Path,
    graph: Graph,
    inputs: Mapping[str, Array],
    scored: NDArray[np.int_],
    seed: int,
    *,
    rows: NDArray[np.int_] | None = None,
    by_channel: Collection[int] = (),
) -> Observation:
    """Run a float TFLite file over samples and look at every activation.

    Args:
        path: the float TFLite file.
        graph: its main subgraph.
        inputs: for each input's name ``[N, *shape]``.
        scored: numbers of the samples whose outputs are kept.
        seed: drives which values are remembered.
        rows: numbers of the samples to look at, in this order; all of them if None.
        by_channel: tensors whose extremes are kept for each channel.

    Raises:
        InputError: a sample drives the network into NaN or infinity.
        Unsupported: LiteRT cannot run the file.
    """
    watched = {t.index: Observed() for t in graph.tensors if t.dtype == "float32" and not t.constant_bytes}
    softmaxes = {index for index, name in saturating(graph).items() if name == "SOFTMAX"}
    most = min(KEPT_ROWS, ALL_ROWS // max(1, len(softmaxes)))
    taken = np.arange(len(next(iter(inputs.values())))) if rows is None else rows
    samples = len(taken)
    random = np.random.default_rng(seed)
    outputs: dict[str, list[Array]] = {}
    for sample, made in _runs(path, inputs, taken):
        for index, seen in watched.items():
            values = run.value(made, index)
            if values is not None:
                _look(seen, cast("Floats", values), samples, random, rows=most if index in softmaxes else 0)
                if index in by_channel:
                    _look_by_channel(seen, cast("Floats", values))
        for name, result in _finite_outputs(made, sample):
            if sample in scored:
                outputs.setdefault(name, []).append(result)
    return Observation(
        activations={index: seen for index, seen in watched.items() if seen.low <= seen.high},
        outputs={name: np.stack(kept) for name, kept in outputs.items()},
    )


def _runs(path: Path, inputs: Mapping[str, Array], taken: NDArray[np.int_]) -> Iterator[tuple[int, Any]]:
    """Run samples in order: the number of each, and the interpreter, which holds all tensors until the next."""
    made = run.interpreter(path, threads=run.host_threads(), keep_tensors=True)
    into = {detail["name"]: detail["index"] for detail in made.get_input_details()}
    for place, sample in enumerate(taken):
        events.progress(place / len(taken), "observing calibration samples")
        for name, index in into.items():
            made.set_tensor(index, inputs[name][sample])
        run.invoke(made, path)
        yield int(sample), made


def _finite_outputs(made: Any, sample: int) -> Iterator[tuple[str, Array]]:
    """Every output of the run of a sample, by its name in the file."""
    for detail in made.get_output_details():
        result = made.get_tensor(detail["index"])
        if result.dtype == np.float32 and not np.isfinite(result).all():
            raise _not_finite(detail["name"], sample)
        yield detail["name"], result


def _look(seen: Observed, values: Floats, samples: int, random: np.random.Generator, *, rows: int) -> None:
    flat: Floats = values.ravel()
    if not flat.size:
        return
    low, high = float(flat.min()), float(flat.max())
    if not (low > -FINITE and high < FINITE):
        seen.masked |= bool((flat <= -FINITE).any())
        seen.unbounded |= bool((flat >= FINITE).any())
        flat = flat[np.abs(flat) < FINITE]  # false for NaN as well: the outputs decide whether that is an error
        if not flat.size:
            return
        low, high = float(flat.min()), float(flat.max())
    seen.low, seen.high = min(seen.low, low), max(seen.high, high)
    share = max(1, KEPT_VALUES // samples)
    seen.values.append(flat.copy() if flat.size <= share else flat[random.integers(0, flat.size, share)])
    if rows and values.ndim:
        table = values.reshape(-1, max(1, values.shape[-1]))
        share = max(1, rows // samples // table.shape[1])
        seen.rows.append(table.copy() if len(table) <= share else table[random.integers(0, len(table), share)])


def _look_by_channel(seen: Observed, values: Floats) -> None:
    table = values.reshape(-1, values.shape[-1])
    ends = np.stack([table.min(0), table.max(0)])
    if not np.abs(ends).max(initial=0) < FINITE:  # masks and paddings count as 0, which is in every range
        finite = np.where(np.abs(table) < FINITE, table, 0)
        ends = np.stack([finite.min(0), finite.max(0)])
    if seen.channels is not None:
        ends = np.stack([np.minimum(seen.channels[0], ends[0]), np.maximum(seen.channels[1], ends[1])])
    seen.channels = ends


def _not_finite(name: str, sample: int) -> InputError:
    return InputError(
        f"Calibration sample {sample} drives the network to NaN or infinity in its output {name}.",
        place=f"calibration sample {sample}",
        fix="check the samples' preprocessing, and the model's weights for NaN",
    )


def saturating(graph: Graph) -> dict[int, str]:
    """Activations that feed nothing but one saturating function → that function.

    Looks through operators that only change the shape, because input and output of these share one
    range.
    """
    consumers: dict[int, list[int]] = {}
    for operator in graph.operators:
        for tensor in operator.inputs:
            consumers.setdefault(tensor, []).append(operator.index)
    found = {}
    for operator in graph.operators:
        tensor = operator.inputs[0] if operator.inputs else -1
        if operator.name not in SATURATING:
            continue
        while len(consumers[tensor]) == 1 and tensor not in graph.outputs:
            found[tensor] = operator.name
            producer = next((o for o in graph.operators if tensor in o.outputs), None)
            if producer is None or producer.name not in _TRANSPARENT:
                break
            last = graph.tensors[tensor].shape[-1:]
            tensor = producer.inputs[0]
            if graph.tensors[tensor].shape[-1:] != last:
                break
    return found
