"""Dense layers as the Edge TPU knows them: one scale for all weights.

Scales for each output channel of FULLY_CONNECTED came with version 12 of the operator; compiler
16.0 reads up to version 9, where the weights of a dense layer have one scale
(``tensorflow/lite/kernels/fully_connected.cc`` of mid-2021 takes the first scale only).
Convolutions keep their scales for each channel.
"""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

LIMIT = 127
"""Symmetric int8 weights lie in -127..127 (https://www.tensorflow.org/lite/performance/quantization_spec)."""


def per_tensor(model: Any) -> int:
    """Give the int8 weights of every dense layer one scale, and its int32 bias the scale that follows.

    Args:
        model: the schema's object tree (`edgekit.waist.graph.load`'s); changed in place.

    Returns:
        How many layers were changed.
    """
    changed = 0
    for subgraph in model.subgraphs:
        for operator in subgraph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            if max(code.builtinCode, code.deprecatedBuiltinCode) == schema.BuiltinOperator.FULLY_CONNECTED:
                changed += _rescale(model, subgraph, operator)
    return changed


def _rescale(model: Any, subgraph: Any, operator: Any) -> bool:
    given, weights = (subgraph.tensors[i] for i in operator.inputs[:2])
    data = model.buffers[weights.buffer].data
    scales = None if weights.quantization is None else weights.quantization.scale
    if data is None or scales is None or len(scales) < 2 or weights.type != schema.TensorType.INT8:
        return False
    stored = np.frombuffer(bytes(data), np.int8).reshape(weights.shape)
    real = stored.astype(np.float64) * np.asarray(scales, np.float64)[:, None]
    scale = float(np.abs(real).max()) / LIMIT or 1.0
    operator.inputs = np.array(operator.inputs, np.int32)
    operator.inputs[1] = _own(model, subgraph, weights, np.rint(real / scale).astype(np.int8), scale)
    if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
        bias = subgraph.tensors[operator.inputs[2]]
        old = np.asarray(bias.quantization.scale, np.float64)
        new = float(given.quantization.scale[0]) * scale
        values = np.frombuffer(bytes(model.buffers[bias.buffer].data), np.int32) * (old / new)
        limits = np.iinfo(np.int32)
        rounded = np.clip(np.rint(values), limits.min, limits.max).astype(np.int32)
        operator.inputs[2] = _own(model, subgraph, bias, rounded, new)
    return True


def _own(model: Any, subgraph: Any, tensor: Any, values: NDArray[np.generic], scale: float) -> int:
    """A new constant like ``tensor``: the old one may serve another operator."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    model.buffers.append(buffer)
    made = schema.TensorT()
    made.shape, made.type, made.name, made.hasRank = tensor.shape, tensor.type, tensor.name, tensor.hasRank
    made.buffer = len(model.buffers) - 1
    made.quantization = schema.QuantizationParametersT()
    made.quantization.scale = np.array([scale], np.float32)
    made.quantization.zeroPoint = np.array([0], np.int64)
    subgraph.tensors.append(made)
    return len(subgraph.tensors) - 1
