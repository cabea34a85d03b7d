"""The range each activation is given before it is quantized.

One pass over the samples observes every float activation; ranges are then chosen by one of several
`METHODS`, and if an activation only feeds a softmax, logistic or tanh, by the error *after* that
function: a logit of -700 matters no more than one of -20, yet would take nearly all 256 levels.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.host import events
from edgekit.waist import fusing, run
from edgekit.waist.graph import Graph, Operator
from edgekit.waist.tensors import Array

Floats = NDArray[np.floating[Any]]
Range = tuple[float, float]

KEPT_VALUES = 1 << 16
"""Values remembered for each activation, drawn evenly from all samples: 6 beyond the 99.99th percentile."""

KEPT_ROWS = 1 << 15
"""Values remembered, in whole rows, of an activation that feeds a saturating function."""

ALL_ROWS = 1 << 21
"""The same of all of them together: a recurrent network, unrolled, has hundreds, each of few values."""

FINITE = 3e38
"""Larger magnitudes are masks (-inf written as a bfloat16), as ai-edge-quantizer's min_max_calibrate has it."""

BINS = 2048
"""Bins of the histogram on which squared error is estimated (TensorRT's entropy calibrator uses as many)."""


WIDEST = 1e38
"""The furthest end of a range: its width is still a float32 number."""

HARD_SWISH_STEPS = 127.0
"""A HARD_SWISH whose output spans less than this part of its input is refused (LiteRT's activations.cc: 128)."""

NARROWEST = 1e-20
"""The least width of a range: scales stay normal float32 numbers, also when multiplied by those of weights."""


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
    functions = saturating(graph)
    most = min(KEPT_ROWS, ALL_ROWS // max(1, len(functions)))
    taken = np.arange(len(next(iter(inputs.values())))) if rows is None else rows
    samples = len(taken)
    random = np.random.default_rng(seed)
    outputs: dict[str, list[Array]] = {}
    for sample, made in _runs(path, inputs, taken):
        for index, seen in watched.items():
            values = run.value(made, index)
            if values is not None:
                _look(seen, cast("Floats", values), samples, random, rows=most if index in functions else 0)
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


def saturated(graph: Graph, activations: dict[int, Observed]) -> dict[int, Range]:
    """Ranges of the activations that feed nothing but a saturating function, whatever the method is."""
    seen = {index: name for index, name in saturating(graph).items() if index in activations}
    return {index: _after(name, _finite(rows)) for index, name in seen.items() if (rows := activations[index].rows)}


def choose(
    graph: Graph,
    activations: dict[int, Observed],
    method: str,
    fixed: dict[int, Range] | None = None,
    known: dict[int, Range] | None = None,
) -> dict[int, Range]:
    """A range (low ≤ 0 ≤ high) for each observed activation, by tensor index.

    Args:
        graph: the float graph.
        activations: from `observe`.
        method: one of `METHODS`.
        fixed: ranges that are known beforehand, by tensor index.
        known: those of `saturated`, which cost most and need to be found only once.
    """
    known = saturated(graph, activations) if known is None else known
    ranges = {}
    for index, seen in activations.items():
        low, high = known[index] if index in known else METHODS[method](seen)
        low, high = max(min(low, 0.0), -WIDEST), min(max(high, 0.0), WIDEST)
        ranges[index] = (low, high) if high - low >= NARROWEST else (low, low + NARROWEST)
    for operator in graph.operators:
        if operator.name in RELATED and operator.inputs[0] in ranges and operator.outputs[0] in ranges:
            _relate(operator, ranges)
    ranges |= {index: (min(low, 0.0), max(high, 0.0)) for index, (low, high) in (fixed or {}).items()}
    for index in right_factors(graph) & ranges.keys():
        largest = max(-ranges[index][0], ranges[index][1])
        ranges[index] = -largest * 128 / 127, largest  # zero point 0 to the bit
    return ranges


RELATED = {"HARD_SWISH", "PADV2"}
"""Operators whose kernels relate the range of the first operand to that of the result."""


def _relate(operator: Operator, ranges: dict[int, Range]) -> None:
    """Widen the range of an operator's operand or result where its kernel relates the two."""
    (least, most), (low, high) = ranges[operator.inputs[0]], ranges[operator.outputs[0]]
    if operator.name == "HARD_SWISH":
        ranges[operator.outputs[0]] = low, max(high, low + (most - least) / HARD_SWISH_STEPS)
    elif operator.name == "PADV2":  # the value of the padding is clipped to the operand's range
        whole = min(least, low), max(most, high)
        if whole[1] - whole[0] <= MOST_PADDED * (most - least):
            ranges[operator.inputs[0]] = whole


MOST_PADDED = 2.0
"""How many times wider an operand's range may become for the value that it is padded with: one bit of its values. What
lies beyond, such as -1e9 before a maximum, is clipped."""


def _finite(rows: list[Floats]) -> Floats:
    """Rows in float64, in which differences of the largest float32 are finite; what is no number counts as 0."""
    return np.nan_to_num(np.concatenate(rows).astype(np.float64), posinf=FINITE, neginf=-FINITE)


def _values(seen: Observed) -> Floats:
    """Remembered values in float64: float32 cannot part a nearly constant activation into bins."""
    return np.concatenate(seen.values).astype(np.float64)


SAME_RANGE = {"RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "GATHER", "SPLIT", "UNPACK"}
"""Operators whose outputs must have their input's range."""


def right_factors(graph: Graph) -> set[int]:
    """Activations that are the second factor of a BATCH_MATMUL, and those that share their range.

    They get zero point 0: with another, XNNPACK's int8 kernel is off (an 8×4 by 4×8 product of
    normal values: 13 dB against 28 dB, and 33 dB in LiteRT's own kernel).
    """
    producers = {tensor: operator for operator in graph.operators for tensor in operator.outputs}
    waiting = [operator.inputs[1] for operator in graph.operators if operator.name == "BATCH_MATMUL"]
    found: set[int] = set()
    while waiting:
        tensor = waiting.pop()
        if tensor in found:
            continue
        found.add(tensor)
        producer = producers.get(tensor)
        if producer is not None and producer.name in fusing.JOINS:
            waiting += producer.inputs
        elif producer is not None and producer.name in UNCHANGED:
            waiting.append(producer.inputs[1 if producer.name == "SPLIT" else 0])
    return found


UNCHANGED = (fusing.MOVES - fusing.CLAMPS) | fusing.SAME_GRID
"""Operators of one operand whose integers lie on its grid, whatever range was found for them."""


def _extremes(seen: Observed) -> Range:
    return seen.low, seen.high


def _percentile(share: float) -> Callable[[Observed], Range]:
    def chosen(seen: Observed) -> Range:
        """Clip both tails."""
        low, high = np.percentile(_values(seen), [100 - share, share])
        return float(low), float(high)

    return chosen


def _least_squares(seen: Observed) -> Range:
    """The range whose 256 levels err least: clip one tail, the other, or both by up to 70 %."""
    values = _values(seen)
    counts, edges = np.histogram(values, BINS) if np.ptp(values) else (np.array([values.size]), values[[0, 0]])
    centres, used = ((edges[:-1] + edges[1:]) / 2)[counts > 0], counts[counts > 0]
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)
    if low == high:
        return low, high
    kept = np.linspace(0.3, 1, 29)
    both = np.concatenate(
        [np.stack([kept, kept], 1), np.stack([np.ones(29), kept], 1), np.stack([kept, np.ones(29)], 1)]
    )
    lows, highs = low * both[:, :1], high * both[:, 1:]
    errors = ((rounded(centres[None], lows, highs) - centres) ** 2 * used).sum(1)
    best = int(errors.argmin())
    return float(lows[best, 0]), float(highs[best, 0])


def rounded(
    values: NDArray[np.floating],
    low: NDArray[np.floating] | float,
    high: NDArray[np.floating] | float,
    last: int = 255,
) -> Floats:
    """Values after a trip through integers with the range [low, high] (low ≤ 0 ≤ high) and the levels 0 to ``last``."""
    scale = np.maximum((high - low) / last, 1e-30)
    zero = np.rint(-low / scale)
    found: Floats = (np.clip(np.rint(values / scale) + zero, 0, last) - zero) * scale
    return found


METHODS: dict[str, Callable[[Observed], Range]] = {
    "minmax": _extremes,
    "least-squares": _least_squares,
    "p99.99": _percentile(99.99),
    "p99.9": _percentile(99.9),
}
"""How a range can be chosen; which serves best depends on the network, so the backend tries them."""


def _softmax(rows: Floats) -> Floats:
    powers: Floats = np.exp(rows - rows.max(-1, keepdims=True))
    shares: Floats = powers / powers.sum(-1, keepdims=True)
    return shares


def _logistic(rows: Floats) -> Floats:
    shares: Floats = (np.tanh(rows / 2) + 1) / 2
    return shares


_FUNCTIONS: dict[str, Callable[[Floats], Floats]] = {"SOFTMAX": _softmax, "LOGISTIC": _logistic, "TANH": np.tanh}
_TRANSPARENT = {"RESHAPE", "SQUEEZE", "EXPAND_DIMS"}


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
        if operator.name not in _FUNCTIONS:
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


def _after(function: str, rows: Floats) -> Range:
    """The range with the least squared error after a saturating function; ties go to the wider one."""
    apply = _FUNCTIONS[function]
    wanted = apply(rows)
    lows = [-3, -6, -10, -15, -20, -30, -50, *np.percentile(rows, [0, 0.01, 0.1, 1, 5, 10, 20, 40])]
    highs = [3, 6, 10, 15, 20, 30, 50, *np.percentile(rows, [60, 80, 90, 95, 99, 99.9, 99.99, 100])]
    floor, ceiling = min(float(rows.min()), 0.0), max(float(rows.max()), 0.0)
    pairs = {(max(float(a), floor), min(float(b), ceiling)) for a in lows for b in highs if a <= 0 <= b}
    best, least = (floor, ceiling), np.inf
    for low, high in sorted(pairs | {best}, key=lambda pair: pair[0] - pair[1]):
        error = float(((apply(rounded(rows, low, high)) - wanted) ** 2).mean())
        if error < least * 0.98:
            best, least = (low, high), error
    return best
