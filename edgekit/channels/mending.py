"""Operands and options that name shapes and places, set anew once channels are gone."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.waist import graph
from edgekit.waist.graph import Operator
from edgekit.waist.tensors import Array

if TYPE_CHECKING:
    from edgekit.channels.cutting import Rest

Mending = Callable[["Rest", Operator, Any], Iterator[tuple[int, Array]]]
"""From what is left, the operator, and its object tree: slots and their new values."""


def _given(what: "Rest", operator: Operator, slot: int) -> Array:
    return what.dependencies.values((operator.index, slot))


def _changed(what: "Rest", tensor: int) -> bool:
    return not what.whole(what.dependencies.tensors.get(tensor, ()))


def _result(what: "Rest", operator: Operator) -> tuple[int, ...]:
    return what.shape(what.dependencies.tensors[operator.outputs[0]])


def _dtype(what: "Rest", operator: Operator, slot: int) -> str:
    return what.dependencies.graph.tensors[operator.inputs[slot]].dtype


def _shape_in(slot: int) -> Mending:
    """An operand is the shape of the result."""

    def mended(what: "Rest", operator: Operator, tree: Any) -> Iterator[tuple[int, Array]]:
        """The operand by its slot; the same shape in RESHAPE's options is changed in place."""
        if not _changed(what, operator.outputs[0]):
            return
        shape = _result(what, operator)
        if operator.name == "RESHAPE" and tree.builtinOptions is not None:
            tree.builtinOptions.newShape = np.array(shape, np.int32)
        if slot < len(operator.inputs) and operator.inputs[slot] >= 0:
            yield slot, np.array(shape, _dtype(what, operator, slot))

    return mended


def _axes_read(what: "Rest", operator: Operator) -> list[Any]:
    """Which indices of each axis of the first operand stay."""
    return [what.kept(ids) for ids in what.dependencies.tensors[operator.inputs[0]]]


def _slice(what: "Rest", operator: Operator, _: Any) -> Iterator[tuple[int, Array]]:
    if not _changed(what, operator.inputs[0]):
        return
    begin, size = _given(what, operator, 1), _given(what, operator, 2)
    starts = [int(kept[:start].sum()) for kept, start in zip(_axes_read(what, operator), begin, strict=True)]
    yield 1, np.array(starts, begin.dtype)
    yield 2, np.array(_result(what, operator), size.dtype)


def _strided_slice(what: "Rest", operator: Operator, _: Any) -> Iterator[tuple[int, Array]]:
    """Only axes that are taken in steps of 1, with an axis of the result each, have changed."""
    if not _changed(what, operator.inputs[0]):
        return
    begin, end = _given(what, operator, 1).copy(), _given(what, operator, 2).copy()
    for axis, kept in enumerate(_axes_read(what, operator)[: begin.size]):
        if kept.all():
            continue
        stop = begin[axis] + end[axis] if operator.options.get("offset") else end[axis]
        first, last, _ = slice(int(begin[axis]), int(stop)).indices(kept.size)
        start = int(kept[:first].sum())
        size = int(kept[first:last].sum())
        begin[axis], end[axis] = start, size if operator.options.get("offset") else start + size
    yield 1, begin
    yield 2, end


def _sizes(what: "Rest", operator: Operator, _: Any) -> Iterator[tuple[int, Array]]:
    """SPLIT_V: how large each part is."""
    if not _changed(what, operator.inputs[0]):
        return
    (number,) = _given(what, operator, 2).ravel()
    sizes = [what.shape(what.dependencies.tensors[index])[int(number)] for index in operator.outputs]
    yield 1, np.array(sizes, _dtype(what, operator, 1))


def _around(what: "Rest", operator: Operator, _: Any) -> Iterator[tuple[int, Array]]:
    """PAD: what is added before and after each axis."""
    if not _changed(what, operator.outputs[0]):
        return
    borders = _given(what, operator, 1)
    made = []
    for ids, (before, after) in zip(what.dependencies.tensors[operator.outputs[0]], borders.tolist(), strict=True):
        kept = what.kept(ids)
        made.append([int(kept[:before].sum()), int(kept[ids.size - after :].sum())])
    yield 1, np.array(made, borders.dtype)


def _chosen(what: "Rest", operator: Operator, _: Any) -> Iterator[tuple[int, Array]]:
    """GATHER: chosen channels by their new numbers."""
    source = operator.inputs[0]
    axes = what.dependencies.tensors.get(source) or what.dependencies.constants[operator.index, 0]
    chosen = graph.constant(what.dependencies.tree, 0, operator.inputs[1])
    kept = what.kept(axes[int(operator.options["axis"]) % len(axes)])
    if kept.all() or chosen is None:
        return
    numbers = np.cumsum(kept) - 1
    yield 1, numbers[chosen[kept[chosen]]].astype(chosen.dtype)


def _multiplier(what: "Rest", operator: Operator, tree: Any) -> Iterator[tuple[int, Array]]:
    """DEPTHWISE_CONV_2D: how many results a channel has, which changes if it reads only one."""
    channels = what.shape(what.dependencies.tensors[operator.inputs[0]])[-1]
    tree.builtinOptions.depthMultiplier = _result(what, operator)[-1] // channels
    return iter(())


MENDED: dict[str, Mending] = {
    "RESHAPE": _shape_in(1),
    "BROADCAST_TO": _shape_in(1),
    "TRANSPOSE_CONV": _shape_in(0),
    "SLICE": _slice,
    "STRIDED_SLICE": _strided_slice,
    "SPLIT_V": _sizes,
    "PAD": _around,
    "PADV2": _around,
    "GATHER": _chosen,
    "DEPTHWISE_CONV_2D": _multiplier,
}
"""By operator what has to be mended."""
