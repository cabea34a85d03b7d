"""Plain post-training quantization as a user without edgekit writes it: TFLiteConverter, int8 in and out.

Usage: python -m tests.studies.accuracy.converter MODEL CALIBRATION.npy OUT.tflite [--per-tensor]

An ONNX model does not reach TFLiteConverter, so for a float ``.tflite`` (the waist) the second half
of the converter, its calibrator and quantizer, is called alone.
"""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

PER_TENSOR = "--per-tensor"
"""One scale for all weights of a layer, of a ``.tflite`` only."""


def converted(model: Path, calibration: Any) -> bytes:
    """A Keras file or SavedModel with a fixed batch of 1 → int8."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf  # noqa: PLC0415 - only in this child process
    import tf_keras  # noqa: PLC0415

    if model.is_dir():
        loaded = tf.saved_model.load(str(model))
        serving = loaded.signatures["serving_default"]
        (spec,) = serving.structured_input_signature[1].values()
        (output,) = serving.structured_outputs
        call = tf.function(lambda x: serving(**{spec.name: x})[output])
        shape = [1, *spec.shape[1:]]
    else:
        loaded = tf_keras.models.load_model(model, compile=False)
        call = tf.function(lambda x: loaded(x, training=False))
        shape = [1, *loaded.inputs[0].shape[1:]]
    function = call.get_concrete_function(tf.TensorSpec(shape, tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], loaded)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([row.reshape(shape)] for row in calibration)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    content: bytes = converter.convert()
    return content


def quantized(model: Path, calibration: Any, *, per_channel: bool = True) -> bytes:
    """A float TFLite file → int8, by the calibrator and quantizer behind TFLiteConverter."""
    from ai_edge_litert import _pywrap_tensorflow_lite_calibration_wrapper as wrapper  # noqa: PLC0415
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415

    content = model.read_bytes()
    shape = [int(size) for size in Interpreter(model_content=content).get_input_details()[0]["shape"]]
    calibrator = wrapper.CalibrationWrapper(content, [], [])
    calibrator.Prepare([shape])
    for row in calibration:
        calibrator.FeedTensor([row.reshape(shape)])
    int8, int32 = np.dtype(np.int8).num, np.dtype(np.int32).num
    made: bytes = calibrator.QuantizeModel(int8, int8, False, int8, int32, not per_channel, not per_channel)
    return made


if __name__ == "__main__":
    source, samples, out = map(Path, sys.argv[1:4])
    rows = np.load(samples)
    if source.suffix == ".tflite":
        out.write_bytes(quantized(source, rows, per_channel=PER_TENSOR not in sys.argv))
    else:
        out.write_bytes(converted(source, rows))
