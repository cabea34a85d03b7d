"""The two quantizers, brought to one shape: a float file, ranges, operators that stay float → a quantized file.

* LiteRT's own (in the ai-edge-litert wheel, the one behind ``TFLiteConverter``). It takes a float
  TFLite file in which every activation carries its range, so edgekit chooses the ranges. It knows the
  most operators and needs about a millisecond.
* ai-edge-quantizer, which knows SQRT, gets SUM right if the first does not, and gets BATCH_MATMUL
  with constant weights wrong.

Neither is asked about what lies in the subgraphs that a WHILE or IF calls: nobody saw ranges there.
"""

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import _pywrap_tensorflow_lite_calibration_wrapper as litert_quantizer
from ai_edge_litert import schema_py_generated as schema
from ai_edge_quantizer import quantizer
from ai_edge_quantizer.qtyping import QuantGranularity, TFLOperationName
from ai_edge_quantizer.recipe_manager import AlgorithmName

from edgekit.backends.tflite.plan import QuantizationPlan, QuantizationSettings
from edgekit.backends.tflite.ranges import Range
from edgekit.backends.tflite.recurrent import add_intermediates
from edgekit.backends.tflite.veil import Veil
from edgekit.errors import Unsupported
from edgekit.waist import edit, graph, state
from edgekit.waist.boundary import keep_names
from edgekit.waist.tensors import quantize as quantize_values

Engine = Callable[[Path, dict[int, Range], frozenset[int], str, bool], bytes]
"""(float file, ranges by tensor index, operators that stay float, activations' dtype, per channel) → quantized file."""

_FLOAT = "float/"
"""How `prepare` begins the names of what stays float, so that ai-edge-quantizer's recipe can tell it apart."""


def prepare(model: Any, kept: frozenset[int] = frozenset()) -> None:
    """Make a file fit for ai-edge-quantizer, in place.

    It tells tensors apart by name, so those that share one are numbered, and those of subgraphs that
    a WHILE or IF calls, and what operators in ``kept`` write, can be told by their prefix; it reads
    only the newer field of operator codes, and a list of signatures that must not be absent.
    """
    floats = {int(tensor) for index in kept for tensor in model.subgraphs[0].operators[index].outputs}
    taken: set[bytes] = set()
    for number_of, subgraph in enumerate(model.subgraphs):
        boundary = {*map(int, subgraph.inputs), *map(int, subgraph.outputs)}
        for index in sorted(range(len(subgraph.tensors)), key=lambda i: i not in boundary):
            tensor = subgraph.tensors[index]
            prefix = _FLOAT + f"{number_of}/" if number_of else _FLOAT if index in floats else ""
            name = number = prefix.encode() + bytes(tensor.name or b"tensor")
            while number in taken:
                number = name + b"_%d" % len(taken)
            tensor.name = number
            taken.add(number)
    model.signatureDefs = model.signatureDefs or []
    for code in model.operatorCodes:
        code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode)


def _tidied(model: Any, original: graph.Graph) -> bytes:
    """A quantizer's file under the waist's names, without the ranges that it left in every tensor."""
    for tensor in model.subgraphs[0].tensors:
        if tensor.quantization is not None:
            tensor.quantization.min = tensor.quantization.max = None
        if tensor.name is not None:
            tensor.name = re.sub(rf"^{_FLOAT}".encode(), b"", bytes(tensor.name))
    keep_names(model, original)
    return graph.pack(model)


def _litert(path: Path, ranges: dict[int, Range], kept: frozenset[int], activations: str, per_channel: bool) -> bytes:  # noqa: FBT001
    """LiteRT's own quantizer on ranges that are written into the float file beforehand."""
    model = graph.load(path)
    original = graph.describe(model)[0]
    if state.primed(model):
        raise Unsupported("LiteRT's quantizer gives a state that is computed the wrong type.", place=path.name, fix="")
    keeping = state.surviving(model)
    kept = frozenset(place for place, former in enumerate(state.unclear(model)) if former in kept)
    for index, (low, high) in ranges.items():
        quantization = schema.QuantizationParametersT()
        quantization.min, quantization.max = [low], [high]
        model.subgraphs[0].tensors[index].quantization = quantization
    add_intermediates(model, ranges)
    _part(model)
    veil = Veil(model, kept)
    ranged = graph.pack(model)  # named, because the wrapper points into it without holding it
    wrapper = litert_quantizer.CalibrationWrapper(ranged, [], [])
    float32, allow_float = np.dtype(np.float32).num, True
    bias = np.int64 if activations == "int16" else np.int32
    content = wrapper.QuantizeModel(
        float32, float32, allow_float, np.dtype(activations).num, np.dtype(bias).num, not per_channel, not per_channel
    )
    quantized = graph.parse(content, path)
    veil.lift(quantized)
    _quantize_paddings(quantized)
    state.clear(quantized, keeping)
    _join(quantized)
    return _tidied(quantized, original)


def _part(model: Any) -> None:
    """Give each float constant a buffer of its own, in place.

    LiteRT's quantizer writes the integers of all that lie in one there, one after another: of a bias that the steps of
    a loop share only those of the last step's scale were left, and of one that is also multiplied, bytes of others.
    """
    taken = set[int]()
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            data = model.buffers[tensor.buffer].data
            if tensor.type != schema.TensorType.FLOAT32 or data is None or not len(data):
                continue
            if tensor.buffer in taken:
                buffer = schema.BufferT()
                buffer.data = data
                model.buffers.append(buffer)
                tensor.buffer = len(model.buffers) - 1
            taken.add(tensor.buffer)


def _join(model: Any) -> None:
    """Let constants of one dtype and equal bytes lie in one buffer again, in place."""
    found: dict[tuple[int, bytes], int] = {}
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            data = model.buffers[tensor.buffer].data
            if data is not None and len(data):
                tensor.buffer = found.setdefault((tensor.type, bytes(data)), tensor.buffer)
    edit.sweep(model)


def _quantize_paddings(model: Any) -> None:
    """Quantize the constant of each PADV2, which LiteRT's quantizer forgets, in place; -inf becomes the least level."""
    tensors = model.subgraphs[0].tensors
    for operator in graph.describe(model)[0].operators:
        if operator.name != "PADV2":
            continue
        padded, padding = (tensors[operator.inputs[i]] for i in (0, 2))
        values = graph.constant(model, 0, operator.inputs[2])
        if padded.quantization is None or padded.quantization.scale is None or values is None:
            continue
        if padding.type == schema.TensorType.FLOAT32:
            scale, zero = float(padded.quantization.scale[0]), int(padded.quantization.zeroPoint[0])
            padding.type, padding.quantization = padded.type, padded.quantization
            stored = quantize_values(values, scale, zero, graph.DTYPES[padded.type])
            edit.set_constant(model, operator.inputs[2], stored)


def _ai_edge(path: Path, ranges: dict[int, Range], kept: frozenset[int], activations: str, per_channel: bool) -> bytes:  # noqa: FBT001
    """ai-edge-quantizer on the same ranges, its inputs and outputs left float."""
    model = graph.load(path)
    original = graph.describe(model)[0]
    prepare(model, kept)
    tensors = model.subgraphs[0].tensors
    statistics = {
        tensors[index].name.decode(): {
            "min": np.full((1,) * len(tensors[index].shape), low, np.float32),
            "max": np.full((1,) * len(tensors[index].shape), high, np.float32),
        }
        for index, (low, high) in ranges.items()
    }
    made = quantizer.Quantizer(graph.pack(model))
    bits = 16 if activations == "int16" else 8
    granularity = QuantGranularity.CHANNELWISE if per_channel else QuantGranularity.TENSORWISE
    made.add_static_config(".*", TFLOperationName.ALL_SUPPORTED, bits, 8, granularity)
    for name in (TFLOperationName.INPUT, TFLOperationName.OUTPUT, TFLOperationName.DIV):
        # An integer DIV fails on inputs whose divisor rounds to 0, whatever the calibration samples were.
        made.update_quantization_recipe(".*", name, algorithm_key=AlgorithmName.NO_QUANTIZE)
    made.update_quantization_recipe(
        f"(^|;){_FLOAT}", TFLOperationName.ALL_SUPPORTED, algorithm_key=AlgorithmName.NO_QUANTIZE
    )
    with warnings.catch_warnings():
        # It warns of the memory that its look at the tensors takes, and of divisions by empty channels.
        warnings.simplefilter("ignore")
        content = bytes(made.quantize(statistics).quantized_model)
    return _tidied(graph.parse(content, path), original)


ENGINES: dict[str, Engine] = {"LiteRT": _litert, "ai-edge-quantizer": _ai_edge}
"""The quantizers, the one that is asked first first."""

FAILURES = (RuntimeError, ValueError, KeyError, IndexError, TypeError, Unsupported)
"""What an engine raises if it cannot make a file."""


def quantized(engine: str, plan: QuantizationPlan, method: str, settings: QuantizationSettings) -> bytes:
    """A quantized file as a plan says, with ranges that one method chooses.

    Raises:
        FAILURES: the engine cannot make it.
    """
    ranges = plan.chosen(method)
    return ENGINES[engine](plan.path, ranges, plan.kept, settings.activations, settings.per_channel)
