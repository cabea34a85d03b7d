"""LSTMs that stay whole: long ones, in a form that the converter writes as TFLite's sequence operator.

The operator is smaller than unrolled steps, quicker to convert and better in int8
(docs/explanation/recurrent-state.md has figures). It keeps its state from run to run, so the written file
gets operators that clear it (`edgekit.waist.state`). It takes no state that is given and tells
none of the last cell; such LSTMs are unrolled.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgekit.sources.onnx.network import Builder, attributes, consumed, every_node
from edgekit.waist import graph

LONGEST_UNROLLED = 10
"""Steps of an LSTM that are unrolled all the same: about 130 operators for each direction."""

USUAL = ("sigmoid", "tanh", "tanh")
"""The activations that TFLite's operator has, as ONNX lists them for one direction, in lower case."""

GROWTH = 2.0
"""How many times its source's size a file may have before that is told."""

RECURRENT = {"LSTM", "GRU", "RNN"}


def whole(builder: Builder, node: onnx.NodeProto) -> bool | None:
    """Replace a long LSTM by one of its own for each direction that gives all hidden states and nothing else.

    Returns:
        True if it was replaced, False if it is in this form already, None if it has to be unrolled.
    """
    size = builder.network.shape(node.input[0])
    if size is None or size[0] <= LONGEST_UNROLLED or not _is_usual(builder, node):
        return None
    directions = _directions(node)
    if len(directions) == 1 and len(node.output) == 1 and len([*filter(None, node.input)]) <= 4:
        return False
    given = [[builder.const(value[i : i + 1]) for value in _constants(builder, node)] for i in range(len(directions))]
    hidden = builder.network.constants[node.input[2]].shape[-1]
    every = [
        builder.op("LSTM", node.input[0], *constants, hidden_size=hidden, direction=direction)
        for constants, direction in zip(given, directions, strict=True)
    ]
    outputs = [*node.output, "", ""][:2]
    if outputs[0]:
        _joined(builder, every, outputs[0])
    if outputs[1]:
        last = [(0, 1) if direction == "reverse" else (size[0] - 1, size[0]) for direction in directions]
        ends = [builder.slice(y, 0, *place) for y, place in zip(every, last, strict=True)]
        _joined(builder, [builder.reshape(end, [1, size[1], hidden]) for end in ends], outputs[1], axis=0)
    return True


def _directions(node: onnx.NodeProto) -> list[str]:
    direction = attributes(node).get("direction", "forward")
    return ["forward", "reverse"] if direction == "bidirectional" else [str(direction)]


def _joined(builder: Builder, values: list[str], out: str, axis: int = 1) -> None:
    if len(values) == 1:
        builder.same(values[0], out)
    else:
        builder.op("Concat", *values, out=out, axis=axis)


def _constants(builder: Builder, node: onnx.NodeProto) -> list[Any]:
    """Weights, recurrent weights and, if there are some, biases, each with the direction first."""
    return [builder.network.constants[name] for name in node.input[1:4] if name]


def _is_usual(builder: Builder, node: onnx.NodeProto) -> bool:
    """Whether TFLite's operator computes it: plain gates, constant weights, a first state of zeros, no padding."""
    attrs, known = attributes(node), builder.network.constants
    names = [*node.input, *[""] * 8][:8]
    plain = not (attrs.get("layout") or attrs.get("input_forget") or attrs.get("clip") or names[7])
    listed = [str(name).lower() for name in attrs.get("activations", [])]
    usual = list(USUAL) * len(_directions(node))
    steps = (builder.network.shape(node.input[0]) or (0,))[0]
    return bool(
        plain
        and listed in ([], usual)
        and all(name in known for name in names[1:3])
        and (not names[3] or names[3] in known)
        and (not names[4] or (names[4] in known and (known[names[4]] >= steps).all()))
        and all(not name or (name in known and not np.any(known[name])) for name in names[5:7])
        and not (len(node.output) > 2 and _is_read(builder, node.output[2]))
    )


def _is_read(builder: Builder, name: str) -> bool:
    network = builder.network
    return bool(name) and (name in network.outputs or any(name in consumed(node) for node in network.nodes))


def growth(model: onnx.ModelProto, source_bytes: int, file: Path) -> tuple[str, ...]:
    """A note on a file that is much larger than its source, because recurrent operators were unrolled."""
    kinds = sorted({node.op_type for node in every_node(model.graph)} & RECURRENT)
    times = file.stat().st_size / max(1, source_bytes)
    if not kinds or times < GROWTH:
        return ()
    operators = sum(len(part.operators) for part in graph.read(file))
    return (f"{times:.1f} times as large as its source: {', '.join(kinds)} became {operators} operators",)
