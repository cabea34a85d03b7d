"""What a user without edgekit writes for the same two files: the same libraries, algorithm and checks.

Usage: python -m tests.studies.benchmarks.straight_script SHARED SAMPLES.npz FOLDER

ResNet-8 is loaded with tf-keras, frozen, and converted by TensorFlow's converter. All samples are run to
see every activation; LiteRT's quantizer makes an int8 file for each of four choices of ranges, and the
one that comes closest to the float outputs on 128 samples is kept. The constants of a second file are
stored as float16. Both files are compared with the Keras network on 64 samples. One process and one
step after the other, for this one model: no look at other formats, no second quantizer, no cache, no
manifest. `tests/studies/benchmarks/test_speed.py` proves that both files compute what edgekit's compute.
"""

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "TF_USE_LEGACY_KERAS": "1"}

import flatbuffers
import numpy as np
import tensorflow as tf
import tf_keras
from ai_edge_litert import _pywrap_tensorflow_lite_calibration_wrapper as litert_quantizer
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

PLAIN = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
FLOAT32, FLOAT16 = schema.TensorType.FLOAT32, schema.TensorType.FLOAT16
SOFTMAX, DEQUANTIZE = schema.BuiltinOperator.SOFTMAX, schema.BuiltinOperator.DEQUANTIZE


def unpacked(content: bytes) -> Any:
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))


def packed(model: Any) -> bytes:
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def converted(network: Any) -> bytes:
    """A float TFLite file for batch 1."""
    function = tf.function(lambda x: network(x, training=False), autograph=False)
    shape = tf.TensorSpec((1, 32, 32, 3), tf.float32)
    return bytes(tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function(shape)]).convert())


def observed(content: bytes, graph: Any, rows: Any, scored: Any) -> tuple[dict[int, Any], Any, Any]:
    """Extremes and sampled values of every activation, all rows of the logits, and the scored outputs."""
    runner = Interpreter(
        model_content=content, num_threads=os.cpu_count(), experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=PLAIN,
    )  # fmt: skip
    runner.allocate_tensors()
    (into,), (out,) = runner.get_input_details(), runner.get_output_details()
    random, share = np.random.default_rng(0), (1 << 16) // len(rows)
    seen: dict[int, Any] = {i: (np.inf, -np.inf, []) for i in graph.activations}
    logits, outputs = [], []
    for number, row in enumerate(rows):
        runner.set_tensor(into["index"], row)
        runner.invoke()
        for index, (low, high, values) in seen.items():
            try:
                found = runner.get_tensor(index)
            except ValueError:
                continue
            flat = found.ravel()
            values.append(flat if flat.size <= share else flat[random.integers(0, flat.size, share)])
            seen[index] = min(low, float(flat.min())), max(high, float(flat.max())), values
            if index == graph.logits:
                logits.append(found)
        if number in scored:
            outputs.append(runner.get_tensor(out["index"]))
    return {i: s for i, s in seen.items() if s[2]}, np.concatenate(logits), np.stack(outputs)


def rounded(values: Any, low: Any, high: Any) -> Any:
    scale = np.maximum((high - low) / 255, 1e-30)
    zero = np.rint(-low / scale)
    return (np.clip(np.rint(values / scale) + zero, 0, 255) - zero) * scale


def least_squares(low: float, high: float, values: Any) -> tuple[float, float]:
    """The range, clipped at one end or both, whose 256 levels err least on a histogram."""
    counts, edges = np.histogram(values, 2048)
    centres, used = ((edges[:-1] + edges[1:]) / 2)[counts > 0], counts[counts > 0]
    low, high = min(low, 0.0), max(high, 0.0)
    kept, whole = np.linspace(0.3, 1, 29), np.ones(29)
    shares = np.concatenate([np.stack(pair, 1) for pair in ((kept, kept), (whole, kept), (kept, whole))])
    lows, highs = low * shares[:, :1], high * shares[:, 1:]
    best = int((((rounded(centres[None], lows, highs) - centres) ** 2) * used).sum(1).argmin())
    return float(lows[best, 0]), float(highs[best, 0])


def softmax(rows: Any) -> Any:
    powers = np.exp(rows - rows.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def after_softmax(rows: Any) -> tuple[float, float]:
    """The logits' range with the least error behind the softmax."""
    wanted = softmax(rows)
    lows = [-3, -6, -10, -15, -20, -30, -50, *np.percentile(rows, [0, 0.01, 0.1, 1, 5, 10, 20, 40])]
    highs = [3, 6, 10, 15, 20, 30, 50, *np.percentile(rows, [60, 80, 90, 95, 99, 99.9, 99.99, 100])]
    best = floor, ceiling = min(float(rows.min()), 0.0), max(float(rows.max()), 0.0)
    least = np.inf
    pairs = {(max(float(a), floor), min(float(b), ceiling)) for a in lows for b in highs if a <= 0 <= b}
    for low, high in sorted(pairs | {best}, key=lambda pair: pair[0] - pair[1]):
        error = float(((softmax(rounded(rows, low, high)) - wanted) ** 2).mean())
        if error < least * 0.98:
            best, least = (low, high), error
    return best


def percentiles(share: float) -> Any:
    return lambda _low, _high, values: tuple(map(float, np.percentile(values, [100 - share, share])))


WAYS = {
    "minmax": lambda low, high, _: (low, high),
    "least-squares": least_squares,
    "p99.99": percentiles(99.99),
    "p99.9": percentiles(99.9),
}


def quantized(content: bytes, ranges: dict[int, tuple[float, float]]) -> bytes:
    """int8 with int8 inputs and outputs, weights by channel."""
    model = unpacked(content)
    for index, (low, high) in ranges.items():
        quantization = schema.QuantizationParametersT()
        quantization.min, quantization.max = [min(low, 0.0)], [max(high, 0.0)]
        model.subgraphs[0].tensors[index].quantization = quantization
    ranged = packed(model)
    wrapper = litert_quantizer.CalibrationWrapper(ranged, [], [])
    wrapper.Prepare()
    int8, int32 = np.dtype(np.int8).num, np.dtype(np.int32).num
    return bytes(wrapper.QuantizeModel(int8, int8, True, int8, int32, False, False))


class Graph:
    """Which tensors of a float file are activations, and which of them feeds the softmax."""

    def __init__(self, model: Any) -> None:
        main, codes = model.subgraphs[0], model.operatorCodes
        empty = [buffer.data is None or not len(buffer.data) for buffer in model.buffers]
        self.activations = [i for i, t in enumerate(main.tensors) if t.type == FLOAT32 and empty[t.buffer]]
        (self.logits,) = (
            int(operator.inputs[0])
            for operator in main.operators
            if max(codes[operator.opcodeIndex].builtinCode, codes[operator.opcodeIndex].deprecatedBuiltinCode)
            == SOFTMAX
        )


def to_int8(content: bytes, rows: Any) -> bytes:
    """The best of four int8 files."""
    scored = np.unique(np.linspace(0, len(rows) - 1, 128).round().astype(int))
    graph = Graph(unpacked(content))
    seen, logits, wanted = observed(content, graph, rows, scored)
    made = []
    for way in WAYS.values():
        ranges = {index: way(low, high, np.concatenate(values)) for index, (low, high, values) in seen.items()}
        made.append(quantized(content, ranges | {graph.logits: after_softmax(logits)}))
    return max(made, key=lambda file: decibels(wanted, ran(file, rows[scored])))


def to_float16(content: bytes) -> bytes:
    """Every float32 constant as float16, with a DEQUANTIZE behind it."""
    model = unpacked(content)
    main, code = model.subgraphs[0], schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = DEQUANTIZE
    code.version = 2
    model.operatorCodes.append(code)
    used = {int(index) for operator in main.operators for index in operator.inputs}
    for index, tensor in enumerate(list(main.tensors)):
        data = model.buffers[tensor.buffer].data
        if tensor.type != FLOAT32 or data is None or not len(data) or index not in used:
            continue
        half, buffer, operator = schema.TensorT(), schema.BufferT(), schema.OperatorT()
        buffer.data = np.frombuffer(np.frombuffer(bytes(data), np.float32).astype(np.float16).tobytes(), np.uint8)
        model.buffers.append(buffer)
        half.name, half.shape, half.hasRank = bytes(tensor.name) + b"_float16", tensor.shape, tensor.hasRank
        half.type, half.buffer, tensor.buffer = FLOAT16, len(model.buffers) - 1, 0
        main.tensors.append(half)
        operator.opcodeIndex = len(model.operatorCodes) - 1
        operator.inputs, operator.outputs = [len(main.tensors) - 1], [index]
        main.operators.insert(0, operator)
    kept = {tensor.buffer for tensor in main.tensors}
    for index, buffer in enumerate(model.buffers):
        if index not in kept:
            buffer.data = None
    return packed(model)


def ran(content: bytes, rows: Any) -> Any:
    """Outputs ``[N, 1, 10]``, float whatever the file's boundary."""
    runner = Interpreter(model_content=content, num_threads=os.cpu_count())
    runner.allocate_tensors()
    (into,), (out,) = runner.get_input_details(), runner.get_output_details()
    (scale_in, zero_in), (scale_out, zero_out) = into["quantization"], out["quantization"]
    if scale_in:
        rows = np.clip(np.rint(rows.astype(np.float64) / scale_in) + zero_in, -128, 127).astype(np.int8)
    results = []
    for row in rows:
        runner.set_tensor(into["index"], row)
        runner.invoke()
        results.append(runner.get_tensor(out["index"]))
    found = np.stack(results)
    return (found.astype(np.float32) - zero_out) * scale_out if scale_out else found


def decibels(wanted: Any, found: Any) -> float:
    return float(10 * np.log10((wanted**2).sum() / ((wanted - found) ** 2).sum()))


def main(shared: Path, samples: Path, folder: Path) -> None:
    """Make both files and print how close they come."""
    with np.load(samples) as file:
        rows = np.stack(sorted(file["input_1"], key=lambda row: hashlib.sha256(row.tobytes()).digest()))
    network = tf_keras.models.load_model(shared / "models/mlperf_tiny/pretrainedResnet.h5", compile=False)
    content = converted(network)
    files = {"int8": to_int8(content, rows), "float16": to_float16(content)}
    checked = rows[np.arange(64) * len(rows) // 64]
    wanted = network(checked[:, 0], training=False).numpy()[:, None]
    for name, made in files.items():
        (folder / f"plain_{name}.tflite").write_bytes(made)
        found = ran(made, checked)
        agree = float(np.mean(wanted.argmax(-1) == found.argmax(-1)))
        sys.stdout.write(f"{name}: {decibels(wanted, found):.1f} dB, {100 * agree:.1f} % agree\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
