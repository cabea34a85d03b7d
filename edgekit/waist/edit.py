"""Small changes to a TFLite file's object tree (`edgekit.waist.graph.load`'s), in place."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.waist import graph
from edgekit.waist.tensors import Array

TYPES = {name: code for code, name in graph.DTYPES.items()}
"""The schema's tensor types by their names."""


def opcode(model: Any, builtin: int, version: int = 1) -> int:
    """The index of a builtin's operator code, added if the file has none."""
    for index, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == builtin:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), version
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def add_tensor(main: Any, name: str, shape: tuple[int, ...], dtype: str = "float32") -> int:
    """A new activation of a subgraph.

    Returns:
        Its index.
    """
    made = schema.TensorT()
    made.name, made.shape, made.type = name.encode(), np.array(shape, np.int32), TYPES[dtype]
    made.buffer = 0  # the empty buffer, by the schema's convention
    main.tensors.append(made)
    return len(main.tensors) - 1


def add_constant(model: Any, name: str, values: Array, subgraph: int = 0) -> int:
    """A new constant of a subgraph.

    Returns:
        Its index.
    """
    main = model.subgraphs[subgraph]
    index = add_tensor(main, name, values.shape, str(values.dtype))
    set_constant(model, index, values, subgraph)
    return index


def set_constant(model: Any, tensor: int, values: Array, subgraph: int = 0) -> None:
    """Give a constant other values of the same dtype and shape; other tensors on its buffer keep theirs.

    Integers of 4 bits are given as int8.
    """
    held, buffer = model.subgraphs[subgraph].tensors[tensor], schema.BufferT()
    packed = _nibbles(values) if held.type == schema.TensorType.INT4 else values
    buffer.data = np.frombuffer(packed.tobytes(), np.uint8)
    model.buffers.append(buffer)
    held.buffer = len(model.buffers) - 1


def _nibbles(values: Array) -> Array:
    """Integers of 4 bits two in a byte, the lower half first."""
    flat = values.reshape(-1).astype(np.uint8) & 15
    low, high = np.pad(flat, (0, flat.size % 2)).reshape(-1, 2).T
    return np.asarray(low | (high << 4))


def quantization(scales: Any, zero_points: Any, axis: int = 0) -> Any:
    """The schema's form of a grid, or of one for each index of an axis."""
    made = schema.QuantizationParametersT()
    made.scale = np.asarray(scales, np.float32)
    made.zeroPoint = np.asarray(zero_points, np.int64)
    made.quantizedDimension = axis
    return made


def operator(model: Any, builtin: str, inputs: list[int], outputs: list[int], *, version: int = 1) -> Any:
    """A new operator without options, for a place that the caller chooses."""
    made = schema.OperatorT()
    made.opcodeIndex = opcode(model, getattr(schema.BuiltinOperator, builtin), version)
    made.inputs, made.outputs = inputs, outputs
    return made


def add_operator(
    model: Any, builtin: str, inputs: list[int], outputs: list[int], *, at: int, kind: str = "", **options: Any
) -> None:
    """A new operator of the main subgraph.

    Args:
        model: the object tree.
        builtin: its name in the schema.
        inputs: tensor indices.
        outputs: tensor indices.
        at: its place in the order of execution.
        kind: the name of its options in the schema (``AddOptions``); none without.
        options: their values.
    """
    made = operator(model, builtin, inputs, outputs)
    if kind:
        made.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
        made.builtinOptions = getattr(schema, f"{kind}T")()
        for key, value in options.items():
            setattr(made.builtinOptions, key, value)
    model.subgraphs[0].operators.insert(at, made)


def redirect(operator: Any, old: int, new: int) -> None:
    """Let an operator read another tensor than ``old``."""
    operator.inputs = [new if int(tensor) == old else int(tensor) for tensor in operator.inputs]


def producer(model: Any, tensor: int) -> int:
    """The place, in the order of execution, of the operator that makes a tensor of the main subgraph."""
    return next(k for k, operator in enumerate(model.subgraphs[0].operators) if tensor in graph.ints(operator.outputs))


def reread(model: Any, made: int, slot: int, new: int) -> None:
    """Give the operator that makes the tensor ``made`` another operand ``slot``."""
    operator = model.subgraphs[0].operators[producer(model, made)]
    inputs = list(graph.ints(operator.inputs))
    inputs[slot] = new
    operator.inputs = inputs


def sweep(model: Any) -> None:
    """Empty the constants that nobody reads any more, in place; tensors keep their indices."""
    for subgraph in model.subgraphs:
        read = {tensor for operator in subgraph.operators for tensor in graph.ints(operator.inputs)}
        made = {tensor for operator in subgraph.operators for tensor in graph.ints(operator.outputs)}
        for index, tensor in enumerate(subgraph.tensors):
            if index not in read | made and index not in subgraph.inputs and index not in subgraph.outputs:
                tensor.buffer = 0
    used = {tensor.buffer for subgraph in model.subgraphs for tensor in subgraph.tensors}
    used |= {entry.buffer for entry in model.metadata or []}
    for number, buffer in enumerate(model.buffers):
        if number not in used:
            buffer.data = None


def compact(model: Any) -> None:
    """Leave out the tensors that nobody reads or makes, in place; the others are renumbered.

    Signatures of a damaged file that name such a tensor, or one that is not there, are left out as well.
    """
    signatures = model.signatureDefs or []
    for place, subgraph in enumerate(model.subgraphs):
        holders = (subgraph, *(subgraph.operators or ()))
        used = {index for holder in holders for name in _NUMBERED for index in graph.ints(getattr(holder, name, None))}
        left = sorted(used - {-1})
        numbers = {-1: -1} | {old: new for new, old in enumerate(left)}
        subgraph.tensors = [subgraph.tensors[index] for index in left]
        for holder in holders:
            for name in _NUMBERED:
                if (held := getattr(holder, name, None)) is not None:
                    setattr(holder, name, [numbers[index] for index in graph.ints(held)])
        for definition in [one for one in signatures if one.subgraphIndex == place]:
            entries = [*(definition.inputs or []), *(definition.outputs or [])]
            if not all(int(entry.tensorIndex) in numbers for entry in entries):
                model.signatureDefs = [one for one in model.signatureDefs if one is not definition]
                continue
            for entry in entries:
                entry.tensorIndex = numbers[int(entry.tensorIndex)]


_NUMBERED = ("inputs", "outputs", "intermediates")
"""Where subgraphs and operators hold numbers of tensors."""


def tidy(model: Any) -> bool:
    """Leave out codes, tensors and constants that nothing of a model uses, in place; whether there were any.

    A runtime asks for a kernel of every code that a file lists before it loads it: one that holds the kernels of a
    model's own operators alone (a microcontroller's, a selective build) would refuse the file. For every tensor it
    holds a record in memory.
    """
    before = _counts(model)
    _without_idle_codes(model)
    compact(model)
    _without_idle_buffers(model)
    return _counts(model) != before


def _counts(model: Any) -> tuple[int, ...]:
    return len(model.operatorCodes), len(model.buffers), *(len(subgraph.tensors) for subgraph in model.subgraphs)


def _without_idle_codes(model: Any) -> None:
    operators = [operator for subgraph in model.subgraphs for operator in subgraph.operators or ()]
    left = sorted({operator.opcodeIndex for operator in operators})
    if left:
        numbers = {old: new for new, old in enumerate(left)}
        model.operatorCodes = [model.operatorCodes[index] for index in left]
        for operator in operators:
            operator.opcodeIndex = numbers[operator.opcodeIndex]


def _without_idle_buffers(model: Any) -> None:
    """The first one stays: it stands for no constant."""
    tensors = [tensor for subgraph in model.subgraphs for tensor in subgraph.tensors]
    holders = [*tensors, *(model.metadata or [])]
    left = sorted({0} | {holder.buffer for holder in holders} | {*graph.ints(model.metadataBuffer)})
    numbers = {old: new for new, old in enumerate(left)}
    model.buffers = [model.buffers[index] for index in left]
    for holder in holders:
        holder.buffer = numbers[holder.buffer]
    if model.metadataBuffer is not None:
        model.metadataBuffer = [numbers[index] for index in graph.ints(model.metadataBuffer)]
