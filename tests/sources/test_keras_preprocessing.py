"""Preprocessing layers that TFLite has no operators for: they are named, and the remedy is true."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.engine.worker import Worker
from edgekit.errors import Unsupported
from edgekit.nouns.model import SourceOptions, Waist

pytestmark = pytest.mark.slow
PLAIN = SourceOptions()

MEND = """
import os, sys
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_USE_LEGACY_KERAS"] = "1"  # TensorFlow need not load Keras 3 for itself
import {library} as keras
os.chdir(sys.argv[1])
model = keras.models.load_model(sys.argv[2])
exec(sys.argv[3])
"""


def waist(worker: Worker, path: Path, out: Path) -> Waist:
    made = worker.call("sources", "keras", "to_waist", path=path, options=PLAIN, out=out)
    assert isinstance(made, Waist)
    return made


@pytest.mark.parametrize("library", ["keras", pytest.param("tf_keras", marks=pytest.mark.study)])
def test_such_layers_are_named_and_the_remedy_helps(
    worker: Worker, keras_files: Callable[[str], Path], tmp_path: Path, library: str
) -> None:
    models = keras_files("preprocessing/k3" if library == "keras" else "preprocessing/legacy")
    remedies = {}
    for name, layer, kind in (
        ("lookup", "look", "IntegerLookup"),
        ("hashing", "hash", "Hashing"),
        ("strings", "words", "StringLookup"),
        ("counts", "count", "CategoryEncoding"),
    ):
        with pytest.raises(Unsupported, match=f"{layer} \\({kind}") as caught:
            waist(worker, models / f"{name}.keras", tmp_path / "out")
        assert f"layer {layer}" in caught.value.place
        remedies[name] = caught.value.fix
    mend = [MEND.replace("{library}", library), tmp_path, models / "lookup.keras"]
    subprocess.run([sys.executable, "-c", *mend, remedies["lookup"].split("in Python: ")[1]], check=True)
    made = waist(worker, tmp_path / "network.keras", tmp_path / "mended")
    assert made.signature.inputs[0].shape == (1, 4)


@pytest.mark.shared
def test_the_reported_network_is_refused_by_its_layers_name(worker: Worker, shared: Path, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"integer_lookup \(IntegerLookup"):
        waist(worker, shared / "models/reported/integer_lookup.keras", tmp_path)
