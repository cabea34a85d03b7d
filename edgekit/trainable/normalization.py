"""Batch normalization behind convolutions: put back for longer training, and folded again.

A waist has none, since converters fold it into weights and biases. Put back, it is initialised from samples: with the
mean μ and the variance σ² of what a convolution makes, γ = √(σ² + ε) and β = μ leave the network as it is. "Batch
Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift" (Ioffe and Szegedy, 2015).
"""

from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from edgekit.trainable.form import Lifted
from edgekit.trainable.libraries import tf, tf_keras
from edgekit.trainable.lifting import lift
from edgekit.waist.tensors import Array

EPSILON = 1e-3
"""What Keras adds to variances."""

BATCH = 32
"""Samples that are run at once to measure."""

Spread = Callable[[Array, tuple[int, ...]], Array]

KERNELS: dict[str, tuple[str, Spread]] = {
    "Conv2D": ("kernel", lambda factors, _: factors),
    "Conv2DTranspose": ("kernel", lambda factors, _: factors[:, None]),
    "DepthwiseConv2D": ("depthwise_kernel", lambda factors, shape: factors.reshape(shape[2:])),
}
"""Layers that may be normalized → the attribute of their kernel, and how one number for each output lies beside it."""


def places(lifted: Lifted) -> frozenset[int]:
    """The convolutions that may be normalized: stock layers with a bias whose weights no other layer reads."""
    readers = Counter(id(variable) for layer in lifted.layers.values() for variable in layer.weights)
    return frozenset(
        place
        for place, layer in lifted.layers.items()
        if type(layer).__name__ in KERNELS
        and layer.use_bias
        and all(readers[id(variable)] == 1 for variable in layer.weights)
    )


def put_back(
    lifted: Lifted,
    samples: Mapping[str, Array],
    *,
    dropped: Mapping[int, float] = MappingProxyType({}),
    fresh: bool = False,
    still: bool = False,
) -> Lifted:
    """The same network, lifted anew, with a BatchNormalization behind each of `places`.

    Args:
        lifted: without normalizations.
        samples: for each input's name in the file ``[N, *shape]``; what they make sets the normalizations.
        dropped: as for `edgekit.trainable.lifting.lift`.
        fresh: for weights that were drawn anew: what they compute is nothing to keep, so that γ = 1 and β = 0.
        still: the network gives the same for every sample. If its last layer hardly varies either, normalizations begin
            as new behind all layers that vary less than the ε that is added to variances: untrained ones, whose own
            normalizations were folded.

    Returns:
        A form that computes the same (if not ``fresh`` or ``still``), with the weights that ``lifted`` holds now.
    """
    chosen = places(lifted)
    made = lift(lifted.path, normalized=chosen, dropped=dropped)
    for new, old in zip(made.weights, lifted.weights, strict=True):
        new.variable.assign(old.variable)
    moments = _moments(lifted, sorted(chosen), samples)
    faint = {place for place, (_, spread) in moments.items() if float(spread.astype(np.float64).mean()) < EPSILON}
    still = still and max(moments) in faint
    for place, (mean, variance) in moments.items():
        layer = made.normalizations[place]
        if still and place in faint:
            continue  # what it will make once the layers before are normalized is not known
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(variance)
        if not fresh:
            layer.gamma.assign(_root(layer))
            layer.beta.assign(mean)
    return made


def _root(layer: Any) -> Array:
    """What a normalization divides by; in float32, so that γ over it is 1 to the last bit before any training."""
    root: Array = np.sqrt(layer.moving_variance.numpy() + np.float32(layer.epsilon))
    return root


def _moments(lifted: Lifted, chosen: list[int], samples: Mapping[str, Array]) -> dict[int, tuple[Array, Array]]:
    """Mean and variance of each channel that the layers make, by their places."""
    if not chosen:
        return {}
    inner = tf_keras.Model(lifted.model.inputs, [lifted.layers[place].output for place in chosen])

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def sums(given: Any) -> Any:
        """For each layer by channel the sum and the sum of squares of a batch, in float64, and of how many numbers."""
        made = inner(given, training=False)
        wide = [tf.cast(values, tf.float64) for values in (made if isinstance(made, list) else [made])]
        return [(tf.reduce_sum(x, (0, 1, 2)), tf.reduce_sum(x * x, (0, 1, 2)), tf.size(x) // x.shape[-1]) for x in wide]

    given = lifted.given(samples)
    totals: list[list[Any]] = [[0.0, 0.0, 0] for _ in chosen]
    for start in range(0, len(given[0]), BATCH):
        for total, found in zip(totals, sums([values[start : start + BATCH] for values in given]), strict=True):
            for number, value in enumerate(found):
                total[number] = total[number] + value.numpy()
    return {
        place: (first / count, np.maximum(second / count - np.square(first / count), 0))
        for place, (first, second, count) in zip(chosen, totals, strict=True)
    }


def fold(lifted: Lifted) -> None:
    """Take the normalizations into the weights and biases before them, in place: the network stays as it is.

    The layers stay too, and do nothing until they are trained further.
    """
    for place, layer in lifted.normalizations.items():
        before, root = lifted.layers[place], _root(layer)
        attribute, spread = KERNELS[type(before).__name__]
        kernel = getattr(before, attribute)
        factors = layer.gamma.numpy() / root
        kernel.assign(kernel.numpy() * spread(factors, tuple(kernel.shape)))
        mean, shift = layer.moving_mean.numpy().astype(np.float64), layer.beta.numpy().astype(np.float64)
        bias = (before.bias.numpy() - mean) * factors + shift
        before.bias.assign(bias.astype(np.float32))
        # What the layer before makes now has the mean β and the variance γ² σ² / (σ² + ε).
        layer.moving_mean.assign(shift)
        layer.moving_variance.assign(np.square(factors) * layer.moving_variance.numpy())
        layer.gamma.assign(_root(layer))
