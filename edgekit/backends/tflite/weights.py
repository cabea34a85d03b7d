"""Files whose weights alone are smaller: float16, and integer weights with float activations."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_quantizer import quantizer
from ai_edge_quantizer.qtyping import QuantGranularity, TFLOperationName
from ai_edge_quantizer.recipe_manager import AlgorithmName
from numpy.typing import NDArray

from edgekit.backends.tflite.engines import prepare
from edgekit.backends.tflite.layerwise import grid
from edgekit.backends.tflite.layerwise.grid import Scheme
from edgekit.errors import Unsupported
from edgekit.waist import edit, graph
from edgekit.waist.boundary import keep_names
from edgekit.waist.tensors import sqnr_db

FLOOR_DB = 60.0
"""Constants that float16 represents worse (most reach 71 dB) stay float32: tiny or huge values.

Measured on basic_pitch: the 1e-10 under its logarithm would be 0.
"""

SUMS_FLOOR_DB = 40.0
"""Filters whose sums float16 represents worse stay float32: what a constant input gives is lost.

Trained filters reach 59 dB and more. A filter bank whose taps cancel has sums near 0, of which the
rounding leaves nothing: the spectral filters of basic_pitch have -21 dB, and its outputs on samples
with a mean fall to 28 dB.
"""

CHANNEL_FLOOR_DB = 30.0
"""The same of a single channel of depthwise filters: nine taps are its whole filter, nothing averages their rounding.

Measured on CenterFace: one of 32 channels takes the differences of a smooth image, its sum is left with 19 dB, and
that alone brings the offsets of faces to 35 dB, with an error 50 dB below all sums; of its 12 other layers with such
channels, 63 to 87 dB below, none counts.
"""

TABLES_FLOOR_DB = 30.0
"""Tables that int8 with one scale represents worse, each row counting alike, stay float32; normal values have 38 dB."""

NAMED = 3
"""The most constants that a note names."""

_OUTPUTS_AXIS = {
    schema.BuiltinOperator.CONV_2D: 0,
    schema.BuiltinOperator.FULLY_CONNECTED: 0,
    schema.BuiltinOperator.DEPTHWISE_CONV_2D: 3,
}
"""Which axis of an operator's weights counts its outputs."""

_FOUR_BITS = {
    TFLOperationName.FULLY_CONNECTED: schema.BuiltinOperator.FULLY_CONNECTED,
    TFLOperationName.CONV_2D: schema.BuiltinOperator.CONV_2D,
    TFLOperationName.EMBEDDING_LOOKUP: schema.BuiltinOperator.EMBEDDING_LOOKUP,
}
"""Operators whose kernels read 4-bit weights (ai-edge-quantizer's policy ``dynamic_wi4_afp32``)."""

_CLIPPED = Scheme(bits=4)


def to_float16(path: Path) -> tuple[bytes, tuple[str, ...]]:
    """Store every float32 constant as float16, followed by a DEQUANTIZE.

    This is the form that the GPU delegate takes off again to compute in float16, and that XNNPACK
    unpacks once when it loads. ai-edge-quantizer's float casting leaves biases and the weights of
    all but five operators in float32, so edgekit writes the form itself.

    Returns:
        The file's content, and a note for constants that float16 represents badly and that stay float32.
    """
    model = graph.load(path)
    kept = []
    halved: dict[int, int] = {}
    for subgraph in model.subgraphs:
        filters = _filters(model, subgraph)
        for index, tensor in enumerate(list(subgraph.tensors)):
            values = _float32_constant(model, tensor)
            if values is None or not _consumed(subgraph, index):
                continue
            if _loses(values.reshape(tensor.shape), filters.get(index)):
                kept.append((tensor.name or b"").decode("utf8", "replace"))
                continue
            _store_half(model, subgraph, index, values, halved)
    for unused in halved.keys() - _used_buffers(model):
        model.buffers[unused].data = None
    return graph.pack(model), _notes(kept)


def _notes(kept: list[str]) -> tuple[str, ...]:
    if not kept:
        return ()
    more = f" and {len(kept) - NAMED} more" if len(kept) > NAMED else ""
    return (f"kept float32, which float16 represents badly: {', '.join(kept[:NAMED])}{more}",)


def _filters(model: Any, subgraph: Any) -> dict[int, int]:
    """Weights by tensor index, with the operator that they are of (`_OUTPUTS_AXIS`)."""
    codes = [(operator, model.operatorCodes[operator.opcodeIndex].builtinCode) for operator in subgraph.operators]
    return {int(operator.inputs[1]): code for operator, code in codes if code in _OUTPUTS_AXIS}


def _loses(values: NDArray[np.float32], operator: int | None) -> bool:
    """Whether values should not be stored as float16: filters if ``operator`` is given, whose weights they are."""
    with np.errstate(over="ignore"):
        halves = values.astype(np.float16)
    if sqnr_db(values, halves) < FLOOR_DB:
        return True
    if operator is None:
        return False
    taps = tuple(axis for axis in range(values.ndim) if axis != _OUTPUTS_AXIS[operator])
    sums, rounded = values.sum(taps, np.float64), halves.sum(taps, np.float64)
    if operator == schema.BuiltinOperator.DEPTHWISE_CONV_2D and _lost(sums, rounded):
        return True
    return sqnr_db(sums, rounded) < SUMS_FLOOR_DB


def _lost(sums: NDArray[np.float64], rounded: NDArray[np.float64]) -> bool:
    """Whether a channel's sum is below `CHANNEL_FLOOR_DB`, by an error that is not below `FLOOR_DB` beside all sums.

    A sum near 0 alone tells nothing: a dead channel has one, and of many channels some have one by chance.
    """
    errors, usual = np.abs(sums - rounded), np.sqrt(np.mean(sums**2))
    lost = errors > 10 ** (-CHANNEL_FLOOR_DB / 20) * np.abs(sums)
    return bool((lost & (errors > 10 ** (-FLOOR_DB / 20) * usual)).any())


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
    operator.opcodeIndex = edit.opcode(model, schema.BuiltinOperator.DEQUANTIZE, version=2)
    operator.inputs, operator.outputs = [len(subgraph.tensors) - 1], [index]
    subgraph.operators.insert(0, operator)


def to_integer_weights(path: Path, bits: int, *, per_channel: bool, kept: frozenset[int] = frozenset()) -> bytes:
    """Store weights in 8 or 4 bits; activations stay float32 and are quantized as they come.

    With 4 bits, operators whose kernels read none get 8. Four-bit weights are clipped first, where
    the squared error of a channel's weights is least: the largest weight would leave too few of 15
    levels to the others (ResNet-8 on CIFAR-10-JPEG: 74 % instead of 49 %, DS-CNN on keywords: 90.6
    instead of 88.6 %). ai-edge-quantizer's own MSE algorithm is as good but fails on dead channels.

    Operators in ``kept`` keep float32 weights.

    Raises:
        Unsupported: ai-edge-quantizer cannot.
    """
    model = graph.load(path)
    prepare(model)
    floats = _made_by(graph.describe(model)[0], kept | _left_constants(model))
    if bits == 4 and per_channel:
        _clip_weights(model)
    made = quantizer.Quantizer(graph.pack(model))
    granularity = QuantGranularity.CHANNELWISE if per_channel else QuantGranularity.TENSORWISE
    made.add_dynamic_config(".*", TFLOperationName.ALL_SUPPORTED, 8, granularity)
    for operator in _FOUR_BITS if bits == 4 else ():
        made.add_dynamic_config(".*", operator, 4, granularity)
    for name, operator in () if per_channel else _per_channel_always(model):
        four = bits == 4 and operator in _FOUR_BITS
        made.add_dynamic_config(f"^{re.escape(name)};", operator, 4 if four else 8, QuantGranularity.CHANNELWISE)
    for name in floats:
        made.update_quantization_recipe(
            f"^{re.escape(name)};", TFLOperationName.ALL_SUPPORTED, algorithm_key=AlgorithmName.NO_QUANTIZE
        )
    try:
        content = bytes(made.quantize().quantized_model)
    except (RuntimeError, ValueError, KeyError, IndexError, TypeError) as error:
        raise Unsupported(
            f"ai-edge-quantizer cannot store the weights of {path.name} in {bits} bits: {error}",
            place=path.name,
            fix="choose float16, or int8 with calibration samples",
        ) from error
    quantized = graph.parse(content, path)
    _quantize_tables(quantized, floats)
    keep_names(quantized, graph.read(path)[0])
    return graph.pack(quantized)


def _made_by(main: graph.Graph, operators: Iterable[int]) -> frozenset[str]:
    """The names of what operators make."""
    return frozenset(main.tensors[t].name for index in operators for t in main.operators[index].outputs if t >= 0)


def _left_constants(model: Any) -> frozenset[int]:
    """Products whose first factor is constant: LiteRT's BATCH_MATMUL takes integers as its second one alone."""
    main = graph.describe(model)[0]
    products = (operator for operator in main.operators if operator.name == "BATCH_MATMUL")
    return frozenset(operator.index for operator in products if main.tensors[operator.inputs[0]].constant_bytes)


def _per_channel_always(model: Any) -> Iterator[tuple[str, str]]:
    """Convolutions by group, by their output's name, with ai-edge-quantizer's name of their kind.

    LiteRT's hybrid kernels read a scale for each channel of these, also where the file has one for all: what lies
    behind it in memory (``DepthwiseConvHybridPerChannel`` in depthwise_conv.cc, and ``ConvHybridPerChannel``).
    """
    for main in graph.describe(model):
        for operator in main.operators:
            name = main.tensors[operator.outputs[0]].name if operator.outputs else ""
            if operator.name == "DEPTHWISE_CONV_2D":
                yield name, TFLOperationName.DEPTHWISE_CONV_2D
            elif operator.name == "CONV_2D":
                channels, taken = (main.tensors[operator.inputs[place]].shape[-1] for place in (0, 1))
                if channels != taken:
                    yield name, TFLOperationName.CONV_2D


def _quantize_tables(model: Any, floats: frozenset[str]) -> None:
    """Store tables that a GATHER reads as int8, in place: what was looked up becomes float behind it.

    ai-edge-quantizer leaves them float, and they are most of a text network. Such a file has one scale for all of
    a table, since what comes out of GATHER has one; a table that this serves badly stays float, and so does
    that from which one of ``floats`` is looked up.
    """
    for number, main in enumerate(graph.describe(model)):
        readers = Counter(tensor for operator in main.operators for tensor in set(operator.inputs))
        for operator in reversed(main.operators):
            values = graph.constant(model, number, operator.inputs[0]) if operator.name == "GATHER" else None
            if values is None or values.dtype != np.float32 or readers[operator.inputs[0]] > 1:
                continue
            if not number and main.tensors[operator.outputs[0]].name in floats:
                continue
            scale = max(float(np.abs(values).max(initial=0)) / 127, 1e-30)
            levels = np.rint(values / scale).astype(np.int8)
            rows = np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1e-30)
            if sqnr_db(values / rows, levels * np.float32(scale) / rows) < TABLES_FLOOR_DB:
                continue
            subgraph, (table, found) = model.subgraphs[number], (operator.inputs[0], operator.outputs[0])
            looked_up = edit.add_tensor(subgraph, f"{main.tensors[found].name}_int8", main.tensors[found].shape, "int8")
            edit.set_constant(model, table, levels, number)
            subgraph.tensors[table].type = schema.TensorType.INT8
            for tensor in (table, looked_up):
                subgraph.tensors[tensor].quantization = edit.quantization([scale], [0])
            place = subgraph.operators[operator.index]
            place.outputs = [looked_up]
            as_float = edit.operator(model, "DEQUANTIZE", [looked_up], [found], version=2)
            subgraph.operators.insert(operator.index + 1, as_float)
    edit.sweep(model)


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
                rows = values.reshape(1, tensor.shape[0], -1).astype(np.float64)
                limits = grid.scales(rows, _CLIPPED) * _CLIPPED.top
                clipped = np.clip(rows, -limits, limits).astype(np.float32)
                model.buffers[tensor.buffer].data = np.frombuffer(clipped.tobytes(), np.uint8)
