"""Full-integer quantization: int8, and int16 activations with int8 weights.

Two quantizers can do it, and the samples decide which file is kept:

* LiteRT's own (in the ai-edge-litert wheel, the one behind ``TFLiteConverter``). It takes a float
  TFLite file in which every activation carries its range, so edgekit chooses the ranges. It knows the
  most operators and needs about a millisecond.
* ai-edge-quantizer, which knows SQRT and networks with a WHILE, gets SUM right where the first does
  not, and gets BATCH_MATMUL with constant weights wrong. It is asked where the first one fails,
  leaves operators float, or comes out poorly.

Whichever file leaves fewer operators float wins, unless its outputs are clearly worse; among equals
the one that comes closer to the float outputs.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import _pywrap_tensorflow_lite_calibration_wrapper as litert_quantizer
from ai_edge_litert import schema_py_generated as schema
from ai_edge_quantizer import quantizer
from ai_edge_quantizer.qtyping import QuantGranularity, TFLOperationName
from ai_edge_quantizer.recipe_manager import AlgorithmName
from numpy.typing import NDArray

from edgekit.backends.tflite.boundary import keep_names
from edgekit.backends.tflite.ranges import METHODS, Range, choose, observe
from edgekit.backends.tflite.recurrent import add_intermediates
from edgekit.errors import Unsupported
from edgekit.tensors import Array
from edgekit.tensors import quantize as quantize_values
from edgekit.waist import cost, graph
from edgekit.waist.trial import Trial

SCORED_MACS = 2e9
"""Multiply-accumulates spent on scoring one candidate: well below a second on one core."""

SCORED_SAMPLES = 128
"""The most samples on which a candidate is scored."""

SCORED_BYTES = 1 << 26
"""The most bytes of float outputs kept for scoring."""

CLEARLY_WORSE_DB = 3.0
"""A file with fewer float operators may lose this much SQNR to one with more."""

_MOVES = {"QUANTIZE", "DEQUANTIZE"}


@dataclass(frozen=True)
class Candidate:
    """A quantized file, how it came about, and what became of it."""

    content: bytes
    engine: str
    method: str
    sqnr_db: float
    floats: tuple[graph.Operator, ...]


def quantize(
    path: Path, inputs: dict[str, Array], trial: Trial, *, activations: str, per_channel: bool, method: str, seed: int
) -> Candidate:
    """Quantize a float TFLite file; inputs and outputs stay float32.

    Args:
        path: the float TFLite file.
        inputs: calibration samples, for each input's name ``[N, *shape]``.
        trial: runs the candidates.
        activations: ``int8`` or ``int16``.
        per_channel: one scale for each output channel of weights instead of one for all.
        method: one of `ranges.METHODS`, or ``auto`` to keep the best.
        seed: drives the subsampling of activations.

    Raises:
        InputError: a sample drives the network to NaN or infinity.
        Unsupported: no quantizer makes a file that LiteRT runs.
    """
    float_graph = graph.read(path)[0]
    scored = _scored(
        path, float_graph, len(next(iter(inputs.values()))), most=8 if activations == "int16" else SCORED_SAMPLES
    )
    seen = observe(path, float_graph, inputs, scored, seed)
    judge = Judge(trial, {name: values[scored] for name, values in inputs.items()}, seen.outputs)
    asked = (method,) if method != "auto" else ("minmax",) if activations == "int16" else tuple(METHODS)
    made: list[Candidate] = []
    refused: list[str] = []
    for engine, build in ENGINES.items():
        for name in _still_to_try(asked, made):
            ranges = choose(float_graph, seen.activations, name)
            try:
                made.append(judge(build(path, ranges, activations, per_channel), engine, name))
            except (RuntimeError, ValueError, KeyError, IndexError, TypeError, Unsupported) as error:
                refused.append(f"{engine}: {(str(error).strip() or repr(error)).splitlines()[0][:200]}")
                break  # what an engine refuses with one choice of ranges it refuses with all
    if not made:
        raise Unsupported(
            f"No quantizer makes an integer file that LiteRT runs ({'; '.join(refused)}).",
            place=path.name,
            fix="choose float16 or dynamic-int8, or rewrite the operators named",
        )
    return _best(made)


def _best(made: list[Candidate]) -> Candidate:
    """The fewest float operators among those that are about as good as the best; of these the best."""
    highest = max(candidate.sqnr_db for candidate in made)
    close = [candidate for candidate in made if candidate.sqnr_db >= highest - CLEARLY_WORSE_DB]
    return min(close, key=lambda candidate: (len(candidate.floats), -candidate.sqnr_db))


def _still_to_try(asked: tuple[str, ...], made: list[Candidate]) -> tuple[str, ...]:
    """Ways to choose ranges for the next engine: all at first, then the best, and only where it is in doubt."""
    if not made:
        return asked
    best = _best(made)
    return (best.method,) if best.floats or best.sqnr_db < POOR_DB else ()


POOR_DB = 15.0
"""Below this SQNR the first quantizer's file may be wrong rather than coarse."""


def _scored(path: Path, float_graph: graph.Graph, samples: int, most: int = SCORED_SAMPLES) -> NDArray[np.int_]:
    macs = max(1, cost.count(path).macs)
    sizes = [4 * int(np.prod(float_graph.tensors[index].shape)) for index in float_graph.outputs]
    most = min(most, int(SCORED_MACS / macs), SCORED_BYTES // max(1, sum(sizes)))
    chosen: NDArray[np.int_] = np.unique(np.linspace(0, samples - 1, max(4, most)).round().astype(int))
    return chosen


@dataclass(frozen=True)
class Judge:
    """Compares candidates with the float network on the scored samples (``inputs``, ``[N, *shape]`` each)."""

    trial: Trial
    inputs: dict[str, Array]
    wanted: dict[str, Array]

    def __call__(self, content: bytes, engine: str, method: str) -> Candidate:
        """Run a quantized file.

        Raises:
            Unsupported: LiteRT cannot run it.
        """
        outputs = self.trial.run(content, self.inputs).values()
        noise = [_noise(got, reference) for got, reference in zip(outputs, self.wanted.values(), strict=True)]
        return Candidate(
            content=content,
            engine=engine,
            method=method,
            sqnr_db=float(-10 * np.log10(max(float(np.mean(noise)), 1e-12))),
            floats=float_operators(graph.describe(graph.parse(content, Path(engine)))[0]),
        )


def _noise(got: Array, wanted: Array) -> float:
    """Σ error² / Σ reference², over all scored samples; 1 where an output is not finite."""
    if wanted.dtype != np.float32:
        return float(np.mean(got != wanted))
    reference = wanted.astype(np.float64)
    error = float(((got.astype(np.float64) - reference) ** 2).sum())
    energy = float((reference**2).sum())
    return min(error / max(energy, 1e-30), 1e3) if np.isfinite(error) else 1e3


def float_operators(made: graph.Graph) -> tuple[graph.Operator, ...]:
    """Operators of a quantized graph that still compute in floating point."""
    return tuple(
        operator
        for operator in made.operators
        if operator.name not in _MOVES
        and any(made.tensors[i].dtype == "float32" for i in (*operator.inputs, *operator.outputs) if i >= 0)
    )


def _tidied(model: Any, original: Path) -> bytes:
    """A quantizer's file under the waist's names, without the ranges that it left in every tensor."""
    for tensor in model.subgraphs[0].tensors:
        if tensor.quantization is not None:
            tensor.quantization.min = tensor.quantization.max = None
    keep_names(model, graph.read(original)[0])
    return graph.pack(model)


_CALLED = r"(^|;)called_\d+/"
"""Names, as `prepare` writes them, of tensors whose ranges nobody saw: a loop's body runs out of sight."""


def prepare(model: Any) -> None:
    """Make a file fit for ai-edge-quantizer, in place.

    It tells tensors apart by name, so those that share one are numbered, and those of subgraphs that
    a WHILE or IF calls can be told by their prefix; it reads only the newer field of operator codes,
    and a list of signatures that must not be absent.
    """
    taken: set[bytes] = set()
    for number_of, subgraph in enumerate(model.subgraphs):
        boundary = {*map(int, subgraph.inputs), *map(int, subgraph.outputs)}
        for index in sorted(range(len(subgraph.tensors)), key=lambda i: i not in boundary):
            tensor = subgraph.tensors[index]
            name = number = (b"called_%d/" % number_of if number_of else b"") + bytes(tensor.name or b"tensor")
            while number in taken:
                number = name + b"_%d" % len(taken)
            tensor.name = number
            taken.add(number)
    model.signatureDefs = model.signatureDefs or []
    for code in model.operatorCodes:
        code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode)


def _litert(path: Path, ranges: dict[int, Range], activations: str, per_channel: bool) -> bytes:  # noqa: FBT001
    """LiteRT's own quantizer on ranges that are written into the float file beforehand."""
    model = graph.load(path)
    if len(model.subgraphs) > 1:
        raise Unsupported("LiteRT's quantizer needs the ranges of a WHILE's body.", place=path.name, fix="")
    for index, (low, high) in ranges.items():
        quantization = schema.QuantizationParametersT()
        quantization.min, quantization.max = [low], [high]
        model.subgraphs[0].tensors[index].quantization = quantization
    add_intermediates(model, ranges)
    ranged = graph.pack(model)  # named, because the wrapper points into it without holding it
    wrapper = litert_quantizer.CalibrationWrapper(ranged, [], [])
    wrapper.Prepare()
    float32, allow_float = np.dtype(np.float32).num, True
    bias = np.int64 if activations == "int16" else np.int32
    content = wrapper.QuantizeModel(
        float32, float32, allow_float, np.dtype(activations).num, np.dtype(bias).num, not per_channel, not per_channel
    )
    quantized = graph.parse(content, path)
    _quantize_paddings(quantized)
    return _tidied(quantized, path)


def _quantize_paddings(model: Any) -> None:
    """Quantize the constant of each PADV2, which LiteRT's quantizer forgets, in place; -inf becomes the least level."""
    if not any(code.builtinCode == schema.BuiltinOperator.PADV2 for code in model.operatorCodes):
        return
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
            stored = quantize_values(values, scale, zero, graph.DTYPES[padded.type])
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(stored.tobytes(), np.uint8)
            model.buffers.append(buffer)
            padding.buffer, padding.type = len(model.buffers) - 1, padded.type
            padding.quantization = padded.quantization


def _ai_edge(path: Path, ranges: dict[int, Range], activations: str, per_channel: bool) -> bytes:  # noqa: FBT001
    """ai-edge-quantizer on the same ranges, its inputs and outputs left float."""
    model = graph.load(path)
    prepare(model)
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
    for kept in (TFLOperationName.INPUT, TFLOperationName.OUTPUT, TFLOperationName.DIV):
        # An integer DIV fails on inputs whose divisor rounds to 0, whatever the calibration samples were.
        made.update_quantization_recipe(".*", kept, algorithm_key=AlgorithmName.NO_QUANTIZE)
    made.update_quantization_recipe(_CALLED, TFLOperationName.ALL_SUPPORTED, algorithm_key=AlgorithmName.NO_QUANTIZE)
    with warnings.catch_warnings():
        # It warns of the memory that its look at the tensors takes, and of divisions by empty channels.
        warnings.simplefilter("ignore")
        content = bytes(made.quantize(statistics).quantized_model)
    return _tidied(graph.parse(content, path), path)


ENGINES = {"LiteRT": _litert, "ai-edge-quantizer": _ai_edge}
"""The quantizers, the one that is asked first first."""
