"""If, Loop and Scan without control flow, as quantizers and accelerators want them.

* An If whose condition is known becomes its branch.
* An If whose condition is computed becomes both branches and a Where for every output: ONNX
  operators have no side effects. Only if both branches give the same shapes.
* A Loop whose trip count is known becomes its body, so many times; a condition that is computed
  freezes the state (Where) once it is false. A Loop without a trip count gives one step at a time
  while its condition is known. What a Loop with a computed condition collects per step has no
  static shape: such a Loop stays.
* A Scan becomes its body, once for every element.

What stays is refused by `edgekit.sources.onnx.refusal`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgekit.sources.onnx.folding import rename_inputs
from edgekit.sources.onnx.network import Builder, Network, Rewrite, attributes, every_node, rewrite

MAX_STEPS = 1024
"""Longest Loop or Scan that is unrolled: beyond it the file is larger than devices care to load."""

MAX_NODES = 20_000
"""Most operators that unrolling one Loop or Scan may make, for the same reason."""


def resolve(network: Network) -> bool:
    """Resolve what is known by now; True if something changed. Needs shapes (`folding.infer`)."""
    return rewrite(network, _KNOWN)


def choose(network: Network) -> bool:
    """Turn what is computed at run time into Where, when folding can tell nothing more; True if it changed."""
    return rewrite(network, _COMPUTED)


def _if_known(builder: Builder, node: onnx.NodeProto) -> bool:
    condition = builder.network.constants.get(node.input[0])
    if condition is None:
        return False
    branch = attributes(node)["then_branch" if bool(np.all(condition)) else "else_branch"]
    for name, made in zip(node.output, inline(builder, branch, []), strict=True):
        builder.same(made, name)
    return True


def _if_computed(builder: Builder, node: onnx.NodeProto) -> bool:
    """Both branches and Where. Shape inference knows an output's shape only if both agree on it."""
    shapes = [builder.network.shape(name) for name in node.output]
    if any(shape is None for shape in shapes):
        return False
    attrs = attributes(node)
    pairs = zip(inline(builder, attrs["then_branch"], []), inline(builder, attrs["else_branch"], []), strict=True)
    for name, shape, sides in zip(node.output, shapes, pairs, strict=True):
        _where(builder, node.input[0], sides, shape or (), name)
    return True


def _where(builder: Builder, condition: str, sides: tuple[str, str], shape: tuple[int, ...], out: str) -> None:
    """``condition`` has one element, of whatever rank; ``sides`` are yes and no, of the given shape."""
    one = builder.reshape(condition, [1] * max(len(shape), 1))
    chosen = builder.op("Where", one, *sides, out=out if shape else None)
    if not shape:
        builder.reshape(chosen, [], out=out)


def _loop_known(builder: Builder, node: onnx.NodeProto) -> bool:
    """A Loop that runs its whole trip count, or that can be peeled by one step."""
    body = attributes(node)["body"]
    trips, goes_on = _trips(builder, node), _constant(builder, node.input[1], default=True)
    if goes_on is None or not _affordable(body, trips or 1):
        return False
    if not goes_on or trips == 0:
        return _never(builder, node, body)
    if _always_true(builder.network, body):
        return trips is not None and _unroll(builder, node, body, trips)
    return trips is None and _peel(builder, node, body)


def _trips(builder: Builder, node: onnx.NodeProto) -> int | None:
    """The trip count if it is known and within `MAX_STEPS`."""
    count = builder.network.constants.get(node.input[0])
    return int(count.reshape(-1)[0]) if count is not None and 0 <= count.reshape(-1)[0] <= MAX_STEPS else None


def _constant(builder: Builder, name: str, *, default: bool) -> bool | None:
    if not name:
        return default
    value = builder.network.constants.get(name)
    return None if value is None else bool(np.all(value))


def _affordable(body: onnx.GraphProto, steps: int) -> bool:
    return steps * sum(1 for _ in every_node(body)) <= MAX_NODES


def _always_true(network: Network, body: onnx.GraphProto) -> bool:
    """The condition that a body gives is the one it got, or a constant True."""
    makers = {name: node for node in body.node for name in node.output}
    literals = {tensor.name: numpy_helper.to_array(tensor) for tensor in body.initializer}
    name = body.output[0].name
    while name in makers and makers[name].op_type in {"Identity", "Cast"}:
        name = makers[name].input[0]
    if name in makers and makers[name].op_type == "Constant":
        return bool(np.all(numpy_helper.to_array(attributes(makers[name])["value"])))
    for known in (literals, network.constants):
        if name in known:
            return bool(np.all(known[name]))
    return bool(name == body.input[1].name)


def _never(builder: Builder, node: onnx.NodeProto, body: onnx.GraphProto) -> bool:
    """A Loop that makes no step gives its state back; what it would collect has no elements."""
    states = list(node.input[2:])
    if len(body.output) - 1 > len(states):
        return False
    for name, state in zip(node.output, states, strict=False):
        if name:
            builder.same(state, name)
    return True


def _unroll(builder: Builder, node: onnx.NodeProto, body: onnx.GraphProto, trips: int) -> bool:
    states = list(node.input[2:])
    collected: list[list[str]] = [[] for _ in body.output[1 + len(states) :]]
    true = builder.const(np.asarray(True))  # noqa: FBT003
    for i in range(trips):
        made = inline(builder, body, [builder.const(np.asarray(i, np.int64)), true, *states])
        states, per_step = made[1 : 1 + len(states)], made[1 + len(states) :]
        for values, value in zip(collected, per_step, strict=True):
            values.append(value)
    _give(builder, node, states, [(values, 0) for values in collected])
    return True


def _give(
    builder: Builder, node: onnx.NodeProto, states: Sequence[str], collected: Sequence[tuple[list[str], int]]
) -> None:
    """Name the final states, and stack what was collected on its axis."""
    for name, state in zip(node.output, states, strict=False):
        if name:
            builder.same(state, name)
    for name, (values, axis) in zip(node.output[len(states) :], collected, strict=False):
        if name:
            at = builder.const([axis], np.int64)
            builder.op("Concat", *(builder.op("Unsqueeze", value, at) for value in values), axis=axis, out=name)


def _peel(builder: Builder, node: onnx.NodeProto, body: onnx.GraphProto) -> bool:
    """One step, then the Loop with what the step gave; its body counts from one more."""
    states = list(node.input[2:])
    if len(body.output) - 1 > len(states):
        return False
    true = builder.const(np.asarray(True))  # noqa: FBT003
    made = inline(builder, body, [builder.const(np.asarray(0, np.int64)), true, *states])
    rest = onnx.GraphProto()
    rest.CopyFrom(body)
    counter = builder.network.fresh("counter")
    one = builder.const(np.asarray(1, np.int64))
    for inner in rest.node:
        rename_inputs(inner, {body.input[0].name: counter})
    rest.node.insert(0, helper.make_node("Add", [body.input[0].name, one], [counter]))
    builder.ops("Loop", node.input[0], made[0], *made[1:], outs=list(node.output), body=rest)
    return True


def _loop_computed(builder: Builder, node: onnx.NodeProto) -> bool:
    """A known number of steps; after the condition turned false they change nothing."""
    body, trips = attributes(node)["body"], _trips(builder, node)
    states = list(node.input[2:])
    shapes = [builder.network.shape(name) for name in states]
    collects = len(body.output) - 1 > len(states)
    if trips is None or collects or any(s is None for s in shapes) or not _affordable(body, trips):
        return False
    goes_on = node.input[1] or builder.const(np.asarray(True))  # noqa: FBT003
    for i in range(trips):
        made = inline(builder, body, [builder.const(np.asarray(i, np.int64)), goes_on, *states])
        kept = []
        for new, old, shape in zip(made[1:], states, shapes, strict=True):
            kept.append(builder.network.fresh("state"))
            _where(builder, goes_on, (new, old), shape or (), kept[-1])
        goes_on = builder.op("And", builder.reshape(goes_on, []), builder.reshape(made[0], []))
        states = kept
    _give(builder, node, states, [])
    return True


def _scan(builder: Builder, node: onnx.NodeProto) -> bool:
    attrs = attributes(node)
    body, count = attrs["body"], attrs["num_scan_inputs"]
    states, streams = list(node.input[:-count]), list(node.input[-count:])
    shapes = [builder.network.shape(name) for name in streams]
    if any(shape is None for shape in shapes):
        return False
    axes = [a % len(s or ()) for a, s in zip(attrs.get("scan_input_axes", [0] * count), shapes, strict=True)]
    steps = (shapes[0] or (0,))[axes[0]]
    if steps > MAX_STEPS or not _affordable(body, steps):
        return False
    backward = attrs.get("scan_input_directions", [0] * count)
    collected: list[list[str]] = [[] for _ in body.output[len(states) :]]
    for i in range(steps):
        elements = [
            _element(builder, stream, axis, steps - 1 - i if back else i)
            for stream, axis, back in zip(streams, axes, backward, strict=True)
        ]
        made = inline(builder, body, [*states, *elements])
        states = made[: len(states)]
        for values, value in zip(collected, made[len(states) :], strict=True):
            values.append(value)
    _give(builder, node, states, _ordered(attrs, collected))
    return True


def _element(builder: Builder, value: str, axis: int, index: int) -> str:
    return builder.op("Gather", value, builder.const(np.asarray(index, np.int64)), axis=axis)


def _ordered(attrs: dict[str, Any], collected: list[list[str]]) -> list[tuple[list[str], int]]:
    backward = attrs.get("scan_output_directions", [0] * len(collected))
    axes = attrs.get("scan_output_axes", [0] * len(collected))
    return [
        (values[::-1] if back else values, axis) for values, axis, back in zip(collected, axes, backward, strict=True)
    ]


def inline(builder: Builder, graph: onnx.GraphProto, arguments: Sequence[str]) -> list[str]:
    """Append a copy of a subgraph under fresh names; ``arguments`` take the place of its inputs.

    Returns:
        The names of its outputs.
    """
    network = builder.network
    names = dict(zip((value.name for value in graph.input), arguments, strict=True))
    for tensor in graph.initializer:
        names[tensor.name] = network.fresh(tensor.name)
        network.constants[names[tensor.name]] = numpy_helper.to_array(tensor)
    for original in graph.node:
        for name in original.output:
            if name:
                names[name] = network.fresh(f"{name}_step")
    for original in graph.node:
        node = onnx.NodeProto()
        node.CopyFrom(original)
        rename_inputs(node, names)
        for i, name in enumerate(node.output):
            node.output[i] = names.get(name, name)
        builder.nodes.append(node)
    return [names.get(value.name, value.name) for value in graph.output]


_KNOWN: dict[str, Rewrite] = {"If": _if_known, "Loop": _loop_known, "Scan": _scan}
_COMPUTED: dict[str, Rewrite] = {"If": _if_computed, "Loop": _loop_computed}
