"""Constants that a file of floats stores in fewer bits, and the float32 values that they stand for.

Three forms are in use: float16, or integers with scales, behind a DEQUANTIZE; and integers with scales that an
operator on float activations reads itself (TFLite's hybrid kernels, which round the activations anew at every run).
"""

from collections import Counter
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.nouns.model import Precision
from edgekit.waist import edit, graph
from edgekit.waist.graph import Graph, Tensor
from edgekit.waist.tensors import Array

INTEGERS = {"int4", "int8", "uint8", "int16"}
"""Dtypes that carry real numbers only together with a scale."""


def precision(main: Graph) -> Precision:
    """The precision of a file: that of its activations if they are integers, else that of its weights."""
    consumed = {index for operator in main.operators if operator.name not in graph.BORDER for index in operator.inputs}
    scaled = {t.dtype for t in main.tensors if t.index in consumed and t.scales and not t.constant_bytes}
    if scaled & {"int8", "uint8"}:
        return "int8"
    if "int16" in scaled:
        return "int16x8"
    kept = {t.dtype for t in main.tensors if t.constant_bytes and (t.scales or "16" in t.dtype)}
    if "int4" in kept:
        return "int4"
    return "dynamic-int8" if kept & INTEGERS else "float16" if "float16" in kept else "float32"


def decode(model: Any) -> Counter[str]:
    """Make float32 constants of all that is stored in fewer bits and computed with in floats, in place.

    What integer operators read stays, as do integers with a scale for each block, and sparse ones
    (`edgekit.waist.sparse` spreads them out).

    Returns:
        How many constants were decoded, by the dtype that they were stored in.
    """
    decoded = unpack(model)
    for number, described in enumerate(graph.describe(model)):
        for index in sorted(_hybrid(described)):
            if (values := real(model, number, described.tensors[index])) is not None:
                held = model.subgraphs[number].tensors[index]
                held.type, held.quantization = schema.TensorType.FLOAT32, None
                edit.set_constant(model, index, values, number)
                decoded[described.tensors[index].dtype] += 1
    return decoded


def unpack(model: Any) -> Counter[str]:
    """The same for constants behind a DEQUANTIZE alone, which LiteRT unpacks once too; in place."""
    decoded: Counter[str] = Counter()
    for number, described in enumerate(graph.describe(model)):
        subgraph = model.subgraphs[number]
        left = []
        for operator, seen in zip(list(subgraph.operators or []), described.operators, strict=True):
            tensor = described.tensors[seen.inputs[0]] if seen.inputs and seen.inputs[0] >= 0 else None
            values = real(model, number, tensor) if seen.name == "DEQUANTIZE" and tensor is not None else None
            if values is None or tensor is None:
                left.append(operator)
                continue
            if subgraph.tensors[seen.outputs[0]].isVariable:  # LiteRT unpacks the first state once, and it is 0 anyway
                if values.any():
                    left.append(operator)
                continue
            edit.set_constant(model, seen.outputs[0], values, number)
            decoded[tensor.dtype] += 1
        if len(left) < len(described.operators):
            subgraph.operators = left
    return decoded


def _hybrid(described: Graph) -> set[int]:
    """Constants of integers whose every reader gives floats."""
    found: set[int] = set()
    refused = set(described.outputs)
    for operator in described.operators:
        floats = operator.name not in graph.BORDER and all(
            described.tensors[tensor].dtype == "float32" for tensor in operator.outputs
        )
        for tensor in operator.inputs:
            stored = described.tensors[tensor] if tensor >= 0 else None
            if stored is not None and stored.dtype in INTEGERS and stored.scales and stored.constant_bytes:
                (found if floats else refused).add(tensor)
    return found - refused


def real(model: Any, subgraph: int, tensor: Tensor) -> Array | None:
    """The values that a constant of float16, or of integers with scales, stands for; None for all others."""
    held = model.subgraphs[subgraph].tensors[tensor.index]
    if held.sparsity is not None or (held.quantization is not None and held.quantization.details is not None):
        return None
    stored = integers(model, subgraph, tensor)
    if stored is None:
        return None
    if stored.dtype == np.float16:
        return stored.astype(np.float32)
    if tensor.dtype not in INTEGERS or not tensor.scales:
        return None
    shape = [1] * stored.ndim
    if len(tensor.scales) > 1:
        shape[tensor.axis] = len(tensor.scales)
    scales, zeros = (np.asarray(v).reshape(shape) for v in (tensor.scales, tensor.zero_points or (0,)))
    found: Array = (stored.astype(np.int64) - zeros).astype(np.float32) * scales.astype(np.float32)
    return found


def integers(model: Any, subgraph: int, tensor: Tensor) -> Array | None:
    """The values of a constant as they are stored; those of 4 bits as int8. None for activations and odd dtypes."""
    if tensor.dtype != "int4":
        return graph.constant(model, subgraph, tensor.index)
    data = model.buffers[model.subgraphs[subgraph].tensors[tensor.index].buffer].data
    if data is None or not graph.is_constant(model, subgraph, tensor.index):
        return None
    # Two in a byte, the lower half first (TFLite's ``UnpackPackedIntToInt8``).
    packed = np.frombuffer(bytes(data), np.uint8)
    halves = np.stack([packed & 15, packed >> 4], axis=-1).reshape(-1)[: int(np.prod(tensor.shape))]
    found: Array = (halves.astype(np.int8) ^ 8) - np.int8(8)
    return found.reshape(tensor.shape)
