"""Preprocessing layers that TFLite has no operators for: they are named, and the remedy is true."""

import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.engine.worker import Worker
from edgekit.errors import Unsupported
from edgekit.nouns.model import SourceOptions, Waist

pytestmark = pytest.mark.slow
PLAIN = SourceOptions()

MAKE = """
import os, sys
os.environ["KERAS_BACKEND"] = "tensorflow"
import {library} as keras
folder, layers = sys.argv[1], keras.layers

def save(name, dtype, layer, head):
    x = layers.Input((4,), dtype=dtype, name="x")
    keras.Model(x, layers.Dense(2, name="out")(head(layer(x)))).save(folder + "/" + name + ".keras")

def embed(x):
    return layers.Flatten()(layers.Embedding(9, 3)(x))

save("lookup", "int64", layers.IntegerLookup(vocabulary=[10, 20, 30], name="look"), embed)
save("hashing", "int64", layers.Hashing(8, name="hash"), embed)
save("strings", "string", layers.StringLookup(vocabulary=["a", "b"], name="words"), embed)
save("counts", "int64", layers.CategoryEncoding(6, output_mode="multi_hot", name="count"), lambda x: x)
"""

MEND = """
import os, sys
os.environ["KERAS_BACKEND"] = "tensorflow"
import {library} as keras
os.chdir(sys.argv[1])
model = keras.models.load_model(sys.argv[2])
exec(sys.argv[3])
"""


def python(script: str, library: str, *arguments: str | Path) -> None:
    subprocess.run([sys.executable, "-c", script.replace("{library}", library), *arguments], check=True)


def waist(worker: Worker, path: Path, out: Path) -> Waist:
    made = worker.call("sources", "keras", "to_waist", path=path, options=PLAIN, out=out)
    assert isinstance(made, Waist)
    return made


@pytest.mark.parametrize("library", ["keras", pytest.param("tf_keras", marks=pytest.mark.study)])
def test_such_layers_are_named_and_the_remedy_helps(worker: Worker, tmp_path: Path, library: str) -> None:
    python(MAKE, library, tmp_path)
    remedies = {}
    for name, layer, kind in (
        ("lookup", "look", "IntegerLookup"),
        ("hashing", "hash", "Hashing"),
        ("strings", "words", "StringLookup"),
        ("counts", "count", "CategoryEncoding"),
    ):
        with pytest.raises(Unsupported, match=f"{layer} \\({kind}") as caught:
            waist(worker, tmp_path / f"{name}.keras", tmp_path / "out")
        assert f"layer {layer}" in caught.value.place
        remedies[name] = caught.value.fix
    python(MEND, library, tmp_path, "lookup.keras", remedies["lookup"].split("in Python: ")[1])
    made = waist(worker, tmp_path / "network.keras", tmp_path / "mended")
    assert made.signature.inputs[0].shape == (1, 4)


@pytest.mark.shared
def test_the_reported_network_is_refused_by_its_layers_name(worker: Worker, shared: Path, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"integer_lookup \(IntegerLookup"):
        waist(worker, shared / "models/reported/integer_lookup.keras", tmp_path)
