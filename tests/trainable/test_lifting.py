"""What a lifted file is: stock layers, shared weights, what stops training."""

from pathlib import Path

import numpy as np
import pytest

from tests import networks
from tests.lazy import Lazy
from tests.networks import Network, weights
from tests.trainable.cases import ROWS, VECTOR, dense, ints
from tests.trainable.lifted import agreement_db, factors, gradients, samples

lifting = Lazy("edgekit.trainable.lifting")
trainable_weights = Lazy("edgekit.trainable.weights")
tf_keras = Lazy("tf_keras")


def test_a_classifier_is_made_of_stock_layers_and_learns(tmp_path: Path) -> None:
    lifted = lifting.lift(networks.classifier(tmp_path / "net.tflite"))
    kinds = [type(layer).__name__ for layer in lifted.layers.values()]
    assert kinds == ["Conv2D", "DepthwiseConv2D", "AveragePooling2D", "Reshape", "Dense", "Softmax"]
    assert all(type(layer).__module__.startswith("tf_keras") for layer in lifted.model.layers)
    values = samples(lifted.path, count=8)
    assert agreement_db(lifted, values) >= 80
    lifted.model.compile(tf_keras.optimizers.SGD(0.2, momentum=0.9), "sparse_categorical_crossentropy")
    images, labels = values["image"][:, 0], np.arange(8) % 5
    losses = lifted.model.fit(images, labels, batch_size=8, epochs=40, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]


def test_weights_are_called_and_shaped_as_in_the_file(tmp_path: Path) -> None:
    lifted = lifting.lift(networks.classifier(tmp_path / "net.tflite"))
    assert {weight.name: weight.values().shape for weight in lifted.weights} == {
        "k1": (16, 3, 3, 3), "b1": (16,), "k2": (1, 3, 3, 16), "b2": (16,), "k3": (5, 64), "b3": (5,),
    }  # fmt: skip
    assert len(lifted.model.trainable_weights) == 6


def tied(net: Network, x: int, *, copied: bool) -> int:
    """Two dense layers of one kernel: one tensor, or another of the same content."""
    kernel = net.constant("kernel", weights(12, 12))
    other = net.constant("copy", weights(12, 12)) if copied else kernel
    for number, chosen in enumerate((kernel, other)):
        bias = net.constant(f"b{number}", np.zeros(12, np.float32))
        x = net.operator("FULLY_CONNECTED", [x, chosen, bias], VECTOR, kind="FullyConnectedOptions")
    return x


@pytest.mark.parametrize("copied", [False, True])
def test_equal_weights_are_one_variable(tmp_path: Path, copied: bool) -> None:
    net = Network()
    lifted = lifting.lift(net.save(tmp_path / "tied.tflite", tied(net, net.input("x", VECTOR), copied=copied)))
    assert [weight.name for weight in lifted.weights] == ["kernel", "b0"]
    assert len(lifted.model.trainable_weights) == 2
    first, second = lifted.layers.values()
    assert first.kernel is second.kernel
    assert agreement_db(lifted, samples(lifted.path)) >= 80


def test_zeros_beside_other_weights_are_weights_of_their_own(tmp_path: Path) -> None:
    net = Network()
    x = net.input("x", VECTOR)
    for number in range(2):
        given = [
            x,
            net.constant(f"k{number}", weights(12, 12, seed=number)),
            net.constant(f"b{number}", np.zeros(12, np.float32)),
        ]
        x = net.operator("FULLY_CONNECTED", given, VECTOR, kind="FullyConnectedOptions")
    net.subgraph.tensors[5].buffer = net.subgraph.tensors[2].buffer  # as converters do that keep each content once
    lifted = lifting.lift(net.save(tmp_path / "zeros.tflite", x))
    assert [weight.name for weight in lifted.weights] == ["k0", "b0", "k1", "b1"]


def test_a_weight_that_lies_in_two_ways_is_still_one(tmp_path: Path) -> None:
    """An embedding that is the output's kernel, too."""
    net = Network()
    at, table = net.input("at", (1, 5), "int32"), net.constant("table", weights(7, 4))
    x = net.operator("GATHER", [table, at], ROWS, kind="GatherOptions", axis=0)
    x = net.operator("FULLY_CONNECTED", [x, table], (1, 5, 7), kind="FullyConnectedOptions", keepNumDims=True)
    lifted = lifting.lift(net.save(tmp_path / "embedding.tflite", x))
    assert [weight.name for weight in lifted.weights] == ["table"]
    values = samples(lifted.path)
    assert agreement_db(lifted, values) >= 80
    (gradient,) = gradients(lifted, values, factors(lifted.path, values))
    assert np.count_nonzero(gradient) == gradient.size


def test_what_rounds_stops_training_by_name(tmp_path: Path) -> None:
    net = Network()
    x = dense(12, 12)(net, net.input("x", VECTOR))
    x = net.operator("ROUND", [x], VECTOR, name="rounded")
    x = net.operator(
        "FULLY_CONNECTED", [x, net.constant("after", weights(3, 12, seed=1))], (1, 3), kind="FullyConnectedOptions"
    )
    lifted = lifting.lift(net.save(tmp_path / "round.tflite", x))
    assert lifted.notes == ("ROUND rounded stops training; no gradient reaches kernel, bias",)
    values = samples(lifted.path)
    assert agreement_db(lifted, values) >= 80
    found = dict(
        zip([w.name for w in lifted.weights], gradients(lifted, values, factors(lifted.path, values)), strict=True)
    )
    assert found["kernel"] is None
    assert found["bias"] is None
    assert np.all(np.isfinite(found["after"]))


def test_an_operator_without_a_form_in_tensorflow_is_run_by_litert(tmp_path: Path) -> None:
    """WHERE gives as many rows as it finds; of them a sum is taken, so that shapes are known again."""
    net = Network()
    x = dense(12, 12)(net, net.input("x", VECTOR))
    made = net.operator(
        "UNIQUE", [ints(net, "given", 3, 1, 3)], (2,), dtype="int32", kind="UniqueOptions", idxOutType=2
    )
    net.subgraph.operators[-1].outputs = [made, net.tensor("index", (3,), "int32")]
    order = net.operator("CAST", [made], (2,), kind="CastOptions")
    wide = net.operator("SUM", [order, ints(net, "axis", 0)], (1,), kind="ReducerOptions", keepDims=True)
    lifted = lifting.lift(
        net.save(tmp_path / "unique.tflite", net.operator("MUL", [x, wide], VECTOR, kind="MulOptions"))
    )
    assert agreement_db(lifted, samples(lifted.path)) >= 80
    assert not lifted.notes


@pytest.mark.parametrize(
    ("values", "learned"),
    [([0.5, -1.0], True), ([1.0], False), ([2.0, 2.0], False), ([0.0, -1e9], False), ([0.0, 1.0, 0.0], False),
     ([0.1, 0.2, -1e9], False), ([1.0, np.nan], False), ([1.0, np.inf, 2.0], False), ([0.0, 0.1, 0.2], True)],
)  # fmt: skip
def test_scales_and_shifts_are_learned_masks_and_epsilons_are_not(values: list[float], learned: bool) -> None:
    assert trainable_weights.looks_learned(np.array(values, np.float32)) is learned


def test_samples_stand_in_front_where_the_file_has_no_batch_of_1(tmp_path: Path) -> None:
    net = Network()
    x = net.input("x", (5, 2, 4))
    x = net.operator("TRANSPOSE", [x, ints(net, "order", 1, 0, 2)], (2, 5, 4))
    lifted = lifting.lift(net.save(tmp_path / "steps.tflite", x))
    assert lifted.model.input_shape == (None, 5, 2, 4)
    assert lifted.model.output_shape == (None, 2, 5, 4)
    assert agreement_db(lifted, samples(lifted.path)) >= 80
