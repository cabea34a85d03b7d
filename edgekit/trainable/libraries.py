"""TensorFlow and tf-keras, silenced. TF-Keras is Keras 2, for which TensorFlow's Model Optimization Toolkit is written.

The environment must be set before the first import; that is why every part of this package takes
the libraries from here.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_USE_LEGACY_KERAS"] = "1"

import absl.logging
import tensorflow as tf
import tf_keras

absl.logging.set_verbosity(absl.logging.ERROR)
tf.get_logger().setLevel("ERROR")
tf.config.experimental.enable_tensor_float_32_execution(enabled=False)  # GPUs would compute with 10 bits of mantissa

__all__ = ["tf", "tf_keras"]
