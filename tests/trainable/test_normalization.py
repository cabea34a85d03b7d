"""Batch normalization put back behind convolutions, and folded again."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgekit.waist import run
from edgekit.waist.tensors import sqnr_db
from tests import networks
from tests.lazy import Lazy
from tests.networks import SAME, Network
from tests.trainable.cases import IMAGE, conv, depthwise, transposed
from tests.trainable.lifted import agreement_db, call, samples

if TYPE_CHECKING:
    from edgekit.trainable.form import Lifted

lifting = Lazy("edgekit.trainable.lifting")
writing = Lazy("edgekit.trainable.writing")
tf_keras = Lazy("tf_keras")
normalization = Lazy("edgekit.trainable.normalization")

NETWORK = {
    "CONV_2D": conv((6, 3, 3, 4), fusedActivationFunction=networks.RELU),
    "DEPTHWISE_CONV_2D": depthwise((3, 3), 2),
    "TRANSPOSE_CONV": transposed((1, 12, 16, 3), 3, 2, SAME),
}


def trained(form: "Lifted", values: dict[str, Any]) -> None:
    """Some steps away from where it was, with whatever gradient a random target gives."""
    form.model.compile(tf_keras.optimizers.SGD(0.01), "mse")
    given, target = form.given(values)[0], np.asarray(call(form, values)[0])
    form.model.fit(given, target + 1, batch_size=8, epochs=3, verbose=0)


@pytest.mark.parametrize("name", NETWORK)
def test_a_normalization_leaves_the_network_as_it_is_and_is_folded_after_training(name: str, tmp_path: Path) -> None:
    net, after = Network(), tmp_path / "after.tflite"
    path = net.save(tmp_path / "net.tflite", NETWORK[name](net, net.input("x", IMAGE)))
    values = samples(path, count=40)
    form = normalization.put_back(lifting.lift(path), values)
    assert list(form.normalizations) == [0]
    assert agreement_db(form, values) >= 80
    assert writing.written(form) == path.read_bytes()
    at_training = np.asarray(call(form, values, training=True)[0])
    assert sqnr_db(np.asarray(call(form, values)[0]), at_training) >= 40  # the samples' own mean and variance
    trained(form, values)
    expected = np.asarray(call(form, values)[0])
    after.write_bytes(writing.written(form))
    (found,) = run.run(after, values).values()
    assert after.read_bytes() != path.read_bytes()
    assert sqnr_db(expected, found.reshape(expected.shape)) >= 80
    assert sqnr_db(expected, np.asarray(call(form, values)[0])) >= 80  # folding changed nothing either


def test_behind_weights_that_are_drawn_anew_it_normalizes(tmp_path: Path) -> None:
    net = Network()
    path = net.save(tmp_path / "net.tflite", conv((6, 3, 3, 4))(net, net.input("x", IMAGE)))
    values = {name: 255 * given for name, given in samples(path, count=40).items()}
    form = normalization.put_back(lifting.lift(path), values, fresh=True)
    for training in (False, True):
        made = np.asarray(call(form, values, training=training)[0])
        assert np.allclose(made.mean((0, 1, 2)), 0, atol=0.01)
        assert np.allclose(made.std((0, 1, 2)), 1, atol=0.02)


def test_only_convolutions_with_weights_of_their_own_are_normalized(tmp_path: Path) -> None:
    lifted = lifting.lift(networks.classifier(tmp_path / "net.tflite"))
    assert normalization.places(lifted) == {0, 1}
    net = Network()
    x = net.input("x", IMAGE)
    kernel, bias = net.constant("kernel", networks.weights(4, 3, 3, 4)), net.constant("bias", np.zeros(4, np.float32))
    for _ in range(2):
        x = net.operator("CONV_2D", [x, kernel, bias], IMAGE, kind="Conv2DOptions", padding=SAME, strideW=1, strideH=1)
    shared = lifting.lift(net.save(tmp_path / "shared.tflite", x))
    assert normalization.places(shared) == set()
    assert not normalization.put_back(shared, samples(shared.path)).normalizations


def test_weights_that_were_trained_before_are_kept(tmp_path: Path) -> None:
    lifted = lifting.lift(networks.classifier(tmp_path / "net.tflite"))
    lifted.weights[0].variable.assign(lifted.weights[0].variable + 0.1)
    values = samples(lifted.path, count=8)
    form = normalization.put_back(lifted, values)
    np.testing.assert_allclose(call(form, values)[0], call(lifted, values)[0], rtol=1e-3, atol=1e-6)
