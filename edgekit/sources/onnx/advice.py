"""What helps with an ONNX model that cannot be built as a whole: a cut, or inputs that are bound."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx

from edgekit.errors import Unsupported
from edgekit.sources.onnx.network import ONNX_ERRORS, attributes, consumed, every_node, inferred, kind
from edgekit.sources.onnx.opening import binding, shapes
from edgekit.waist import proposals

HEAVY = {"Attention", "Conv", "ConvTranspose", "Einsum", "GRU", "Gemm", "LSTM", "MatMul", "RNN"}
"""Operators that make up a network, in contrast to what prepares its input or reads its results."""

FEW = 64
"""The most elements of an input that may be a setting, in contrast to data."""


def cut_off(path: Path, model: onnx.ModelProto, bad: Callable[[onnx.NodeProto], bool]) -> str:
    """The cut that leaves operators out, as a fix; empty if they stand in the midst of the network.

    Args:
        path: the model's file.
        model: as the user wrote it, or as far as it has been cut already.
        bad: tells the operators that must go.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        if all(name in constants for name in consumed(node)):
            constants.update(node.output)
    nodes = [node for node in model.graph.node if not set(node.output) <= constants]
    steps = [_step(node, constants) for node in nodes]
    found = [i for i, node in enumerate(nodes) if bad(node)]
    cut = proposals.around(steps, found, [value.name for value in model.graph.output]) if found else None
    return proposals.advice(path, cut, _open_shapes(model, cut))


def _step(node: onnx.NodeProto, constants: set[str]) -> proposals.GraphStep:
    inner = [*(n for a in node.attribute if a.HasField("g") for n in every_node(a.g)), node]
    reads = tuple(dict.fromkeys(name for name in consumed(node) if name not in constants))
    return proposals.GraphStep(reads, tuple(filter(None, node.output)), any(n.op_type in HEAVY for n in inner))


def _open_shapes(model: onnx.ModelProto, cut: proposals.Cut | None) -> Sequence[str]:
    """Typical shapes for new inputs whose own nothing tells: they come out of custom operators."""
    if cut is None:
        return ()
    graph = _with_shapes(model).graph
    declared = {value.name: shapes.dims(value) for value in (*graph.value_info, *graph.input, *graph.output)}
    return [
        shapes.example(name, declared.get(name)).removeprefix("--shape ")
        for name in cut.inputs
        if declared.get(name) is None or any(isinstance(size, str) for size in (declared[name] or [])[1:])
    ]


def _with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with what ONNX's inference tells of shapes; as it is if it does not take the model."""
    try:
        return inferred(model)
    except ONNX_ERRORS:
        return model


def steering(model: onnx.ModelProto, reached: Callable[[onnx.NodeProto], Sequence[int]]) -> list[str]:
    """The small inputs on which shapes, axes, positions or conditions depend, in the model's order.

    Args:
        model: as the user wrote it.
        reached: for an operator the positions of the inputs whose values steer it.
    """
    small = {value.name for value in shapes.true_inputs(model) if _is_setting(value)}
    sources: dict[str, set[str]] = {name: {name} for name in small}
    found: set[str] = set()
    for node in model.graph.node:
        for index in reached(node):
            if index < len(node.input):
                found |= sources.get(node.input[index], set())
        union: set[str] = set().union(*(sources.get(name, set()) for name in consumed(node)))
        if kind(node) not in HEAVY:  # a setting does not come through a layer
            sources.update(dict.fromkeys(node.output, union))
    return [value.name for value in model.graph.input if value.name in found]


def _is_setting(value: onnx.ValueInfoProto) -> bool:
    sizes = shapes.dims(value)
    count = int(np.prod([size for size in sizes or [] if isinstance(size, int)], dtype=np.int64))
    return sizes is not None and len(sizes) <= 1 and count <= FEW


def bind(path: Path, model: onnx.ModelProto, names: Sequence[str]) -> str:
    """The fix that binds inputs; empty if there are none. What the model declares tells values, as far as it does."""
    if not names:
        return ""
    written = onnx.load(path, load_external_data=False).graph  # ``model`` forgot what was declared of its results
    declared = {value.name: shapes.dims(value) for value in (*written.value_info, *written.output)}
    told = {name: _told(model, declared, name) for name in names}
    values, fits = (told, True) if all(told.values()) else binding.values(model, told, declared)
    flags = " ".join(f"--constant {shlex.quote(name)}={value or 'VALUE'}" for name, value in values.items())
    inputs = {value.name: shapes.dims(value) for value in written.input if value.name not in values}
    asked = [
        f"--shape {shlex.quote(value.name)}={','.join(map(str, shapes.dims(value) or []))} "
        for value in shapes.true_inputs(model)
        if value.name in inputs and any(isinstance(size, str) for size in (inputs[value.name] or ["?"] * 2)[1:])
    ]
    command = f"edgekit build {shlex.quote(str(path))} -t android --precision float32 {''.join(asked)}{flags}"
    example = ", for instance" if all(values.values()) else ""
    return f"bind what steers it{'' if fits else f', each to your value{example}'}: `{command}`"


SIZES = {"Reshape": 1, "Expand": 1, "ConstantOfShape": 0, "Resize": 3}
"""Operators → the position of the input that is the shape of their result."""


def _told(model: onnx.ModelProto, declared: Mapping[str, list[int | str] | None], name: str) -> str:
    """The value of an input that is a size, by the declared shape of what is made with it; empty without one."""
    for node in model.graph.node:
        sizes = declared.get(node.output[0]) if node.output else None
        if name not in node.input or not sizes or any(not isinstance(size, int) for size in sizes):
            continue
        position = list(node.input).index(name)
        if SIZES.get(kind(node)) == position:
            return ",".join(map(str, sizes))
        if kind(node) == "TopK" and position == 1:
            return str(sizes[attributes(node).get("axis", -1)])
    return ""


def mended(error: Unsupported, *fixes: str) -> Unsupported:
    """The same refusal with what helps; as it is if nothing of that is known."""
    known = [fix for fix in fixes if fix]
    return Unsupported(error.problem, place=error.place, fix="; or ".join(known) or error.fix)
