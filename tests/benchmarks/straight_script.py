"""What a user without edgekit writes for the same two files, with the same libraries and checks.

Usage: python -m tests.benchmarks.straight_script SHARED SAMPLES.npz FOLDER

It loads ResNet-8 with tf-keras, converts it, quantizes it by ai-edge-quantizer (int8, float16), and
compares both files with the Keras network on the samples. One way to choose ranges, no search among
several, no layout proof, no cache, no manifest: less than `edgekit build` does.
"""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np


def quantized(content: bytes, rows: Any) -> bytes:
    """int8 with min-max ranges."""
    from ai_edge_quantizer import quantizer, recipe  # noqa: PLC0415

    made = quantizer.Quantizer(content, recipe.static_wi8_ai8())
    statistics = made.calibrate({"serving_default": [{"input_1": row} for row in rows]})
    return bytes(made.quantize(statistics).quantized_model)


def ran(content: bytes, rows: Any) -> Any:
    """Outputs ``[N, 1, 10]``, float whatever the file's boundary."""
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415

    runner = Interpreter(model_content=content, num_threads=os.cpu_count())
    runner.allocate_tensors()
    (into,), (out,) = runner.get_input_details(), runner.get_output_details()
    results = []
    for row in rows:
        scale, zero = into["quantization"]
        fed = row if not scale else np.clip(np.rint(row / scale) + zero, -128, 127).astype(np.int8)
        runner.set_tensor(into["index"], fed)
        runner.invoke()
        found = runner.get_tensor(out["index"])
        scale, zero = out["quantization"]
        results.append(found if not scale else (found.astype(np.float32) - zero) * scale)
    return np.stack(results)


def main(shared: Path, samples: Path, folder: Path) -> None:
    """Make both files and print how close they come."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf  # noqa: PLC0415
    import tf_keras  # noqa: PLC0415

    with np.load(samples) as file:
        rows = file["input_1"]
    network = tf_keras.models.load_model(shared / "models/mlperf_tiny/pretrainedResnet.h5", compile=False)
    content = tf.lite.TFLiteConverter.from_keras_model(network).convert()
    half = tf.lite.TFLiteConverter.from_keras_model(network)
    half.optimizations, half.target_spec.supported_types = [tf.lite.Optimize.DEFAULT], [tf.float16]
    files = {"int8": quantized(content, rows), "float16": half.convert()}
    checked = rows[np.arange(64) * len(rows) // 64]
    wanted = network.predict(checked[:, 0], verbose=0)[:, None]
    for name, made in files.items():
        (folder / f"plain_{name}.tflite").write_bytes(made)
        found = ran(made, checked)
        sys.stdout.write(f"{name}: {10 * np.log10((wanted**2).sum() / ((wanted - found) ** 2).sum()):.1f} dB\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
