"""A variable in several slots of one operator comes back from a saved layer as one."""

from pathlib import Path

import numpy as np

from tests import networks
from tests.lazy import Lazy

layers = Lazy("edgekit.trainable.layers")
lifting = Lazy("edgekit.trainable.lifting")
tf_keras = Lazy("tf_keras")


def test_gates_of_one_bias_are_loaded_again(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 3, 2))
    inputs = [net.constant(f"in{gate}", networks.weights(4, 2, seed=gate)) for gate in range(4)]
    recurrent = [net.constant(f"rec{gate}", networks.weights(4, 4, seed=4 + gate)) for gate in range(4)]
    zero, one = net.constant("zero", np.zeros(4, np.float32)), net.constant("one", np.ones(4, np.float32))
    states = [net.tensor(f"state{number}", (1, 4), variable=True) for number in range(2)]
    made = net.operator(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        [x, *inputs, *recurrent, -1, -1, -1, zero, one, zero, zero, -1, -1, *states, -1, -1, -1, -1],
        (1, 3, 4), kind="UnidirectionalSequenceLSTMOptions", fusedActivationFunction=4, cellClip=0.0, projClip=0.0,
    )  # fmt: skip
    model = lifting.lift(net.save(tmp_path / "net.tflite", made)).model
    model.save(tmp_path / "net.keras")
    again = tf_keras.models.load_model(tmp_path / "net.keras", custom_objects=layers.custom_objects())
    given = networks.weights(2, 3, 2).reshape(2, *model.inputs[0].shape[1:])
    assert np.array_equal(model.predict(given, verbose=0), again.predict(given, verbose=0))
    assert len(again.weights) == len(model.weights) == 10
