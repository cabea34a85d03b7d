"""Functions of single values that TFLite has no operator for, or computes wrongly far from zero: written as others.

* **Softplus.** The converter writes log(1 + eˣ), which is infinite beyond 88, where eˣ leaves float32.
* **Angles** are those of a point: TFLite has the arctangent of two values.
* **Erf** by the approximation 7.1.26 of Abramowitz & Stegun, *Handbook of Mathematical Functions*, 1964: within 1.5e-7.

Each function takes a tensor of any shape and gives one of the same.
"""

from collections.abc import Callable
from typing import Any

from edgekit.sources.keras.libraries import tf

Curve = Callable[[Any], Any]

ERF_STEP = 0.3275911
ERF_TERMS = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
"""p and a5 … a1 of 7.1.26."""


def softplus(x: Any) -> Any:
    """log(1 + eˣ) as max(x, 0) + log(1 + e^−|x|), which is finite for every x."""
    return tf.nn.relu(x) + tf.math.log(1 + tf.exp(-tf.abs(x)))


def erf(x: Any) -> Any:
    """sign(x) · (1 − t · (a1 + … + a5 · t⁴) · e^−x²) with t = 1 / (1 + p · |x|)."""
    t = 1 / (1 + ERF_STEP * tf.abs(x))
    total = ERF_TERMS[0] * t
    for term in ERF_TERMS[1:]:
        total = (total + term) * t
    return tf.sign(x) * (1 - total * tf.exp(-x * x))


def asinh(x: Any) -> Any:
    """sign(x) · log(|x| + √(x² + 1)): without the sign, the sum cancels far below zero."""
    return tf.sign(x) * tf.math.log(tf.abs(x) + tf.sqrt(x * x + 1))


def _beside(x: Any) -> Any:
    """√(1 − x²), which keeps its digits near ±1."""
    return tf.sqrt((1 - x) * (1 + x))


CURVES: dict[str, Curve] = {
    "Acos": lambda x: tf.atan2(_beside(x), x),
    "Acosh": lambda x: tf.math.log(x + tf.sqrt(x - 1) * tf.sqrt(x + 1)),
    "Asin": lambda x: tf.atan2(x, _beside(x)),
    "Asinh": asinh,
    "Atan": lambda x: tf.atan2(x, tf.ones_like(x)),
    "Atanh": lambda x: 0.5 * (tf.math.log(1 + x) - tf.math.log(1 - x)),
    "Cosh": lambda x: 0.5 * (tf.exp(x) + tf.exp(-x)),
    "Erf": erf,
    "Erfc": lambda x: 1 - erf(x),
    "Sinh": lambda x: 0.5 * (tf.exp(x) - tf.exp(-x)),
    "Softplus": softplus,
    "Tan": lambda x: tf.sin(x) / tf.cos(x),
}
"""Operators of TensorFlow → what takes their place."""
