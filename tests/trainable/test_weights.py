"""Which constants are one weight: those of one value throughout are shared by chance, but beside another shared one."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.nouns.recipe import FineTune
from edgekit.waist import graph, run
from tests import networks
from tests.lazy import Lazy
from tests.training import digits

finetune = Lazy("edgekit.passes.finetune")
weights = Lazy("edgekit.trainable.weights")

FILLED = [np.zeros(8, np.float32), np.full(8, 0.5, np.float32)]


def in_a_row(path: Path, bias: NDArray[np.float32], *, one_kernel: bool = False) -> Path:
    """Image [1, 8, 8, 1] → 64 numbers → three dense layers that share a bias constant, and a kernel if asked."""
    net = networks.Network()
    x, shape = net.input("image", (1, 8, 8, 1)), net.constant("shape", np.int32([1, 64]))
    x = net.operator("RESHAPE", [x, shape], (1, 64), kind="ReshapeOptions", newShape=[1, 64])
    shared, kernel = net.constant("bias", bias), net.constant("kernel", networks.weights(8, 8))
    for layer in range(3):
        own = net.constant(f"kernel{layer}", networks.weights(8, 8 if layer else 64, seed=layer))
        taken = kernel if layer and one_kernel else own
        x = net.operator("FULLY_CONNECTED", [x, taken, shared], (1, 8), kind="FullyConnectedOptions")
    return net.save(path, x)


def biases(content: bytes, path: Path) -> list[NDArray[np.float32]]:
    """What the layers of a file add."""
    model = graph.parse(content, path)
    layers = [one for one in graph.describe(model)[0].operators if one.name == "FULLY_CONNECTED"]
    found = [graph.constant(model, 0, layer.inputs[2]) for layer in layers]
    return [values for values in found if values is not None]


@pytest.mark.parametrize("bias", FILLED, ids=["zeros", "halves"])
def test_a_bias_of_one_value_is_each_layers_own(bias: NDArray[np.float32], tmp_path: Path) -> None:
    path = in_a_row(tmp_path / "net.tflite", bias)
    copy = tmp_path / "apart.tflite"
    copy.write_bytes(weights.apart(path))
    sizes = [len([one for one in weights.find(graph.load(each)) if one.values.shape == (8,)]) for each in (path, copy)]
    assert sizes == [1, 3]
    given = {"image": np.random.default_rng(0).normal(size=(4, 1, 8, 8, 1)).astype(np.float32)}
    (before,), (after,) = run.run(path, given).values(), run.run(copy, given).values()
    assert np.array_equal(before, after)


def test_layers_that_share_a_kernel_share_the_bias_too(tmp_path: Path) -> None:
    copy = tmp_path / "apart.tflite"
    copy.write_bytes(weights.apart(in_a_row(tmp_path / "net.tflite", FILLED[0], one_kernel=True)))
    found = [one for one in weights.find(graph.load(copy)) if one.values.shape == (8,)]
    assert sorted(len(one.places) for one in found) == [1, 2]


def test_a_bias_of_several_values_is_shared_by_intent(tmp_path: Path) -> None:
    assert not weights.apart(in_a_row(tmp_path / "net.tflite", np.arange(8, dtype=np.float32)))


def test_slopes_of_one_value_are_shared_by_intent(tmp_path: Path) -> None:
    """PyTorch's PReLU begins with 0.25, and one module may be used twice."""
    net = networks.Network()
    x, slope = net.input("x", (1, 4, 4, 8)), net.constant("slope", np.full((1, 1, 8), 0.25, np.float32))
    for _ in range(2):
        x = net.operator("PRELU", [x, slope], (1, 4, 4, 8))
    assert not weights.apart(net.save(tmp_path / "net.tflite", x))


def test_training_moves_each_layers_bias_in_its_own_way(tmp_path: Path) -> None:
    path, out = in_a_row(tmp_path / "net.tflite", FILLED[0]), tmp_path / "out"
    out.mkdir()
    classes = digits.digits()[1][: digits.MEMBERS] % 8
    asked = FineTune(epochs=1, learning_rate=5e-3, alpha=1.0, holdout=0.0)
    passed = finetune.FineTunePass().apply(digits.task(tmp_path, path, asked, labels=classes), out)
    first, second, third = biases((out / passed.file).read_bytes(), path)
    assert not np.allclose(first, second, atol=1e-4)
    assert not np.allclose(second, third, atol=1e-4)
