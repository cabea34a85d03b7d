"""LSTM, GRU and RNN as primitive operators, unrolled over their static sequence length.

The input's share of the gates is one matrix product over all steps; only the recurrent share is
computed step by step. Formulas and gate orders: the ONNX operator specification (LSTM-14, GRU-14,
RNN-14). Unrolled steps quantize to int8 like any other network, which TFLite's sequence operators
do not, and their file grows with the length: hence `MAX_OPERATORS`.

Padding (``sequence_lens``): a step at or after a sample's length leaves the state and gives 0. Going
backwards from the last step, states then stay initial until the sample begins, which is what
reversing within each length means.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from edgekit.sources.onnx.lowering import sequences
from edgekit.sources.onnx.network import Builder, attributes

MAX_OPERATORS = 12_000
"""Longest unrolling in operators; an LSTM step takes about 13 for each direction."""

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
"""Gates of a cell: how many times its hidden size its weights have rows."""

STEP_OPERATORS = {"LSTM": 13, "GRU": 14, "RNN": 4}
"""Operators of one step of one direction."""

DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
"""Activations of one direction if the node names none (f, g, h in the specification)."""

ALPHA = {"LeakyRelu": 0.01, "ThresholdedRelu": 1.0, "HardSigmoid": 0.2, "Elu": 1.0, "Affine": 1.0, "ScaledTanh": 1.0}
BETA = {"HardSigmoid": 0.5, "Affine": 0.0, "ScaledTanh": 1.0}
"""The specification's default parameters of activations that have some."""


@dataclass(frozen=True)
class Activation:
    """An activation with its parameters."""

    kind: str
    alpha: float
    beta: float


@dataclass(frozen=True)
class Direction:
    """What one direction of a recurrent node computes with: names of values, arrays if constant."""

    kind: str
    hidden: int
    backward: bool
    activations: tuple[Activation, ...]
    clip: float | None
    input_forget: bool
    linear_before_reset: bool
    recurrence: str
    recurrent_bias: str
    peepholes: tuple[str, str, str] | None


def unroll(builder: Builder, node: onnx.NodeProto) -> bool:
    """Replace an LSTM, GRU or RNN; False if its shapes are open, it is too long, or it stays whole."""
    if node.op_type == "LSTM" and (replaced := sequences.whole(builder, node)) is not None:
        return replaced
    shape = builder.network.shape(node.input[0])
    weights = builder.network.shape(node.input[1])
    if shape is None or weights is None:
        return False
    attrs = attributes(node)
    steps, batch = (shape[1], shape[0]) if attrs.get("layout", 0) else shape[:2]
    if steps * STEP_OPERATORS[node.op_type] * weights[0] > MAX_OPERATORS:
        return False
    x = builder.transpose(node.input[0], [1, 0, 2]) if attrs.get("layout", 0) else node.input[0]
    masks = _masks(builder, _input(node, 4), steps, batch)
    directions = [_direction(builder, node, attrs, i) for i in range(weights[0])]
    runs = []
    for i, direction in enumerate(directions):
        projected = _projected(builder, node, x, (steps, batch), i)
        runs.append(_run(builder, direction, projected, masks, _first(builder, node, i, (batch, direction.hidden))))
    _give(builder, node, runs, (steps, batch, directions[0].hidden), batch_first=bool(attrs.get("layout", 0)))
    return True


def _input(node: onnx.NodeProto, index: int) -> str:
    return node.input[index] if index < len(node.input) else ""


def _of_direction(builder: Builder, name: str, index: int) -> str:
    """One direction's part of a value whose first axis is the direction."""
    shape = builder.network.shape(name) or ()
    value = builder.network.constants.get(name)
    if value is not None:
        return builder.const(value[index])
    return builder.reshape(builder.slice(name, 0, index, index + 1), shape[1:])


def _transposed(builder: Builder, name: str) -> str:
    value = builder.network.constants.get(name)
    return builder.transpose(name, [1, 0]) if value is None else builder.const(np.ascontiguousarray(value.T))


def _direction(builder: Builder, node: onnx.NodeProto, attrs: dict[str, Any], index: int) -> Direction:
    hidden = (builder.network.shape(node.input[2]) or (0, 0, 0))[-1]
    gates = GATES[node.op_type]
    bias = _input(node, 3)
    part = _of_direction(builder, bias, index) if bias else builder.const(np.zeros(2 * gates * hidden, np.float32))
    peepholes = _input(node, 7)
    if peepholes:
        whole = _of_direction(builder, peepholes, index)
        cut = tuple(builder.slice(whole, 0, i * hidden, (i + 1) * hidden) for i in range(3))
    return Direction(
        kind=node.op_type,
        hidden=hidden,
        backward=attrs.get("direction", "forward") == "reverse" or index == 1,
        activations=_activations(node.op_type, attrs, index),
        clip=attrs.get("clip"),
        input_forget=bool(attrs.get("input_forget", 0)),
        linear_before_reset=bool(attrs.get("linear_before_reset", 0)),
        recurrence=_transposed(builder, _of_direction(builder, node.input[2], index)),
        recurrent_bias=builder.slice(part, 0, gates * hidden, 2 * gates * hidden),
        peepholes=(cut[0], cut[1], cut[2]) if peepholes else None,
    )


def _activations(kind: str, attrs: dict[str, Any], index: int) -> tuple[Activation, ...]:
    """One direction's activations; parameters are listed only for those that take some."""
    names = [_spelled(name) for name in attrs.get("activations", [])] or list(DEFAULTS[kind]) * 2
    alphas, betas = list(attrs.get("activation_alpha", [])), list(attrs.get("activation_beta", []))
    made = [
        Activation(
            name,
            alphas.pop(0) if name in ALPHA and alphas else ALPHA.get(name, 0.0),
            betas.pop(0) if name in BETA and betas else BETA.get(name, 0.0),
        )
        for name in names
    ]
    count = len(DEFAULTS[kind])
    return tuple(made[index * count : (index + 1) * count])


def _spelled(name: str) -> str:
    """Names of activations are case-insensitive in ONNX Runtime (CNTK wrote them in capitals)."""
    known = {*ALPHA, *BETA, "Relu", "Tanh", "Sigmoid", "Softsign", "Softplus"}
    return next((spelled for spelled in known if spelled.lower() == name.lower()), name)


def _activate(builder: Builder, activation: Activation, value: str) -> str:
    kind, alpha, beta = activation.kind, activation.alpha, activation.beta
    if kind in {"Affine", "ScaledTanh"}:
        a, b = builder.const(np.float32(alpha)), builder.const(np.float32(beta))
        if kind == "Affine":
            return builder.op("Add", builder.op("Mul", value, a), b)
        return builder.op("Mul", builder.op("Tanh", builder.op("Mul", value, b)), a)
    parameters: dict[str, Any] = {"alpha": alpha} if kind in ALPHA else {}
    if kind in BETA:
        parameters["beta"] = beta
    return builder.op(kind, value, **parameters)


def _projected(builder: Builder, node: onnx.NodeProto, x: str, size: tuple[int, int], index: int) -> list[str]:
    """``x_t·Wᵀ + b`` for every step, each [batch, gates·hidden]; biases that simply add are added here."""
    steps, batch = size
    weights = _transposed(builder, _of_direction(builder, node.input[1], index))
    width = builder.network.shape(node.input[1]) or (0, 0, 0)
    flat = builder.reshape(x, [steps * batch, width[2]])
    product = builder.op("MatMul", flat, weights)
    if bias := _input(node, 3):
        product = builder.op("Add", product, _added_bias(builder, node, bias, index, width[1]))
    return [builder.slice(product, 0, t * batch, (t + 1) * batch) for t in range(steps)]


def _added_bias(builder: Builder, node: onnx.NodeProto, bias: str, index: int, width: int) -> str:
    """Input and recurrent bias together; for a GRU's h gate only the input's, as its recurrent one may be reset."""
    part = _of_direction(builder, bias, index)
    mine, recurrent = builder.slice(part, 0, 0, width), builder.slice(part, 0, width, 2 * width)
    if node.op_type != "GRU":
        return builder.op("Add", mine, recurrent)
    hidden = width // 3
    first = builder.slice(recurrent, 0, 0, 2 * hidden)
    return builder.op("Add", mine, builder.op("Concat", first, builder.const(np.zeros(hidden, np.float32)), axis=0))


def _masks(builder: Builder, lengths: str, steps: int, batch: int) -> list[str] | None:
    """For every step which samples ([batch, 1]) are not over yet; None if none ends early."""
    if not lengths:
        return None
    known = builder.network.constants.get(lengths)
    if known is not None:
        if (known >= steps).all():
            return None
        return [builder.const((t < known).reshape(batch, 1)) for t in range(steps)]
    column = builder.reshape(lengths, [batch, 1])
    return [builder.op("Greater", column, builder.const(np.asarray([[t]], np.int32))) for t in range(steps)]


def _run(
    builder: Builder, direction: Direction, projected: list[str], masks: list[str] | None, first: tuple[str, str]
) -> tuple[list[str], str, str]:
    """All steps of one direction: the hidden state of every step (in time order), the last h and c."""
    state = list(first)
    zeros = builder.const(np.zeros((1, direction.hidden), np.float32))
    given = [""] * len(projected)
    order = range(len(projected))
    for t in reversed(order) if direction.backward else order:
        new = _step(builder, direction, projected[t], state[0], state[1])
        if masks is None:
            state, given[t] = list(new), new[0]
        else:
            given[t] = builder.op("Where", masks[t], new[0], zeros)
            state = [builder.op("Where", masks[t], made, old) for made, old in zip(new, state, strict=True)]
    return given, state[0], state[1]


def _first(builder: Builder, node: onnx.NodeProto, index: int, size: tuple[int, int]) -> tuple[str, str]:
    """The first h (input 5) and c (input 6), [batch, hidden] each; zeros if absent."""
    return _initial(builder, node, 5, index, size), _initial(builder, node, 6, index, size)


def _initial(builder: Builder, node: onnx.NodeProto, position: int, index: int, size: tuple[int, int]) -> str:
    batch, hidden = size
    name = _input(node, position) if node.op_type == "LSTM" or position == 5 else ""
    if not name:
        return builder.const(np.zeros((batch, hidden), np.float32))
    if attributes(node).get("layout", 0):
        name = builder.transpose(name, [1, 0, 2])
        return builder.reshape(builder.slice(name, 0, index, index + 1), [batch, hidden])
    if name in builder.network.constants:
        return builder.const(builder.network.constants[name][index])
    return builder.reshape(builder.slice(name, 0, index, index + 1), [batch, hidden])


def _step(builder: Builder, direction: Direction, x: str, h: str, c: str) -> tuple[str, str]:
    return {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}[direction.kind](builder, direction, x, h, c)


def _clipped(builder: Builder, direction: Direction, value: str) -> str:
    if direction.clip is None:
        return value
    return builder.op("Clip", value, *(builder.const(np.float32(x)) for x in (-direction.clip, direction.clip)))


def _gate(builder: Builder, direction: Direction, which: int, value: str) -> str:
    return _activate(builder, direction.activations[which], _clipped(builder, direction, value))


def _lstm(builder: Builder, direction: Direction, x: str, h: str, c: str) -> tuple[str, str]:
    """Gates in the order i, o, f, c."""
    total = builder.op("Add", x, builder.op("MatMul", h, direction.recurrence))
    size = direction.hidden
    i, o, f, g = builder.split(total, 1, [size] * 4)
    if direction.peepholes is not None:
        i = builder.op("Add", i, builder.op("Mul", c, direction.peepholes[0]))
        f = builder.op("Add", f, builder.op("Mul", c, direction.peepholes[2]))
    i = _gate(builder, direction, 0, i)
    if direction.input_forget:
        f = builder.op("Sub", builder.const(np.float32(1)), i)
    else:
        f = _gate(builder, direction, 0, f)
    g = _gate(builder, direction, 1, g)
    new = builder.op("Add", builder.op("Mul", f, c), builder.op("Mul", i, g))
    if direction.peepholes is not None:
        o = builder.op("Add", o, builder.op("Mul", new, direction.peepholes[1]))
    o = _gate(builder, direction, 0, o)
    return builder.op("Mul", o, _activate(builder, direction.activations[2], new)), new


def _gru(builder: Builder, direction: Direction, x: str, h: str, c: str) -> tuple[str, str]:
    """Gates in the order z, r, h."""
    size = direction.hidden
    recurrence = direction.recurrence
    both = builder.op("MatMul", h, builder.slice(recurrence, 1, 0, 2 * size))
    gates = _gate(builder, direction, 0, builder.op("Add", builder.slice(x, 1, 0, 2 * size), both))
    z, r = builder.split(gates, 1, [size] * 2)
    weights = builder.slice(recurrence, 1, 2 * size, 3 * size)
    bias = builder.slice(direction.recurrent_bias, 0, 2 * size, 3 * size)
    if direction.linear_before_reset:
        inner = builder.op("Mul", r, builder.op("Add", builder.op("MatMul", h, weights), bias))
    else:
        inner = builder.op("Add", builder.op("MatMul", builder.op("Mul", r, h), weights), bias)
    candidate = _gate(builder, direction, 1, builder.op("Add", builder.slice(x, 1, 2 * size, 3 * size), inner))
    # (1 - z)·candidate + z·h, with one multiplication less
    return builder.op("Add", candidate, builder.op("Mul", z, builder.op("Sub", h, candidate))), c


def _rnn(builder: Builder, direction: Direction, x: str, h: str, c: str) -> tuple[str, str]:
    total = builder.op("Add", x, builder.op("MatMul", h, direction.recurrence))
    return _gate(builder, direction, 0, total), c


def _give(
    builder: Builder,
    node: onnx.NodeProto,
    runs: list[tuple[list[str], str, str]],
    size: tuple[int, int, int],
    *,
    batch_first: bool,
) -> None:
    """Y [steps, directions, batch, hidden], Y_h and Y_c [directions, batch, hidden]; batch first if asked."""
    steps, batch, hidden = size
    outputs = [*node.output, "", "", ""][:3]
    if outputs[0]:
        each = [builder.reshape(_joined(builder, given), [steps, 1, batch, hidden]) for given, _, _ in runs]
        y = _joined(builder, each, axis=1)
        kind = "Transpose" if batch_first else "Identity"
        builder.op(kind, y, out=outputs[0], **_perm([2, 0, 1, 3], batch_first=batch_first))
    for position in (1, 2):
        if outputs[position]:
            finals = [run[1] if position == 1 else run[2] for run in runs]
            each = [builder.reshape(value, [1, batch, hidden]) for value in finals]
            last = _joined(builder, each)
            kind = "Transpose" if batch_first else "Identity"
            builder.op(kind, last, out=outputs[position], **_perm([1, 0, 2], batch_first=batch_first))


def _perm(order: list[int], *, batch_first: bool) -> dict[str, list[int]]:
    return {"perm": order} if batch_first else {}


def _joined(builder: Builder, values: list[str], axis: int = 0) -> str:
    return values[0] if len(values) == 1 else builder.op("Concat", *values, axis=axis)
