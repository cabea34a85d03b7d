"""Parts of an ONNX model: inputs bound to constants, and the graph between chosen tensors."""

from pathlib import Path

import onnx
from onnx import helper, numpy_helper

from edgekit.nouns.model import Constant, SourceOptions, TensorRow
from edgekit.sources.onnx import folding
from edgekit.sources.onnx.network import ONNX_ERRORS, Network, consumed, kind
from edgekit.sources.onnx.opening import shapes
from edgekit.waist import naming

GUESSES = (
    onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8, onnx.TensorProto.INT64, onnx.TensorProto.INT32,
    onnx.TensorProto.BOOL,
)  # fmt: skip
"""Dtypes of a tensor that no tool can tell (it comes out of a custom operator), the likeliest first."""


def edit(path: Path, model: onnx.ModelProto, options: SourceOptions) -> None:
    """Bind what `SourceOptions.constants` names, and keep what lies between ``inputs`` and ``outputs``; in place.

    Raises:
        InputError: a name is no tensor's, a value does not fit, or the outputs depend on more than the inputs.
    """
    for name, values in options.constants.items():
        _bind(path, model, name, values, options.shapes)
    if options.inputs or options.outputs:
        _cut(path, model, options)


def _bind(path: Path, model: onnx.ModelProto, name: str, values: Constant, asked: dict[str, tuple[int, ...]]) -> None:
    known = {value.name: value for value in model.graph.input}
    if name not in known:
        raise naming.no_input(path, name, list(known), "--constant")
    declared = asked[name] if name in asked else shapes.dims(known[name])
    dtype = helper.tensor_dtype_to_np_dtype(known[name].type.tensor_type.elem_type)
    array = naming.bound(name, values, declared, dtype)
    model.graph.input.remove(known[name])
    for old in [tensor for tensor in model.graph.initializer if tensor.name == name]:
        model.graph.initializer.remove(old)
    model.graph.initializer.append(numpy_helper.from_array(array, name))


def _cut(path: Path, model: onnx.ModelProto, options: SourceOptions) -> None:
    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output if name}
    inputs = {value.name for value in shapes.true_inputs(model)}
    naming.require_tensors(path, (*options.inputs, *options.outputs), [*inputs, *makers])
    outputs = options.outputs or tuple(value.name for value in graph.output)
    kept, reached = _between(makers, inputs, set(options.inputs), outputs)
    ends = options.inputs or tuple(value.name for value in graph.input if value.name in reached)
    naming.require_reached(path, options.inputs, reached)
    types = _types(model, options)
    declared = {value.name: value for value in (*graph.value_info, *graph.input, *graph.output)}
    nodes = [node for node in graph.node if id(node) in kept]
    read = {name for node in nodes for name in consumed(node)} | set(outputs)
    weights = [tensor for tensor in graph.initializer if tensor.name in read and tensor.name not in ends]
    into = [_info(name, types, declared) for name in ends]
    out = [_info(name, types, declared) for name in outputs]
    del graph.node[:], graph.initializer[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(weights)
    graph.input.extend(into)
    graph.output.extend(out)
    for value in graph.input:
        if not value.type.tensor_type.elem_type:
            _guess(model, value)


def _between(
    makers: dict[str, onnx.NodeProto], inputs: set[str], ends: set[str], outputs: tuple[str, ...]
) -> tuple[set[int], set[str]]:
    """The nodes (by id) that make the outputs from ``ends``, and the inputs and ends that they read."""
    kept: set[int] = set()
    reached: set[str] = set()
    pending, seen = list(outputs), set()
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in ends or name in inputs:
            reached.add(name)
        elif name in makers and id(makers[name]) not in kept:
            kept.add(id(makers[name]))
            pending += consumed(makers[name])
    return kept, reached


def _types(model: onnx.ModelProto, options: SourceOptions) -> Network:
    """The whole model with what can be known of its shapes; sizes that the user has not said stay open."""
    network = Network.of(onnx.ModelProto.FromString(model.SerializeToString()))
    sizes = {value.name: shapes.dims(value) for value in shapes.true_inputs(model)}
    for name, declared in sizes.items():
        batch_1 = (
            None if declared is None else [1 if i == 0 and isinstance(d, str) else d for i, d in enumerate(declared)]
        )
        shape = options.shapes.get(name, batch_1)
        if shape is not None and all(isinstance(size, int) for size in shape):
            network.shapes[name] = tuple(int(size) for size in shape)
    folding.settle(network, lambda _: False)
    return network


def _info(name: str, types: Network, declared: dict[str, onnx.ValueInfoProto]) -> onnx.ValueInfoProto:
    """Type and shape of a new end: inferred, or else as the file declares them."""
    dtype, shape = types.dtype(name), types.shape(name)
    if dtype is not None and shape is not None:
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), shape)
    return declared.get(name, onnx.ValueInfoProto(name=name))


def _guess(model: onnx.ModelProto, value: onnx.ValueInfoProto) -> None:
    """Give an input the first dtype with which the operators after it agree."""
    for guess in GUESSES:
        value.type.tensor_type.elem_type = guess
        try:
            onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
        except ONNX_ERRORS:
            continue
        return
    value.type.tensor_type.elem_type = GUESSES[0]


def tensors(model: onnx.ModelProto, options: SourceOptions) -> tuple[TensorRow, ...]:
    """Every tensor of the main graph, inputs first, then in the order in which they are made."""
    types = _types(model, options)
    made = [(name, kind(node)) for node in model.graph.node for name in node.output if name]
    every = [(value.name, "") for value in shapes.true_inputs(model)] + made
    outputs = {value.name for value in model.graph.output}
    return tuple(
        TensorRow(
            name=name,
            shape=types.shape(name),
            dtype=None if (dtype := types.dtype(name)) is None else str(dtype),
            operator=operator or "input",
            output=name in outputs,
        )
        for name, operator in every
    )
