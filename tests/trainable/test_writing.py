"""What is written back: the same bytes if nothing changed, else the same file with other constants."""

from pathlib import Path

import numpy as np
import pytest

from edgekit.waist import graph
from tests import networks
from tests.lazy import Lazy
from tests.networks import Network
from tests.trainable.lifted import agreement_db, samples
from tests.trainable.test_lifting import VECTOR, tied

lifting = Lazy("edgekit.trainable.lifting")
writing = Lazy("edgekit.trainable.writing")


def constants(path: Path) -> dict[str, bytes]:
    tree = graph.load(path)
    found = {t.name: graph.constant(tree, 0, t.index) for t in graph.describe(tree)[0].tensors}
    return {name: values.tobytes() for name, values in found.items() if values is not None}


def test_every_weight_goes_there_and_back_bit_for_bit(tmp_path: Path) -> None:
    path = networks.classifier(tmp_path / "net.tflite")
    lifted, before = lifting.lift(path), constants(path)
    assert {weight.name: weight.values().tobytes() for weight in lifted.weights} == {
        w.name: before[w.name] for w in lifted.weights
    }
    assert writing.written(lifted) == path.read_bytes()


@pytest.mark.parametrize("number", range(6))
def test_one_changed_weight_changes_that_constant_alone(tmp_path: Path, number: int) -> None:
    path, after = networks.classifier(tmp_path / "net.tflite"), tmp_path / "after.tflite"
    lifted, before = lifting.lift(path), constants(path)
    weight = lifted.weights[number]
    weight.variable.assign(np.nextafter(weight.variable.numpy(), np.float32(9)))
    after.write_bytes(writing.written(lifted))
    found = constants(after)
    assert {name for name in before if found[name] != before[name]} == {weight.name}
    assert found[weight.name] == weight.values().tobytes()
    assert graph.read(after)[0].operators == graph.read(path)[0].operators
    assert after.stat().st_size == pytest.approx(path.stat().st_size, rel=0.02)


@pytest.mark.parametrize("copied", [False, True])
def test_all_places_of_a_shared_weight_get_the_new_values(tmp_path: Path, copied: bool) -> None:
    net = Network()
    path, after = tmp_path / "tied.tflite", tmp_path / "after.tflite"
    lifted = lifting.lift(net.save(path, tied(net, net.input("x", VECTOR), copied=copied)))
    for weight in lifted.weights:
        weight.variable.assign(weight.variable.numpy() + 0.1)
    after.write_bytes(writing.written(lifted))
    again, values = lifting.lift(after), samples(path)
    assert [weight.name for weight in again.weights] == ["kernel", "b0"]
    assert agreement_db(again, values) >= 80
    np.testing.assert_allclose(again.model(values["x"][:, 0]), lifted.model(values["x"][:, 0]), rtol=1e-6)
