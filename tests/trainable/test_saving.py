"""A lifted model saved as a Keras model, and loaded again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import networks
from tests.lazy import Lazy
from tests.networks import Network, weights
from tests.trainable.cases import VECTOR
from tests.trainable.lifted import call, samples
from tests.training import digits

lifting = Lazy("edgekit.trainable.lifting")
tf_keras = Lazy("tf_keras")


def odd(path: Path) -> Path:
    """Operators that are no layers of tf-keras: one with weights, one of constants, one that LiteRT runs."""
    net = Network()
    x = net.input("x", VECTOR)
    x = net.operator("MUL", [x, net.constant("scale", weights(12, 1).ravel())], VECTOR, kind="MulOptions")
    x = net.operator("RESHAPE", [x, net.constant("shape", np.array([1, 3, 4], np.int32))], (1, 3, 4))
    x = net.operator("TRANSPOSE", [x, net.constant("order", np.array([0, 2, 1], np.int32))], (1, 4, 3))
    x = net.operator("GELU", [x], (1, 4, 3), kind="GeluOptions", approximate=True)
    other = net.operator("CUMSUM", [x, net.constant("axis", np.array(1, np.int32))], (1, 4, 3), kind="CumsumOptions")
    return net.save(path, x, other)


@pytest.mark.parametrize("build", [odd, digits.network, networks.classifier])
def test_a_saved_model_computes_the_same(build: Any, tmp_path: Path) -> None:
    lifted = lifting.lift(build(tmp_path / "net.tflite"))
    values, file = samples(lifted.path), tmp_path / "out.keras"
    for weight in lifted.weights:
        weight.variable.assign(weight.variable * 1.5)
    expected = call(lifted, values)
    lifted.model.save(file)
    loaded = tf_keras.models.load_model(file)
    found = loaded(lifted.given(values))
    for one, other in zip(found if isinstance(found, list) else [found], expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert sum(w.shape.num_elements() for w in loaded.trainable_weights) == sum(
        w.tensor.values.size for w in lifted.weights
    )


def shared(path: Path) -> Path:
    """A constant of one buffer that operators read in two shapes, as converters leave it."""
    net = Network()
    x = net.input("x", VECTOR)
    scale = net.constant("scale", weights(12, 1).ravel())
    other = net.constant("other", weights(12, 1).reshape(1, 12))
    net.subgraph.tensors[other].buffer = net.subgraph.tensors[scale].buffer
    for constant in (other, scale, other):
        x = net.operator("GELU", [x], VECTOR, kind="GeluOptions", approximate=True)
        x = net.operator("MUL", [x, constant], VECTOR, kind="MulOptions")
    return net.save(path, x)


def test_a_constant_that_is_read_in_two_shapes_is_saved(tmp_path: Path) -> None:
    lifted = lifting.lift(shared(tmp_path / "net.tflite"))
    for weight in lifted.weights:
        weight.variable.assign(weight.variable * 1.5)
    values, file = samples(lifted.path), tmp_path / "out.keras"
    lifted.model.save(file)
    (expected,) = call(lifted, values)
    np.testing.assert_allclose(tf_keras.models.load_model(file)(lifted.given(values)), expected, rtol=1e-5, atol=1e-6)
