"""A network written as a Keras model for training code of one's own, and taken back."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.config import Project
from edgekit.engine.session import Session
from edgekit.engine.store import Store
from edgekit.errors import InputError
from edgekit.nouns.model import SourceOptions
from edgekit.steps import conversion, reading
from edgekit.verbs.compress import compress
from edgekit.waist import run
from tests.networks import Network, weights
from tests.verbs.test_flow import Watch

pytestmark = [pytest.mark.slow, pytest.mark.study, pytest.mark.usefixtures("kept_workers")]

OWN_CODE = """
import sys
import numpy as np
import edgekit.trainable.layers
import tf_keras
model = tf_keras.models.load_model("out.keras")
x = np.load("x.npy")
np.save("y.npy", model(x))
model.compile(tf_keras.optimizers.SGD(0.01), "mse")
losses = model.fit(x, np.ones((len(x), 5), "float32"), epochs=3, verbose=0).history["loss"]
assert losses[-1] < losses[0], losses
np.save("trained.npy", model(x))
model.save("trained.keras")
"""


def network(path: Path) -> Path:
    """A layer of Keras, and operators that are none there."""
    net = Network()
    x = net.input("x", (1, 12))
    x = net.operator("MUL", [x, net.constant("scale", weights(12, 1).ravel())], (1, 12), kind="MulOptions")
    x = net.operator("GELU", [x], (1, 12), kind="GeluOptions", approximate=True)
    given = [x, net.constant("kernel", weights(5, 12)), net.constant("bias", weights(5, 1).ravel())]
    return net.save(path, net.operator("FULLY_CONNECTED", given, (1, 5), kind="FullyConnectedOptions"))


def session(place: Path) -> Session:
    return Session(Store(place / "cache"), place / "log.txt", Watch())


def outputs(file: Path, x: Any) -> Any:
    name = run.interpreter(file).get_input_details()[0]["name"]
    return np.concatenate([next(iter(row.values())) for row in run.each(file, {name: x[:, None]})])


def test_own_code_trains_a_network_and_edgekit_takes_it_back(tmp_path: Path) -> None:
    model, out = network(tmp_path / "net.tflite"), tmp_path / "out.keras"
    with session(tmp_path) as opened:
        assert compress(opened, Project(), model, out).file == out
    x = np.random.default_rng(0).standard_normal((16, 12)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    subprocess.run([sys.executable, "-c", OWN_CODE], cwd=tmp_path, check=True, capture_output=True, timeout=300)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), outputs(model, x), rtol=1e-5, atol=1e-6)
    with session(tmp_path) as opened:
        found = reading.open_network(opened, tmp_path / "trained.keras", SourceOptions())
        waist = conversion.subject(opened, found, ()).waist
        assert waist is not None
        trained = outputs(waist.folder / waist.result.file, x)
    np.testing.assert_allclose(np.load(tmp_path / "trained.npy"), trained, rtol=1e-4, atol=1e-5)


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with session(tmp_path) as opened, pytest.raises(InputError):
        compress(opened, Project(), network(tmp_path / "net.tflite"), tmp_path / "out.h5")
