"""The inputs and outputs of a quantized file: which dtype they have, and what the signature says.

Both quantizers are asked for float inputs and outputs, so that one place decides about the boundary:
their QUANTIZE and DEQUANTIZE operators are taken off, or replaced by a requantization to uint8.
"""

from collections.abc import Collection
from typing import Any

import msgspec
from ai_edge_litert import schema_py_generated as schema

from edgekit.nouns.model import Boundary, Signature, TensorSpec
from edgekit.waist import edit
from edgekit.waist import graph as waist_graph

_QUANTIZE, _DEQUANTIZE = schema.BuiltinOperator.QUANTIZE, schema.BuiltinOperator.DEQUANTIZE
_INT8, _UINT8 = schema.TensorType.INT8, schema.TensorType.UINT8


def set_boundary(model: Any, boundary: Boundary, integers: dict[str, str] | None = None) -> None:
    """Give inputs and outputs a dtype, in place.

    An input or output that the quantizer left float for good (its operator has no integer form), or
    that never was float, stays as it is.

    Args:
        model: the schema's object tree of a quantized file with float32 inputs and outputs.
        boundary: ``float32`` changes nothing.
        integers: inputs and outputs, by name, that take an 8-bit dtype of the source's own, whatever the boundary.
    """
    own = integers or {}
    graph = model.subgraphs[0]
    graph.inputs, graph.outputs = list(graph.inputs), list(graph.outputs)  # read-only views of the file until now

    def dtype_of(tensor: int) -> str:
        return own.get(bytes(graph.tensors[tensor].name).decode("utf8", "replace"), boundary)

    sides = (("inputs", graph.inputs, _take_off_quantize), ("outputs", graph.outputs, _take_off_dequantize))
    for side, tensors, take_off in sides:
        for position, tensor in enumerate(list(tensors)):
            dtype = dtype_of(int(tensor))
            inner = None if dtype == "float32" else take_off(model, int(tensor))
            if inner is not None:
                _swap_names(graph, int(tensor), inner)
                outer = _as_uint8(model, inner, at_start=side == "inputs") if dtype == "uint8" else inner
                _replace(model, tensors, position, outer, side)


def make_unsigned(model: Any, names: Collection[str]) -> None:
    """Let inputs and outputs that are int8 be uint8, in place, as their source has them."""
    graph = model.subgraphs[0]
    graph.inputs, graph.outputs = list(graph.inputs), list(graph.outputs)
    for side, tensors in (("inputs", graph.inputs), ("outputs", graph.outputs)):
        for position, tensor in enumerate(list(tensors)):
            held = graph.tensors[int(tensor)]
            if bytes(held.name).decode("utf8", "replace") in names and held.type == _INT8:
                outer = _as_uint8(model, int(tensor), at_start=side == "inputs")
                _replace(model, tensors, position, outer, side)


def _code(model: Any, operator: Any) -> int:
    code = model.operatorCodes[operator.opcodeIndex]
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))


def _take_off_quantize(model: Any, tensor: int) -> int | None:
    """The int8 tensor behind an input's only consumer, a QUANTIZE, which is removed; None if there is none."""
    graph = model.subgraphs[0]
    consumers = [operator for operator in graph.operators if tensor in operator.inputs]
    if len(consumers) != 1 or _code(model, consumers[0]) != _QUANTIZE or tensor in graph.outputs:
        return None
    if graph.tensors[tensor].type != schema.TensorType.FLOAT32:
        return None
    inner = int(consumers[0].outputs[0])
    if graph.tensors[inner].type != _INT8:
        return None
    graph.operators.remove(consumers[0])
    return inner


def _take_off_dequantize(model: Any, tensor: int) -> int | None:
    """The int8 tensor before an output's producer, a DEQUANTIZE, which is removed when nobody else needs it."""
    graph = model.subgraphs[0]
    producer = next((operator for operator in graph.operators if tensor in operator.outputs), None)
    if producer is None or _code(model, producer) != _DEQUANTIZE:
        return None
    inner = int(producer.inputs[0])
    if graph.tensors[inner].type != _INT8 or inner in graph.inputs or inner in graph.outputs:
        return None
    if not any(tensor in operator.inputs for operator in graph.operators):
        graph.operators.remove(producer)
    return inner


def _swap_names(graph: Any, outer: int, inner: int) -> None:
    """The tensor that becomes the boundary takes the name that users know."""
    tensors = graph.tensors
    tensors[outer].name, tensors[inner].name = tensors[inner].name, tensors[outer].name


def _as_uint8(model: Any, inner: int, *, at_start: bool) -> int:
    """A uint8 tensor beside an int8 one, with the QUANTIZE between them: same scale, zero point + 128."""
    graph = model.subgraphs[0]
    tensor = graph.tensors[inner]
    made = schema.TensorT()
    made.name, made.shape, made.shapeSignature = tensor.name, tensor.shape, tensor.shapeSignature
    made.type, made.hasRank = _UINT8, tensor.hasRank
    made.buffer = 0  # the empty buffer, by the schema's convention
    made.quantization = schema.QuantizationParametersT()
    made.quantization.scale = list(tensor.quantization.scale)
    made.quantization.zeroPoint = [int(zero) + 128 for zero in tensor.quantization.zeroPoint]
    tensor.name = bytes(tensor.name) + b"_int8"
    graph.tensors.append(made)
    outer = len(graph.tensors) - 1
    operator = schema.OperatorT()
    operator.opcodeIndex = edit.opcode(model, _QUANTIZE, version=2)  # 2 takes int16 (TFLite's op_version.cc)
    operator.inputs, operator.outputs = ([outer], [inner]) if at_start else ([inner], [outer])
    graph.operators.insert(0 if at_start else len(graph.operators), operator)
    return outer


def _replace(model: Any, tensors: Any, position: int, new: int, side: str) -> None:
    old = int(tensors[position])
    tensors[position] = new
    for definition in model.signatureDefs or []:
        for entry in getattr(definition, side) or []:
            if definition.subgraphIndex == 0 and entry.tensorIndex == old:
                entry.tensorIndex = new


def keep_names(model: Any, original: waist_graph.Graph) -> None:
    """Give inputs and outputs the original's names again, in place: quantizers append to them."""
    graph = model.subgraphs[0]
    for old, new in (
        *zip(original.inputs, graph.inputs, strict=True),
        *zip(original.outputs, graph.outputs, strict=True),
    ):
        name = original.tensors[old].name.encode()
        if graph.tensors[int(new)].name == name:
            continue
        for tensor in graph.tensors:
            if tensor.name == name:
                tensor.name = name + b"_inner"
        graph.tensors[int(new)].name = name


def described(signature: Signature, graph: waist_graph.Graph) -> Signature:
    """The signature with dtype, scale and zero point as a file's main subgraph has them."""
    by_name = {graph.tensors[index].name: graph.tensors[index] for index in (*graph.inputs, *graph.outputs)}

    def seen(spec: TensorSpec) -> TensorSpec:
        """The spec with the file's dtype and grid."""
        tensor = by_name[spec.name]
        quantized = len(tensor.scales) == 1 and tensor.dtype != "float32"
        return msgspec.structs.replace(
            spec,
            dtype=tensor.dtype,
            scale=tensor.scales[0] if quantized else None,
            zero_point=tensor.zero_points[0] if quantized else None,
        )

    return Signature(inputs=tuple(map(seen, signature.inputs)), outputs=tuple(map(seen, signature.outputs)))
