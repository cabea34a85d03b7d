"""Files whose weights alone are smaller: float16, and integer weights with float activations."""

from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_quantizer import quantizer
from ai_edge_quantizer.qtyping import QuantGranularity, TFLOperationName
from numpy.typing import NDArray

from edgekit.backends.tflite.boundary import keep_names, opcode
from edgekit.backends.tflite.integer import prepare
from edgekit.errors import Unsupported
from edgekit.waist import graph

_FLOAT16_LARGEST = float(np.finfo(np.float16).max)

_FOUR_BITS = {
    TFLOperationName.FULLY_CONNECTED: schema.BuiltinOperator.FULLY_CONNECTED,
    TFLOperationName.CONV_2D: schema.BuiltinOperator.CONV_2D,
    TFLOperationName.EMBEDDING_LOOKUP: schema.BuiltinOperator.EMBEDDING_LOOKUP,
}
"""Operators whose kernels read 4-bit weights (ai-edge-quantizer's policy ``dynamic_wi4_afp32``)."""

_CLIPS = np.linspace(0.25, 1, 61)
"""Shares of a channel's largest weight at which clipping is tried."""


def to_float16(path: Path) -> tuple[bytes, tuple[str, ...]]:
    """Store every float32 constant as float16, followed by a DEQUANTIZE.

    This is the form that the GPU delegate takes off again to compute in float16, and that XNNPACK
    unpacks once when it loads. ai-edge-quantizer's float casting leaves biases and the weights of
    all but five operators in float32, so edgekit writes the form itself.

    Returns:
        The file's content, and a note for constants that float16 cannot hold and that stay float32.
    """
    model = graph.load(path)
    kept = []
    halved: dict[int, int] = {}
    for subgraph in model.subgraphs:
        for index, tensor in enumerate(list(subgraph.tensors)):
            values = _float32_constant(model, tensor)
            if values is None or not _consumed(subgraph, index):
                continue
            if np.abs(values).max(initial=0.0) > _FLOAT16_LARGEST:
                kept.append((tensor.name or b"").decode("utf8", "replace"))
                continue
            _store_half(model, subgraph, index, values, halved)
    for unused in halved.keys() - _used_buffers(model):
        model.buffers[unused].data = None
    notes = (f"kept float32, beyond float16's range: {', '.join(kept)}",) if kept else ()
    return graph.pack(model), notes


def _float32_constant(model: Any, tensor: Any) -> NDArray[np.float32] | None:
    data = model.buffers[tensor.buffer].data
    if tensor.type != schema.TensorType.FLOAT32 or data is None or not len(data) or tensor.sparsity is not None:
        return None
    return np.frombuffer(bytes(data), np.float32)


def _used_buffers(model: Any) -> set[int]:
    return {tensor.buffer for subgraph in model.subgraphs for tensor in subgraph.tensors}


def _consumed(subgraph: Any, index: int) -> bool:
    return any(index in operator.inputs for operator in subgraph.operators) and index not in subgraph.outputs


def _store_half(model: Any, subgraph: Any, index: int, values: Any, halved: dict[int, int]) -> None:
    """The constant becomes a DEQUANTIZE's output; a new tensor in front of it holds the halves."""
    tensor = subgraph.tensors[index]
    source = schema.TensorT()
    source.name, source.shape, source.hasRank = bytes(tensor.name or b"") + b"_float16", tensor.shape, tensor.hasRank
    source.type = schema.TensorType.FLOAT16
    if tensor.buffer not in halved:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.astype(np.float16).tobytes(), np.uint8)
        model.buffers.append(buffer)
        halved[tensor.buffer] = len(model.buffers) - 1
    source.buffer = halved[tensor.buffer]
    tensor.buffer = 0
    subgraph.tensors.append(source)
    operator = schema.OperatorT()
    operator.opcodeIndex = opcode(model, schema.BuiltinOperator.DEQUANTIZE)
    operator.inputs, operator.outputs = [len(subgraph.tensors) - 1], [index]
    subgraph.operators.insert(0, operator)


def to_integer_weights(path: Path, bits: int, *, per_channel: bool) -> bytes:
    """Store weights in 8 or 4 bits; activations stay float32 and are quantized as they come.

    With 4 bits, operators whose kernels read none get 8. Four-bit weights are clipped first, where
    the squared error of a channel's weights is least: the largest weight would leave too few of 15
    levels to the others (ResNet-8 on CIFAR-10-JPEG: 74 % instead of 49 %, DS-CNN on keywords: 90.6
    instead of 88.6 %). ai-edge-quantizer's own MSE algorithm is as good but fails on dead channels.

    Raises:
        Unsupported: ai-edge-quantizer cannot.
    """
    model = graph.load(path)
    prepare(model)
    if bits == 4 and per_channel:
        _clip_weights(model)
    made = quantizer.Quantizer(graph.pack(model))
    granularity = QuantGranularity.CHANNELWISE if per_channel else QuantGranularity.TENSORWISE
    made.add_dynamic_config(".*", TFLOperationName.ALL_SUPPORTED, 8, granularity)
    for operator in _FOUR_BITS if bits == 4 else ():
        made.add_dynamic_config(".*", operator, 4, granularity)
    try:
        content = bytes(made.quantize().quantized_model)
    except (RuntimeError, ValueError, KeyError, IndexError, TypeError) as error:
        raise Unsupported(
            f"ai-edge-quantizer cannot store the weights of {path.name} in {bits} bits: {error}",
            place=path.name,
            fix="choose float16, or int8 with calibration samples",
        ) from error
    quantized = graph.parse(content, path)
    keep_names(quantized, graph.read(path)[0])
    return graph.pack(quantized)


def _clip_weights(model: Any) -> None:
    """Clip each output channel (axis 0) of the weights that get 4 bits, in place."""
    for subgraph in model.subgraphs:
        for operator in subgraph.operators:
            code = model.operatorCodes[operator.opcodeIndex].builtinCode
            if code not in _FOUR_BITS.values():
                continue
            tensor = subgraph.tensors[operator.inputs[1]]
            values = _float32_constant(model, tensor)
            if values is not None:
                clipped = _clipped(values.reshape(tensor.shape[0], -1))
                model.buffers[tensor.buffer].data = np.frombuffer(clipped.tobytes(), np.uint8)


def _clipped(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows clipped where rounding them to -7..7 steps errs least in squares."""
    largest = np.abs(weights).max(1, keepdims=True)
    least, limits = np.full_like(largest, np.inf), largest
    for share in _CLIPS:
        step = np.maximum(largest * share / 7, 1e-30)
        error = ((np.clip(np.rint(weights / step), -7, 7) * step - weights) ** 2).sum(1, keepdims=True)
        limits = np.where(error < least, largest * share, limits)
        least = np.minimum(error, least)
    return np.clip(weights, -limits, limits).astype(np.float32)
