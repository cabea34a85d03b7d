"""Division by a norm as L2_NORMALIZATION, the one form of it that integers have.

x / max(‖x‖, ε), x / (‖x‖ + ε), x / √(Σx² + ε), x · 1/√max(Σx², ε), and the same of the mean of squares (RMS
normalization: √n times as large) are chains that stay float for their guard. L2_NORMALIZATION has its guard in the
kernel: integers of which all are 0 give 0. It is the same function if ε is so small that only they are bounded
by it: any other integers have a norm of one level at least.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from edgekit.backends.tflite.ranges import Range
from edgekit.equalization.observing import Observed
from edgekit.waist import edit, graph
from edgekit.waist.exact import Wiring
from edgekit.waist.graph import Operator

LEVELS = 255
"""Of int8, between the ends of a range."""

SMALL = 0.1
"""The most that an ε may be, in levels: it changes the norm of a single level by 10 %, of two hundred by nothing."""


@dataclass(frozen=True)
class Norm:
    """``made`` is ``x`` divided by its norm along the last axis, times ``factor``; ``guard``: what bounds the norm."""

    x: int
    made: int
    factor: float
    guard: float


def fuse(model: Any, observed: dict[int, Observed]) -> dict[int, Range] | None:
    """Fuse such divisions in place; tensors keep their indices, operators do not.

    Args:
        model: object tree of a float file.
        observed: its activations over the calibration samples.

    Returns:
        Ranges of new tensors; None if nothing was fused.
    """
    wiring = Wiring(graph.describe(model)[0])
    found = [norm for operator in wiring.graph.operators if (norm := _norm(model, wiring, operator)) is not None]
    chosen = [norm for norm in found if _guards_zeros_alone(norm, observed)]
    ranges: dict[int, Range] = {}
    for norm in chosen:
        _write(model, wiring, norm, ranges)
    _drop_unread(model)
    return ranges if chosen else None


def _guards_zeros_alone(norm: Norm, observed: dict[int, Observed]) -> bool:
    seen = observed.get(norm.x)
    return seen is not None and norm.guard <= SMALL * (max(seen.high, 0.0) - min(seen.low, 0.0)) / LEVELS


def _norm(model: Any, wiring: Wiring, operator: Operator) -> Norm | None:
    """What an operator divides by a norm, if it does."""
    if operator.name not in {"DIV", "MUL"} or operator.options.get("fusedActivationFunction"):
        return None
    for x, divisor in (operator.inputs, operator.inputs[::-1])[: 1 if operator.name == "DIV" else 2]:
        root = wiring.producer.get(divisor)
        if operator.name == "DIV":
            under, outside = _guarded(model, wiring, divisor)
            root = wiring.producer.get(under)
            wanted = "SQRT"
        else:
            outside, wanted = 0.0, "RSQRT"
        if root is None or root.name != wanted:
            continue
        summed, inside = _guarded(model, wiring, root.inputs[0])
        count = _sum_of_squares(model, wiring, summed, x)
        if count is not None:
            guard = (outside + sqrt(inside)) * sqrt(count)
            return Norm(x=x, made=operator.outputs[0], factor=sqrt(count), guard=guard)
    return None


def _guarded(model: Any, wiring: Wiring, tensor: int) -> tuple[int, float]:
    """What is behind the bounds and additions of small constants that make a tensor, and their sum."""
    guard = 0.0
    while (made := wiring.producer.get(tensor)) is not None and made.name in {"ADD", "MAXIMUM"}:
        constants = [graph.constant(model, 0, index) for index in made.inputs]
        small = {k: float(c.ravel()[0]) for k, c in enumerate(constants) if c is not None and c.size == 1}
        if len(small) != 1 or min(small.values()) < 0 or made.options.get("fusedActivationFunction"):
            break
        ((place, value),) = small.items()
        guard, tensor = guard + value, made.inputs[1 - place]
    return tensor, guard


def _sum_of_squares(model: Any, wiring: Wiring, tensor: int, x: int) -> float | None:
    """What a sum of x² along the last axis is divided by: 1, or n if it is a mean; None if a tensor is neither."""
    made, tensors = wiring.producer.get(tensor), wiring.graph.tensors
    if made is None or made.name not in {"SUM", "MEAN"}:
        return None
    axes, square = graph.constant(model, 0, made.inputs[1]), wiring.producer.get(made.inputs[0])
    shape = tensors[x].shape
    along_last = axes is not None and [int(axis) % len(shape) for axis in np.ravel(axes)] == [len(shape) - 1]
    if not along_last or tensors[tensor].shape != (*shape[:-1], 1) or square is None:
        return None
    twice = square.name == "MUL" and set(square.inputs) == {x}
    if not twice and not (square.name == "SQUARE" and square.inputs[0] == x):
        return None
    return float(shape[-1]) if made.name == "MEAN" else 1.0


def _write(model: Any, wiring: Wiring, norm: Norm, ranges: dict[int, Range]) -> None:
    main, at = model.subgraphs[0], edit.producer(model, norm.made)
    del main.operators[at]
    unit = norm.made
    if norm.factor != 1.0:
        tensor = wiring.graph.tensors[norm.made]
        unit = edit.add_tensor(main, f"{tensor.name}_unit", tensor.shape)
        factor = edit.add_constant(model, f"{tensor.name}_factor", np.array([norm.factor], np.float32))
        ranges[unit] = -1.0, 1.0
        edit.add_operator(model, "MUL", [unit, factor], [norm.made], at=at, kind="MulOptions")
    edit.add_operator(model, "L2_NORMALIZATION", [norm.x], [unit], at=at, kind="L2NormOptions")


def _drop_unread(model: Any) -> None:
    """Drop operators that nobody reads any more, in place: those that led to the norms."""
    main = model.subgraphs[0]
    while True:
        read = {int(tensor) for operator in main.operators for tensor in operator.inputs} | set(
            graph.ints(main.outputs)
        )
        left = [
            operator
            for operator in main.operators
            if not len(operator.outputs) or read & set(graph.ints(operator.outputs))
        ]
        if len(left) == len(main.operators):
            break
        main.operators = left
    edit.sweep(model)
