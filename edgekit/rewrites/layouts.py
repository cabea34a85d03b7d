"""TRANSPOSE and RESHAPE moved behind what works in either layout, where they meet others and go.

Frameworks that keep channels first turn layouts around each convolution. What lies between two turns works as well
in the other layout: an activation, a sum of two tensors that are turned alike, a concatenation of such; a softmax,
if the last axis stays the last.
"""

from collections.abc import Iterable

import numpy as np

from edgekit.rewrites.index_maps import MOST_AXES, MOVERS
from edgekit.rewrites.main_graph import MainGraph, Node, Replacement

UNARY = frozenset({
    "ABS", "ELU", "EXP", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "NEG", "RELU", "RELU6", "RELU_0_TO_1",
    "RELU_N1_TO_1", "RSQRT", "SQRT", "SQUARE", "TANH",
})  # fmt: skip

BINARY = frozenset({"ADD", "DIV", "MAXIMUM", "MINIMUM", "MUL", "SUB"})

LAST_AXIS = frozenset({"LOG_SOFTMAX", "SOFTMAX"})
"""What works along the last axis, on up to `index_maps.MOST_AXES`."""

ROOTS = UNARY | BINARY | LAST_AXIS | {"CONCATENATION"}

MEETING = MOVERS | ROOTS | {"FULLY_CONNECTED"}
"""Behind what a turn may meet another one; of dense layers see `edgekit.rewrites.dense`."""

TURNS = frozenset({"RESHAPE", "TRANSPOSE"})


def replacement(main: MainGraph, node: Node) -> Replacement | None:
    """The operator on what its operands were before they were turned, and one turn behind it."""
    operands = [tensor for tensor in node.inputs if not main.is_constant(tensor)]
    turns = [main.maker.get(tensor) for tensor in dict.fromkeys(operands)]
    if not turns or not all(_movable(main, turn, node) for turn in turns):
        return None
    first, *others = [turn for turn in turns if turn is not None]
    if node.name in LAST_AXIS and not _keeps_last_axis(main, first):
        return None
    if not _worthwhile(main, first, node, len(turns)):
        return None
    if any(not _alike(main, first, other) for other in others):
        return None
    inputs = _before(main, node, first)
    if inputs is None:
        return None
    return _turned(main, node, [first, *others], inputs)


def _movable(main: MainGraph, turn: Node | None, node: Node) -> bool:
    return (
        turn is not None
        and turn.name in TURNS
        and turn.outputs[0] not in main.outputs
        and all(reader is node for reader in main.readers(turn.outputs[0]))
        and (turn.name == "RESHAPE" or main.constant(turn.inputs[1]) is not None)
    )


def _keeps_last_axis(main: MainGraph, turn: Node) -> bool:
    before, after = main.shape(turn.inputs[0]), main.shape(turn.outputs[0])
    if not before or not after or len(before) > MOST_AXES:
        return False
    return before[-1] == after[-1] if turn.name == "RESHAPE" else _order(main, turn)[-1] == len(before) - 1


def _worthwhile(main: MainGraph, turn: Node, node: Node, turns: int) -> bool:
    """Whether turns become fewer, or may meet others behind it, or the activation meets what it can be fused into."""
    if turns > 1:
        return True
    maker = main.maker.get(turn.inputs[0])
    if node.name in {"RELU", "RELU6"} and maker is not None and "fusedActivationFunction" in maker.options:
        return True
    readers = main.readers(node.outputs[0])
    return bool(readers) and node.outputs[0] not in main.outputs and all(r.name in MEETING for r in readers)


def _alike(main: MainGraph, one: Node, other: Node) -> bool:
    """Whether two operators turn values in the same way."""
    if one.name != other.name:
        return False
    if one.name == "RESHAPE":
        return main.shape(one.inputs[0]) == main.shape(other.inputs[0]) and main.shape(one.outputs[0]) == main.shape(
            other.outputs[0]
        )
    return np.array_equal(main.constant(one.inputs[1]), main.constant(other.inputs[1]))  # type: ignore[arg-type]


def _before(main: MainGraph, node: Node, turn: Node) -> tuple[int, ...] | None:
    """The operands as they are without the turn; None if a constant has no such form."""
    found: list[int] = []
    for tensor in node.inputs:
        constant = main.constant(tensor)
        if constant is None:
            found.append(main.maker[tensor].inputs[0])
        elif constant.size == 1 and constant.ndim <= 1 and node.name != "CONCATENATION":
            found.append(tensor)
        elif turn.name == "TRANSPOSE" and constant.ndim == len(main.shape(turn.outputs[0])):
            found.append(main.add_constant(tensor, "turned", constant.transpose(_inverse(_order(main, turn)))))
        else:
            return None
    return tuple(found)


def _order(main: MainGraph, turn: Node) -> tuple[int, ...]:
    return tuple(int(axis) for axis in main.constant(turn.inputs[1]))  # type: ignore[union-attr]


def _inverse(order: Iterable[int]) -> tuple[int, ...]:
    return tuple(int(axis) for axis in np.argsort(np.asarray(tuple(order))))


def _turned(main: MainGraph, node: Node, turns: list[Node], inputs: tuple[int, ...]) -> Replacement | None:
    options: dict[str, int] = {}
    made = node.outputs[0]
    if turns[0].name == "TRANSPOSE":
        order = _order(main, turns[0])
        if len(order) != len(main.shape(made)):
            return None
        shape = tuple(main.shape(made)[axis] for axis in _inverse(order))
        if node.name == "CONCATENATION":
            options["axis"] = order[int(node.options["axis"]) % len(order)]
        told = turns[0].inputs[1]
        behind_options: dict[str, object] = {}
    else:
        if node.name == "CONCATENATION" or main.shape(made) != main.shape(turns[0].outputs[0]):
            return None
        shape = main.shape(turns[0].inputs[0])
        told = main.add_constant(made, "shape", np.array(main.shape(made), np.int32))
        behind_options = {"newShape": list(main.shape(made))}
    inner = main.activation(made, "before", shape)
    computed = main.like(node, inputs, (inner,), **options)
    kind = "TransposeOptions" if turns[0].name == "TRANSPOSE" else "ReshapeOptions"
    behind = main.node(turns[0].name, (inner, told), (made,), kind, **behind_options)
    return Replacement((*turns, node), (computed, behind))
