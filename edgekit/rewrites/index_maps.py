"""What an operator that only moves values moves where, and the shortest way to move them so.

A tensor is taken for the flat indices, in another one, of the values that it holds. Whatever chain of RESHAPE,
TRANSPOSE, SLICE, GATHER and SPLIT leads from the one to the other, the indices tell what it does.
"""

from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.rewrites.main_graph import MainGraph, Node

Indices = NDArray[np.int64]
Shape = tuple[int, ...]
Step = tuple[str, tuple[Any, ...]]
"""An operator that moves values, and what it is told: a shape, an order of axes, or begins, ends and strides."""

MOVERS = frozenset({
    "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "GATHER", "SLICE", "STRIDED_SLICE", "SPLIT", "UNPACK",
})  # fmt: skip

COSTS = {"RESHAPE": 1, "SQUEEZE": 1, "EXPAND_DIMS": 1, "SLICE": 3, "STRIDED_SLICE": 3, "UNPACK": 3, "SPLIT": 3}
"""What moving costs, roughly: a reshape moves nothing on most runtimes, a transpose reads memory out of order."""

OTHER_COST = 4

MOST_AXES = 4
"""Of what GPU delegates and accelerators take; a transpose of more costs twice."""


def data(node: Node) -> int:
    """The tensor whose values a mover moves."""
    return node.inputs[1] if node.name == "SPLIT" else node.inputs[0]


def cost(name: str, axes: int) -> int:
    """What an operator that moves a tensor of so many axes costs, in the units of `COSTS`."""
    own = COSTS.get(name, OTHER_COST)
    return own * 2 if axes > MOST_AXES and own == OTHER_COST else own


def moved(main: MainGraph, node: Node, given: Indices) -> tuple[Indices, ...] | None:
    """Where each output's values come from, if the input's come from ``given``; None if it depends on values."""
    shapes = [main.shape(tensor) for tensor in node.outputs]
    found = _moved(main, node, given)
    if found is None or [part.size for part in found] != [prod(shape) for shape in shapes]:
        return None
    return tuple(part.reshape(shape) for part, shape in zip(found, shapes, strict=True))


def _moved(main: MainGraph, node: Node, given: Indices) -> tuple[Indices, ...] | None:
    told: list[Any] = [main.constant(tensor) for tensor in node.inputs]
    found: tuple[Indices, ...] | None = None
    match node.name:
        case "RESHAPE" | "SQUEEZE" | "EXPAND_DIMS":
            found = (given,)
        case "UNPACK":
            axis = int(node.options["axis"])
            found = tuple(np.take(given, number, axis) for number in range(given.shape[axis]))
        case "TRANSPOSE" if told[1] is not None:
            found = (given.transpose(told[1]),)
        case "GATHER" if told[1] is not None and not node.options.get("batchDims"):
            axis = int(node.options.get("axis") or 0)
            inside = np.all((told[1] >= 0) & (told[1] < given.shape[axis]))
            found = (np.take(given, told[1], axis),) if inside else None
        case "SPLIT" if told[0] is not None:
            found = tuple(np.split(given, len(node.outputs), int(told[0].ravel()[0])))
        case "SLICE" if told[1] is not None and told[2] is not None:
            pairs = zip(told[1].tolist(), told[2].tolist(), strict=True)
            found = (given[tuple(slice(begin, None if size < 0 else begin + size) for begin, size in pairs)],)
        case "STRIDED_SLICE":
            found = _strided(node.options, told[1:], given)
    return found


def _strided(options: dict[str, Any], bounds: list[Any], given: Indices) -> tuple[Indices, ...] | None:
    if any(bound is None for bound in bounds) or options.get("ellipsisMask") or options.get("newAxisMask"):
        return None
    slices: list[Any] = []
    for axis, (begin, end, stride) in enumerate(zip(*(bound.tolist() for bound in bounds), strict=True)):
        if options.get("shrinkAxisMask", 0) >> axis & 1:
            slices.append(begin)
            continue
        first = None if options.get("beginMask", 0) >> axis & 1 else begin
        last = None if options.get("endMask", 0) >> axis & 1 else end
        slices.append(slice(first, last, stride))
    return (given[tuple(slices)],)


def steps(shape: Shape, wanted: Indices) -> list[Step] | None:
    """The shortest way to move values of a tensor of a shape to where they are wanted; None if none is known."""
    found = _sliced(shape, wanted) if wanted.size < prod(shape) else ([], shape, wanted)
    if found is None:
        return None
    first, inner, indices = found
    rest = _arranged(inner, indices)
    return None if rest is None else [*first, *rest]


def _sliced(shape: Shape, wanted: Indices) -> tuple[list[Step], Shape, Indices] | None:
    """A slice with all values that are wanted and no others, its shape, and the values' indices in it."""
    bounds: list[tuple[int, int, int]] = []
    places: list[Indices] = []
    for coordinates, size in zip(np.unravel_index(wanted.ravel(), shape), shape, strict=True):
        seen = np.flatnonzero(np.bincount(coordinates, minlength=size))
        stride = int(seen[1] - seen[0]) if len(seen) > 1 else 1
        if np.any(np.diff(seen) != stride):
            return None
        bounds.append((int(seen[0]), int(seen[-1]) + 1, stride))
        places.append((coordinates - seen[0]) // stride)
    inner = tuple((end - begin - 1) // stride + 1 for begin, end, stride in bounds)
    if prod(inner) != wanted.size:
        return None
    name = "SLICE" if all(stride == 1 for _, _, stride in bounds) else "STRIDED_SLICE"
    indices = np.ravel_multi_index(tuple(places), inner).reshape(wanted.shape).astype(np.int64)
    return [(name, tuple(bounds))], inner, indices


def _arranged(shape: Shape, wanted: Indices) -> list[Step] | None:
    """Ways to reshape and transpose a whole tensor, the cheapest that gives what is wanted."""
    if np.array_equal(wanted.ravel(), np.arange(wanted.size)):
        return [] if wanted.shape == shape else [("RESHAPE", wanted.shape)]
    factors = _factors(wanted)
    if factors is None:
        return None
    for parts in (_whole_axes(shape, factors), _axes_of_result(shape, wanted.shape, factors), _general(shape, factors)):
        if parts is None:
            continue
        before, order = parts
        made = tuple(before[axis] for axis in order)
        first: list[Step] = [] if before == shape else [("RESHAPE", before)]
        last: list[Step] = [] if made == wanted.shape else [("RESHAPE", wanted.shape)]
        return [*first, ("TRANSPOSE", order), *last]
    return None


def _factors(wanted: Indices) -> list[tuple[int, int]] | None:
    """Sizes and strides, outer to inner, by which the indices are affine; neighbours that go on are one."""
    found: list[tuple[int, int]] = []
    origin = (0,) * wanted.ndim
    for axis, size in enumerate(wanted.shape):
        line: tuple[Any, ...] = (*origin[:axis], slice(None), *origin[axis + 1 :])
        along = wanted[line] - wanted[origin]
        parts: list[tuple[int, int]] = []
        while len(along) > 1:
            stride = int(along[1])
            breaks = np.flatnonzero(along != stride * np.arange(len(along)))
            run = int(breaks[0]) if len(breaks) else len(along)
            if stride <= 0 or len(along) % run:
                return None
            parts.insert(0, (run, stride))
            along = along[::run]
        if prod(part for part, _ in parts) != size:
            return None
        found += parts
    rebuilt = np.zeros(1, np.int64)
    for size, stride in found:
        rebuilt = (rebuilt[:, None] + stride * np.arange(size)).ravel()
    return found if np.array_equal(rebuilt, wanted.ravel()) else None


Arrangement = tuple[Shape, tuple[int, ...]]
"""A shape, and the order in which its axes are read."""


def _strides(shape: Shape) -> list[int]:
    return [prod(shape[axis + 1 :]) for axis in range(len(shape))]


def _whole_axes(shape: Shape, factors: list[tuple[int, int]]) -> Arrangement | None:
    """Axes of the tensor as it is, if each is read as a whole; axes of 1 stay in front."""
    axes = {
        (size, stride): axis for axis, (size, stride) in enumerate(zip(shape, _strides(shape), strict=True)) if size > 1
    }
    order: list[int] = []
    for size, stride in factors:
        left, step = size, stride * size
        while left > 1:  # a factor may go over several axes
            axis = next((a for (n, s), a in axes.items() if s * n == step and left % n == 0), None)
            if axis is None:
                return None
            order.append(axis)
            left, step = left // shape[axis], step // shape[axis]
    ones = [axis for axis, size in enumerate(shape) if size == 1]
    if sorted([*order, *ones]) != list(range(len(shape))):
        return None
    return shape, (*ones, *order)


def _axes_of_result(shape: Shape, result: Shape, factors: list[tuple[int, int]]) -> Arrangement | None:
    """A shape of which the result is a permutation, if each axis of the result is one factor."""
    del shape
    if [size for size, _ in factors] != [size for size in result if size > 1]:
        return None
    strides = iter(stride for _, stride in factors)
    held = [(next(strides) if size > 1 else 0, axis) for axis, size in enumerate(result)]
    ones = [axis for stride, axis in held if not stride]
    by_stride = [axis for stride, axis in sorted(held, reverse=True) if stride]
    before = [*ones, *by_stride]
    return tuple(result[axis] for axis in before), tuple(before.index(axis) for axis in range(len(result)))


def _general(shape: Shape, factors: list[tuple[int, int]]) -> Arrangement | None:
    del shape
    merged = [factors[0]]
    for (_, stride), (size, inner) in pairwise(factors):
        if stride == size * inner:
            merged[-1] = merged[-1][0] * size, inner
        else:
            merged.append((size, inner))
    order = sorted(range(len(merged)), key=lambda k: -merged[k][1])
    return tuple(merged[k][0] for k in order), tuple(order.index(k) for k in range(len(merged)))
