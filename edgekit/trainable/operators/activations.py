"""Activations, alone and fused into other operators."""

from collections.abc import Callable
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edgekit.trainable.libraries import tf, tf_keras
from edgekit.trainable.operands import Call, NotLiftedError
from edgekit.trainable.operators.row import OperatorRow
from edgekit.trainable.stock import Held, Layout, Stock

layers = tf_keras.layers


def clamped(low: float, high: float) -> Callable[[Any], Any]:
    """A function that keeps values within bounds; the gradient is 0 outside."""
    return lambda x: tf.clip_by_value(x, tf.cast(low, x.dtype), tf.cast(high, x.dtype))


def hard_swish(x: Any) -> Any:
    """The product x · relu6(x + 3) / 6."""
    return x * tf.nn.relu6(x + 3) / 6


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "RELU": tf.nn.relu,
    "RELU6": tf.nn.relu6,
    "RELU_N1_TO_1": clamped(-1, 1),
    "RELU_0_TO_1": clamped(0, 1),
    "TANH": tf.tanh,
    "LOGISTIC": tf.sigmoid,
    "ELU": tf.nn.elu,
    "HARD_SWISH": hard_swish,
}
"""Activations without settings."""

LAYERS: dict[str, Callable[[], Any]] = {
    "RELU": layers.ReLU,
    "RELU6": lambda: layers.ReLU(6.0),
    "TANH": lambda: layers.Activation("tanh"),
    "LOGISTIC": lambda: layers.Activation("sigmoid"),
    "ELU": layers.ELU,
}
"""Those that tf-keras has as layers."""

FUSED = {
    schema.ActivationFunctionType.RELU: "RELU",
    schema.ActivationFunctionType.RELU_N1_TO_1: "RELU_N1_TO_1",
    schema.ActivationFunctionType.RELU6: "RELU6",
}
"""Those that may be fused into other operators, by the schema's numbers."""


def fused(options: dict[str, Any]) -> str:
    """The activation fused into an operator, as an operator's name; empty without.

    Raises:
        NotLiftedError: it is none that LiteRT's float kernels know (they take no notice of TANH).
    """
    code = options.get("fusedActivationFunction", 0)
    if code and code not in FUSED:
        raise NotLiftedError(f"its fused activation {code} has no float kernel")
    return FUSED.get(code, "")


def _simple(name: str) -> OperatorRow:
    function, layer = FUNCTIONS[name], LAYERS.get(name)
    return OperatorRow(
        name, lambda call: function(call.stacked(0)), None if layer is None else lambda _: Stock(layer())
    )


def _leaky_relu(call: Call) -> Any:
    return tf.nn.leaky_relu(call.stacked(0), call.options["alpha"])


def _gelu(call: Call) -> Any:
    return tf.nn.gelu(call.stacked(0), bool(call.options["approximate"]))


def _prelu(call: Call) -> Any:
    x, alpha = call.aligned()
    return tf.where(x >= 0, x, x * alpha)


def _prelu_layer(call: Call) -> Stock | None:
    """PReLU, if there is one alpha for each channel (or more) of an image."""
    shape, alpha = call.operand(0).shape, call.operand(1).shape
    if len(shape) != 4 or shape[0] != 1 or len(alpha) != 3 or alpha[2] != shape[3]:
        return None
    shared = [axis + 1 for axis, size in enumerate(alpha) if size == 1 and shape[axis + 1] != 1]
    if any(size not in {1, shape[axis + 1]} for axis, size in enumerate(alpha)):
        return None
    return Stock(layers.PReLU(shared_axes=shared), held=(Held(1, "alpha", Layout.plain(alpha)),))


def _softmax(call: Call) -> Any:
    return tf.nn.softmax(call.stacked(0) * call.options["beta"])


def _softmax_layer(call: Call) -> Stock | None:
    plain = call.options["beta"] == 1.0 and len(call.operand(0).shape) > 1
    return Stock(layers.Softmax()) if plain else None


ROWS = (
    *map(_simple, FUNCTIONS),
    OperatorRow("LEAKY_RELU", _leaky_relu, lambda call: Stock(layers.LeakyReLU(call.options["alpha"]))),
    OperatorRow("GELU", _gelu),
    OperatorRow("PRELU", _prelu, _prelu_layer, weights=(1,)),
    OperatorRow("SOFTMAX", _softmax, _softmax_layer),
    OperatorRow("LOG_SOFTMAX", lambda call: tf.nn.log_softmax(call.stacked(0))),
)
