"""LSTM layers of Keras 3 as TFLite's own operator.

TFLite's converter knows an LSTM by the function that tf-keras wraps around its loop; Keras 3 writes
a bare loop, which stays one: slower, larger, and closed to quantizers. So, for conversion alone,
Keras 3's layers hand their loop to a twin from tf-keras with the same weights. The result is
compared with the untouched network, as every conversion is.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from edgekit.sources.keras.libraries import tf_keras
from edgekit.sources.keras.loading import layers


def fusible(model: Any) -> list[Any]:
    """The Keras 3 layers that TFLite's operator can stand for: LSTMs with the usual activations and a bias."""
    if model is None or isinstance(model, tf_keras.Model):
        return []
    return [layer for layer in layers(model) if type(layer).__name__ == "LSTM" and _is_usual(layer)]


def _is_usual(layer: Any) -> bool:
    cell = layer.cell
    names = getattr(cell.activation, "__name__", ""), getattr(cell.recurrent_activation, "__name__", "")
    return bool(names == ("tanh", "sigmoid") and cell.use_bias and not layer.unroll and not layer.stateful)


@contextmanager
def fused(model: Any) -> Iterator[None]:
    """Let the fusible layers call their twins while open."""
    chosen = fusible(model)
    for layer in chosen:
        layer.inner_loop = _loop(layer, layer.inner_loop)
    try:
        yield
    finally:
        for layer in chosen:
            del layer.inner_loop


def _loop(layer: Any, own: Callable[..., Any]) -> Callable[..., Any]:
    """Keras 3's inner loop by a tf-keras layer; the layer's own if there is a mask."""
    cell = layer.cell
    twin = tf_keras.layers.LSTM(
        layer.units,
        return_sequences=layer.return_sequences,
        go_backwards=layer.go_backwards,
        return_state=True,
        name=layer.name,
    )
    twin.build((None, None, int(cell.kernel.shape[0])))
    twin.set_weights([variable.numpy() for variable in (cell.kernel, cell.recurrent_kernel, cell.bias)])

    def loop(sequences: Any, initial_state: Any, mask: Any, *, training: bool = False) -> Any:
        """``inner_loop`` of Keras 3: the last output, all outputs, the last states."""
        if mask is not None:
            return own(sequences, initial_state, mask, training=training)
        outputs, hidden, carried = twin(sequences, initial_state=list(initial_state), training=False)
        last = hidden if layer.return_sequences else outputs  # TFLite's operator gives no state: leave it unused
        return last, outputs, [hidden, carried]

    return loop
