"""Does a waist compute what its source computes? Asked on the user's samples, else on made-up inputs."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import Unsupported
from edgekit.nouns.model import Signature, TensorSpec
from edgekit.sources.onnx import refusal
from edgekit.sources.onnx.runtime import RUNTIME_ERRORS, Running, complaint, each_sample, made_up, run
from edgekit.waist import ends, tensors
from edgekit.waist import graph as waist_graph
from edgekit.waist import run as waist_run

Array = NDArray[Any]

THRESHOLD_DB = 60.0
"""SQNR below which a float32 conversion counts as failed (the house's limit)."""

INTEGERS_DB = 10.0
"""The same for a file of the source's own integers: kernels differ by steps, which add up in a deep network.

Only what is another network is looked for here (0 dB); samples judge the rest."""

EDGE_DB = 20.0
"""The same for edges, where saturated functions differ between runtimes and only a lost bound is looked for."""

OVERFLOW = 1e30
"""What the source gives beyond this may be infinite elsewhere: kernels saturate exponentials at different places."""

SEEDS = (0, 1)
"""Made-up inputs are drawn this often: one draw could hide a swap of two inputs or a dead branch."""


HELD_BYTES = 1 << 26
"""Of a network with larger inputs and outputs one run is kept: all runs would take twenty times as much."""


@dataclass(frozen=True)
class ReferenceRun:
    """Inputs and what the source gives for them, in the source's names, layouts and dtypes, one sample each.

    ``edges`` are inputs beside the usual ones, with a name: zeros, a constant, large values. ``again`` runs the
    source once more.
    """

    feeds: list[dict[str, Array]]
    outputs: list[dict[str, Array]]
    edges: list[tuple[str, dict[str, Array], dict[str, Array]]]
    again: Callable[[dict[str, Array]], dict[str, Array]]

    @property
    def usual(self) -> "ReferenceRun":
        """Without the edges."""
        return replace(self, edges=[])

    @classmethod
    def of(cls, running: Running, feeds: list[dict[str, Array]], outputs: list[dict[str, Array]]) -> "ReferenceRun":
        """With the edges that the source takes."""
        names = [output.name for output in running.get_outputs()]

        held = _bytes(feeds[-1].values()) + _bytes(outputs[-1].values())
        if held > HELD_BYTES:  # the build's own probes still hold zeros
            feeds, outputs = feeds[:1], outputs[:1]

        def again(feed: dict[str, Array]) -> dict[str, Array]:
            return dict(zip(names, run(running, feed), strict=True))

        edges = [] if held > HELD_BYTES else list(_edges(feeds[-1], outputs[-1], again))
        return cls(feeds, outputs, edges, again)


def reference(
    running: Running,
    shapes: dict[str, tuple[int, ...]],
    dtypes: dict[str, np.dtype[Any]],
    limits: Mapping[str, range] | None = None,
) -> ReferenceRun:
    """Run the source on made-up inputs.

    Args:
        running: the source.
        shapes: of its inputs.
        dtypes: of its inputs.
        limits: what integer inputs must stay within (`edgekit.sources.onnx.indices`).

    Raises:
        Unsupported: it runs on none of them, or the shape of an output depends on values.
    """
    feeds: list[dict[str, Array]] = []
    outputs: list[dict[str, Array]] = []
    sizes: dict[str, set[tuple[int, ...]]] = {output.name: set() for output in running.get_outputs()}
    for seed in SEEDS:
        feed, result = _first_that_runs(running, made_up(shapes, dtypes, seed, limits or {}))
        for name, value in zip(sizes, result, strict=True):
            sizes[name].add(value.shape)
        if not outputs or _bytes(feed.values()) + _bytes(result) <= HELD_BYTES:
            feeds.append(feed)
            outputs.append(dict(zip(sizes, result, strict=True)))
        del feed, result
    for name, found in sizes.items():
        if len(found) > 1:
            raise refusal.steered_output(name, found, [n for n, t in dtypes.items() if np.issubdtype(t, np.integer)])
    return ReferenceRun.of(running, feeds, outputs)


def _bytes(values: Iterable[Array]) -> int:
    return sum(value.nbytes for value in values)


EDGES: dict[str, Callable[[Array], Array]] = {
    "zeros": np.zeros_like,
    "ones": np.ones_like,
    "large values": lambda usual: usual * 1e4,
}
"""Inputs where a lost bound shows (0 / 0, log 0, overflow), made of a usual one."""


def _edges(
    feed: dict[str, Array], usual: dict[str, Array], again: Callable[[dict[str, Array]], dict[str, Array]]
) -> Iterator[tuple[str, dict[str, Array], dict[str, Array]]]:
    """The edges that the source takes. Only floats change: integers may be indices."""
    if not any(np.issubdtype(value.dtype, np.floating) for value in feed.values()):
        return
    for name, change in EDGES.items():
        edge = {n: change(v).astype(v.dtype) if np.issubdtype(v.dtype, np.floating) else v for n, v in feed.items()}
        try:
            outputs = again(edge)
        except RUNTIME_ERRORS:
            continue
        if all(outputs[n].shape == usual[n].shape for n in usual):
            yield name, edge, outputs


def sampled(running: Running, dtypes: dict[str, np.dtype[Any]], samples: Path) -> ReferenceRun | None:
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
    return ReferenceRun.of(running, feeds, outputs) if same else None


def _first_that_runs(running: Running, inputs: Iterable[dict[str, Array]]) -> tuple[dict[str, Array], list[Array]]:
    """The first made-up inputs that give finite outputs, or the first that run at all."""
    runs, problem, feed = [], "", {}
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
        raise refusal.never_runs(problem, [name for name, v in feed.items() if np.issubdtype(v.dtype, np.integer)])
    return runs[0]


def _telling(value: Array) -> bool:
    return not np.issubdtype(value.dtype, np.floating) or bool(np.isfinite(value).all())


TIES = 1e-4
"""Share of whole numbers that may differ: of the 262,144 pixels of a segmentation some have two classes whose scores
are equal but for their last bits, about one in a million for each sum that is ordered in another way."""


def closeness_db(reference: Array, value: Array) -> float:
    """SQNR in dB (see `edgekit.waist.tensors.sqnr_db`).

    Integers and booleans are compared for equality: the share that differs takes the place of the
    error, but for `TIES`. Arrays of different shapes are as far apart as can be.
    """
    if reference.shape != value.shape:
        return -tensors.IDENTICAL_DB
    if np.issubdtype(reference.dtype, np.floating):
        return tensors.sqnr_db(reference, value)
    wrong = float(np.mean(reference != value)) if reference.size else 0.0
    return tensors.IDENTICAL_DB if wrong <= TIES else -10 * float(np.log10(wrong))


def check(waist: Path, signature: Signature, known: ReferenceRun, threshold_db: float = THRESHOLD_DB) -> None:
    """Load the waist and compare it with the source.

    Raises:
        Unsupported: custom operators, no allocation, or an output that disagrees (named).
    """
    custom = sorted(name for name in waist_graph.operator_names(waist) if ":" in name or "BUILTIN" in name)
    if custom:
        raise Unsupported(f"No interpreter has {', '.join(custom)}.", place=str(waist), fix=refusal.CUT)
    feeds = [*known.feeds, *(feed for _, feed, _ in known.edges)]
    stacked = {name: _stacked([feed[name] for feed in feeds]) for name in feeds[0]}
    got = tensors.outputs_to_source(signature, waist_run.run(waist, tensors.inputs_to_file(signature, stacked)))
    grids = {spec.source_name: spec for spec in signature.outputs if spec.scale is not None}
    sigmoids = ends.sigmoids(waist)
    rounded = {spec.source_name for spec in signature.outputs if spec.name in sigmoids}
    for name, values in got.items():
        expected = _stacked([result[name] for result in known.outputs])
        made = values[: len(expected)]
        if name in rounded and expected.max(initial=0) > tensors.SIGMOID_ROUNDING:  # else nothing would be compared
            made = _without_rounding(expected, made)
        agreement = _closeness_db(grids.get(name), expected, made)
        if agreement < threshold_db and not any(map(_tells, expected)):
            raise refusal.tells_nothing(name, _numbers(known.feeds[0]))
        if agreement < threshold_db:
            detail = f"{agreement:.1f} dB SQNR, {threshold_db:.0f} dB wanted"
            raise Disagreement(name, detail, known.feeds[0])
        for (edge, feed, outputs), value in zip(known.edges, values[len(expected) :], strict=True):
            again = partial(shaken, known, feed, name)
            seen = _without_rounding(outputs[name], value) if name in rounded else value
            if wrong := fault(outputs[name], seen, expected, again):
                raise Disagreement(name, f"{wrong} for inputs of {edge}", feed)


def _without_rounding(expected: Array, values: Array) -> Array:
    """The scores of a sigmoid, the source's where only rounding sets them apart."""
    if expected.shape != values.shape:
        return values
    apart = np.abs(expected.astype(np.float64) - values)
    return np.where(apart <= tensors.SIGMOID_ROUNDING, expected, values)


def _closeness_db(grid: TensorSpec | None, reference: Array, value: Array) -> float:
    """`closeness_db` of what an output's integers stand for, if they stand for anything."""
    if grid is None or reference.dtype.kind not in "iu":
        return closeness_db(reference, value)
    zero_point = grid.zero_point or 0
    return closeness_db(reference.astype(np.float32) - zero_point, value.astype(np.float32) - zero_point)


def _stacked(rows: list[Array]) -> Array:
    """Arrays with a leading axis; one alone is not copied."""
    return rows[0][None] if len(rows) == 1 else np.stack(rows)


def _tells(value: Array) -> bool:
    return not np.issubdtype(value.dtype, np.floating) or bool(np.isfinite(value).any())


def _numbers(feed: dict[str, Array]) -> list[str]:
    """The inputs that are one number each, and may be settings rather than data."""
    return [name for name, value in feed.items() if value.size == 1]


class Disagreement(Unsupported):
    """A converted file that does not compute what its source computes, on the inputs ``feed``."""

    def __init__(self, output: str, detail: str, feed: dict[str, Array]) -> None:
        plain = refusal.disagreement(output, detail)
        super().__init__(plain.problem, place=plain.place, fix=plain.fix)
        self.output, self.detail, self.feed = output, detail, feed


def fault(right: Array, value: Array, usual: Array, again: Callable[[], Array]) -> str | None:
    """What is wrong with a float output at an edge; None if nothing.

    An error counts if it passes `EDGE_DB`, what the last bits of the input already change in the
    source itself (``again``), and a ten-thousandth of what the output usually is.
    """
    if not np.issubdtype(right.dtype, np.floating):
        return None
    finite = np.abs(right.astype(np.float64)) < OVERFLOW
    if not np.isfinite(value[finite]).all():
        return "NaN or infinity where ONNX Runtime gives a number,"
    error = _rms(right[finite] - value[finite])
    if error <= max(_rms(right[finite]) * 10 ** (-EDGE_DB / 20), 1e-4 * _rms(usual[np.isfinite(usual)])):
        return None
    other = again()
    both = finite & np.isfinite(other)
    unsettled = not both.any() or error <= 10 * _rms(right[both] - other[both])
    return None if unsettled else f"an error of {error:.2g}"


def shaken(known: ReferenceRun, feed: dict[str, Array], output: str) -> Array:
    """What the source gives when its inputs change by a few of their last bits."""
    random = np.random.default_rng(0)
    outputs = known.again(
        {
            name: (value * (1 + SHAKE * random.standard_normal(value.shape))).astype(value.dtype)
            if np.issubdtype(value.dtype, np.floating)
            else value
            for name, value in feed.items()
        }
    )
    return outputs[output]


SHAKE = 1e-6
"""Relative, some ten steps of float32: as far as orders of summation take apart."""


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) if values.size else 0.0
