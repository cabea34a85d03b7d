"""How operators of the converter's intermediate form commute with a permutation of axes.

A tensor *is stored permuted* by an order where axis *k* of what is stored is axis ``order[k]`` of what it
was. An operator commutes if its results, stored so, follow from operands that are stored so, by
the same operator with other constants. Nothing is concluded from sizes, but for axes of size 1, which a
transposition moves without moving a byte.
"""

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx2tf.tflite_builder.ir import TensorIR

Order = tuple[int, ...]
Groups = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Rule:
    """What an operator says to a permutation of its operands.

    ``groups`` gives the activations that may be stored permuted: those of one group together or not at
    all, each group for itself. ``change`` makes the operator right, once those in ``stored`` are.
    """

    groups: Callable[[Any, Any, Order], Groups]
    change: Callable[[Any, Any, Order, Container[str]], None]


def inverse(order: Order) -> Order:
    """The order that undoes an order."""
    return tuple(int(axis) for axis in np.argsort(order))


def sizes(lowered: Any, name: str) -> tuple[int, ...]:
    """The shape of a tensor."""
    return tuple(int(size) for size in lowered.tensors[name].shape)


def constant(lowered: Any, name: str) -> NDArray[Any] | None:
    """The values of a constant, None for activations."""
    values = lowered.tensors[name].data
    return None if values is None or isinstance(values, bytes) else np.asarray(values)


def add_constant(lowered: Any, stem: str, values: NDArray[Any], dtype: str) -> str:
    """A new constant; its name starts with the stem."""
    name = fresh(lowered, stem)
    shape = [int(size) for size in values.shape]
    lowered.tensors[name] = TensorIR(name, dtype, shape, list(shape), values)
    return name


def fresh(lowered: Any, stem: str) -> str:
    """A tensor's name that is not used yet."""
    count = 0
    while (name := f"{stem}/{count}") in lowered.tensors:
        count += 1
    return name


def order_of(lowered: Any, operator: Any) -> Order | None:
    """The order of a TRANSPOSE; None for other operators, and for one that is computed."""
    values = constant(lowered, operator.inputs[1]) if operator.op_type == "TRANSPOSE" else None
    return None if values is None else tuple(int(axis) for axis in values.reshape(-1))


def moves_bytes(shape: tuple[int, ...], order: Order) -> bool:
    """Whether a transposition of that shape is more than another way to write the shape."""
    moving = [axis for axis in order if shape[axis] != 1]
    return moving != sorted(moving)


def groups(lowered: Any, operator: Any, order: Order) -> Groups:
    """The activations of an operator that may be stored permuted (see `Rule`)."""
    rule = RULES.get(operator.op_type)
    names = [*operator.inputs, *operator.outputs]
    if rule is None or any(name not in lowered.tensors or lowered.tensors[name].is_variable for name in names):
        return ()
    rank = len(order)
    found = rule.groups(lowered, operator, order)
    return tuple(g for g in found if g and all(len(sizes(lowered, name)) == rank for name in g))


def change(lowered: Any, operator: Any, order: Order, stored: Container[str]) -> None:
    """Make an operator right for operands and results that are stored permuted; in place, shapes excepted."""
    RULES[operator.op_type].change(lowered, operator, order, stored)


def _replace(lowered: Any, operator: Any, position: int, values: NDArray[Any]) -> None:
    old = operator.inputs[position]
    operator.inputs[position] = add_constant(lowered, old, values, lowered.tensors[old].dtype)


def _elementwise(lowered: Any, operator: Any, order: Order) -> Groups:
    """Every activation; none may have another rank, but for a single number."""
    moved = []
    for name in dict.fromkeys((*operator.inputs, *operator.outputs)):
        shape = sizes(lowered, name)
        if lowered.tensors[name].data is not None:
            if len(shape) > len(order) or constant(lowered, name) is None:
                return ()
        elif len(shape) == len(order):
            moved.append(name)
        elif name in operator.outputs or np.prod(shape) != 1:
            return ()
    return (tuple(moved),)


def _broadcast(lowered: Any, operator: Any, order: Order, _: Container[str]) -> None:
    """Constants get every axis that broadcasting would add, and are permuted."""
    for position, name in enumerate(operator.inputs):
        values = constant(lowered, name)
        if values is not None and values.size > 1:
            whole = values.reshape((1,) * (len(order) - values.ndim) + values.shape)
            _replace(lowered, operator, position, np.ascontiguousarray(whole.transpose(order)))


def _by_axis(*positions: int) -> Rule:
    """Operators whose constants at these positions have a row for each axis (PAD, SLICE, TILE)."""

    def found(lowered: Any, operator: Any, order: Order) -> Groups:
        """Data and result; nothing if a row is missing, or a slice's masks change the axes."""
        rows = [constant(lowered, operator.inputs[position]) for position in positions]
        fits = all(values is not None and values.shape[:1] == (len(order),) for values in rows)
        return ((operator.inputs[0], operator.outputs[0]),) if fits and not _masks(operator) else ()

    def put(lowered: Any, operator: Any, order: Order, _: Container[str]) -> None:
        """Rows go with their axes, and so do the bits of a slice's masks."""
        for position in positions:
            values = constant(lowered, operator.inputs[position])
            if values is not None:
                _replace(lowered, operator, position, np.ascontiguousarray(values[list(order)]))
        for mask in ("beginMask", "endMask"):
            bits = int(operator.options.get(mask, 0))
            if bits:
                operator.options[mask] = sum((bits >> axis & 1) << k for k, axis in enumerate(order))

    return Rule(found, put)


def _masks(operator: Any) -> bool:
    """Whether a slice adds or drops axes, or counts its ends from its begins."""
    kinds = ("ellipsisMask", "newAxisMask", "shrinkAxisMask", "offset")
    return any(int(operator.options.get(kind, 0)) for kind in kinds)


def _along(data: int, axes: int) -> Rule:
    """Operators that work along the axes named by the constant at ``axes`` (reductions, SPLIT, ARG_MAX)."""

    def found(lowered: Any, operator: Any, order: Order) -> Groups:
        """See `_kept`; nothing if the axes are computed."""
        named = constant(lowered, operator.inputs[axes])
        if named is None:
            return ()
        return _kept(lowered, operator, data, {int(axis) % len(order) for axis in named.reshape(-1)}, order)

    def put(lowered: Any, operator: Any, order: Order, _: Container[str]) -> None:
        """The same axes, by their new places."""
        named = np.asarray(constant(lowered, operator.inputs[axes]))
        mapped = [order.index(int(axis) % len(order)) for axis in named.reshape(-1)]
        _replace(lowered, operator, axes, np.asarray(mapped, named.dtype).reshape(named.shape))

    return Rule(found, put)


def _kept(lowered: Any, operator: Any, data: int, dropped: set[int], order: Order) -> Groups:
    """Operand and results if the rank stays; the operand alone if what is left keeps its order."""
    if all(len(sizes(lowered, name)) == len(order) for name in operator.outputs):
        return ((operator.inputs[data], *operator.outputs),)
    left = [axis for axis in order if axis not in dropped]
    return ((operator.inputs[data],),) if left == sorted(left) else ()


def _concatenated(lowered: Any, operator: Any, order: Order) -> Groups:
    same_rank = all(len(sizes(lowered, name)) == len(order) for name in operator.inputs)
    return _elementwise(lowered, operator, order) if same_rank else ()


def _gathered(lowered: Any, operator: Any, order: Order) -> Groups:
    indices = constant(lowered, operator.inputs[1])
    if indices is None or indices.ndim > 1 or int(operator.options.get("batchDims", 0)):
        return ()
    return _kept(lowered, operator, 0, {int(operator.options["axis"]) % len(order)}, order)


def _axis_option(lowered: Any, operator: Any, order: Order, stored: Container[str]) -> None:
    operator.options["axis"] = order.index(int(operator.options["axis"]) % len(order))
    if operator.op_type == "CONCATENATION":
        _broadcast(lowered, operator, order, stored)


def _either_side(lowered: Any, operator: Any, order: Order) -> Groups:
    """A transposition takes operand and result permuted or not; a reshape those whose bytes stay where they are."""
    sides = (operator.inputs[0], operator.outputs[0])
    if operator.op_type == "TRANSPOSE":
        return tuple((side,) for side in sides) if order_of(lowered, operator) is not None else ()
    shapes = {side: sizes(lowered, side) for side in sides}
    return tuple((s,) for s, shape in shapes.items() if len(shape) == len(order) and not moves_bytes(shape, order))


def _compose(lowered: Any, operator: Any, order: Order, stored: Container[str]) -> None:
    own = order_of(lowered, operator) or ()
    after = [own[axis] for axis in order] if operator.outputs[0] in stored else list(own)
    back = inverse(order)
    composed = [back[axis] for axis in after] if operator.inputs[0] in stored else after
    _replace(lowered, operator, 1, np.asarray(composed, np.int32))


def _respell(lowered: Any, operator: Any, order: Order, stored: Container[str]) -> None:
    out = operator.outputs[0]
    if out in stored:
        shape = sizes(lowered, out)
        operator.inputs[1:] = [
            add_constant(lowered, f"{out}/shape", np.asarray([shape[axis] for axis in order], np.int32), "INT32")
        ]
        operator.options = {"newShape": [shape[axis] for axis in order]}


ELEMENTWISE = (
    "ABS", "ADD", "ADD_N", "ATAN2", "CAST", "CEIL", "COS", "DEQUANTIZE", "DIV", "ELU", "EQUAL", "EXP", "FAKE_QUANT",
    "FLOOR", "FLOOR_DIV", "FLOOR_MOD", "GELU", "GREATER", "GREATER_EQUAL", "HARD_SWISH", "LEAKY_RELU", "LESS",
    "LESS_EQUAL", "LOG", "LOGICAL_AND", "LOGICAL_NOT", "LOGICAL_OR", "LOGISTIC", "MAXIMUM", "MINIMUM", "MUL", "NEG",
    "NOT_EQUAL", "POW", "PRELU", "QUANTIZE", "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "ROUND", "RSQRT",
    "SELECT_V2", "SIGN", "SIN", "SQRT", "SQUARE", "SQUARED_DIFFERENCE", "SUB", "TANH", "ZEROS_LIKE",
)  # fmt: skip
"""Operators that compute element by element and broadcast as numpy does."""

REDUCTIONS = ("MEAN", "SUM", "REDUCE_ALL", "REDUCE_ANY", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD")

RULES: dict[str, Rule] = {
    **dict.fromkeys(ELEMENTWISE, Rule(_elementwise, _broadcast)),
    **dict.fromkeys((*REDUCTIONS, "ARG_MAX", "ARG_MIN", "CUMSUM", "REVERSE_V2"), _along(0, 1)),
    **dict.fromkeys(("PAD", "PADV2", "MIRROR_PAD", "TILE"), _by_axis(1)),
    "SLICE": _by_axis(1, 2),
    "STRIDED_SLICE": _by_axis(1, 2, 3),
    "SPLIT": _along(1, 0),
    "SPLIT_V": _along(0, 2),
    "CONCATENATION": Rule(_concatenated, _axis_option),
    "GATHER": Rule(_gathered, _axis_option),
    "TRANSPOSE": Rule(_either_side, _compose),
    "RESHAPE": Rule(_either_side, _respell),
}
"""The operators that commute, each with how."""
