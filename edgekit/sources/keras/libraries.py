"""TensorFlow and the two Keras libraries, silenced, and none loaded before it is needed.

The environment must be set before the first import; that is why every part of this package takes
the libraries from here.
"""

import os
import struct
import sys
import zipfile
from functools import cache
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # the reference is the CPU's, on every machine
os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever ~/.keras/keras.json says: LiteRT comes from TensorFlow
os.environ["TF_USE_LEGACY_KERAS"] = "1"  # else `import tensorflow` loads Keras 3 even for models that do not need it

import absl.logging
import tensorflow as tf
import tf_keras
from google.protobuf.message import DecodeError
from tensorflow.lite.python.convert import ConverterError
from tensorflow.python.ops.op_selector import UnliftableError
from tensorflow.python.saved_model.nested_structure_coder import NotEncodableError

absl.logging.set_verbosity(absl.logging.ERROR)
tf.get_logger().setLevel("ERROR")

FAILURES = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    SyntaxError,
    StopIteration,
    struct.error,
    zipfile.BadZipFile,
    AttributeError,
    NameError,
    AssertionError,
    NotImplementedError,
    ImportError,
    RuntimeError,  # with RecursionError
    OSError,
    EOFError,
    MemoryError,
    DecodeError,
    ConverterError,
    tf.errors.OpError,
    NotEncodableError,
)
"""What TensorFlow and Keras raise when a file or a graph is not to their liking; they have no tree of their own."""

__all__ = ["FAILURES", "ConverterError", "UnliftableError", "keras3", "tf", "tf_keras"]


@cache
def keras3() -> Any:
    """Keras 3, without what it would load for wrappers and plots that no model file needs (2 s)."""
    blocked = {"matplotlib", "sklearn"} - sys.modules.keys()
    sys.modules.update(dict.fromkeys(blocked))  # type: ignore[arg-type]
    try:
        import keras  # noqa: PLC0415 - 0.5 s that only Keras 3 files cost
    finally:
        for name in blocked:
            del sys.modules[name]
    return keras
