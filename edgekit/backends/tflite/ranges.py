"""The range each activation is given before it is quantized.

One pass over the samples observes every float activation (`observing`); ranges are then chosen by one of several
`METHODS`, and if an activation only feeds a softmax, logistic or tanh, by the error *after* that
function: a logit of -700 matters no more than one of -20, yet would take nearly all 256 levels.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.equalization.observing import ALL_ROWS, FINITE, KEPT_ROWS, Observed, saturating
from edgekit.waist import fusing
from edgekit.waist.exact import ELEMENTWISE, MOVES, Wiring
from edgekit.waist.graph import Graph, Operator

Floats = NDArray[np.floating[Any]]
Range = tuple[float, float]

BINS = 2048
"""Bins of the histogram on which squared error is estimated (TensorRT's entropy calibrator uses as many)."""


WIDEST = 1e38
"""The furthest end of a range: its width is still a float32 number."""

HARD_SWISH_STEPS = 127.0
"""A HARD_SWISH whose output spans less than this part of its input is refused (LiteRT's activations.cc: 128)."""

NARROWEST = 1e-20
"""The least width of a range: scales stay normal float32 numbers, also when multiplied by those of weights."""


def saturated(graph: Graph, activations: dict[int, Observed]) -> dict[int, Range]:
    """Ranges of the activations that feed nothing but a saturating function, whatever the method is."""
    functions = {index: name for index, name in saturating(graph).items() if index in activations}
    wiring, most = Wiring(graph), ALL_ROWS // max(1, len(functions))
    shown = {tensor for operator in wiring.chain(graph.outputs, MOVES | ELEMENTWISE) for tensor in operator.inputs}
    looked = {index: _rows(name, activations[index], min(KEPT_ROWS, most)) for index, name in functions.items()}
    return {
        index: _after(functions[index], rows, activations[index], whole=index in shown)
        for index, rows in looked.items()
        if rows.size
    }


def _rows(function: str, seen: Observed, most: int) -> Floats:
    """What of an activation is looked at: whole rows before a softmax, else ``most`` values of whatever rows."""
    if function == "SOFTMAX":
        return _finite(seen.rows)
    values = _finite(seen.values)
    return values[:: max(1, len(values) // most)]


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
        activations: from `edgekit.equalization.observing.observe`.
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
    return np.nan_to_num(np.concatenate(rows or [np.zeros(0)]).astype(np.float64), posinf=FINITE, neginf=-FINITE)


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


SHOWN = 1 / 256
"""How far a score that an app reads may be cut: a step of its own eight bits."""


def _after(function: str, rows: Floats, seen: Observed, *, whole: bool) -> Range:
    """The range with the least squared error after a saturating function; ties go to the wider one.

    Most scores of a detector are of background, which hides in a mean what becomes of the few that it finds. So what is
    shown as ``whole`` is cut only where the function of the extremes moves by less than `SHOWN`.
    """
    apply = _FUNCTIONS[function]
    ends = np.array([seen.low, seen.high])
    wanted = apply(rows)
    lows = [-3, -6, -10, -15, -20, -30, -50, *np.percentile(rows, [0, 0.01, 0.1, 1, 5, 10, 20, 40])]
    highs = [3, 6, 10, 15, 20, 30, 50, *np.percentile(rows, [60, 80, 90, 95, 99, 99.9, 99.99, 100])]
    floor, ceiling = min(seen.low, 0.0), max(seen.high, 0.0)
    pairs = {
        (max(float(a), floor), min(float(b), ceiling)) for a in (*lows, floor) for b in (*highs, ceiling) if a <= 0 <= b
    }
    if whole and function != "SOFTMAX":
        pairs = {pair for pair in pairs if np.abs(apply(np.clip(ends, *pair)) - apply(ends)).max() <= SHOWN}
    best, least = (floor, ceiling), np.inf
    for low, high in sorted(pairs | {best}, key=lambda pair: pair[0] - pair[1]):
        error = float(((apply(rounded(rows, low, high)) - wanted) ** 2).mean())
        if error < least * 0.98:
            best, least = (low, high), error
    return best
