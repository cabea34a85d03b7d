"""Outputs of which parts differ in range, though nothing concatenates them: each keeps its levels in int8."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.backends.tflite.ready import heads
from edgekit.equalization import observing
from edgekit.waist import graph, run
from edgekit.waist.tensors import sqnr_db
from tests import networks
from tests.backends.integers import Quantized, normal

SIZES = np.array([300, 1, 40, 0.02, 300, 2], np.float32)


def dense(net: networks.Network, sizes: Any, *, activation: int = 0, bias: bool = True, taken: int = -1) -> int:
    x = net.input("x", (2, 8)) if taken < 0 else taken
    constants = [net.constant("k", networks.weights(6, 8) * sizes[:, None])]
    constants += [net.constant("b", 0.1 * sizes)] if bias else []
    options = {"kind": "FullyConnectedOptions", "fusedActivationFunction": activation}
    return net.operator("FULLY_CONNECTED", [x, *constants], (2, 6), name="y", **options)


def convolved(net: networks.Network, sizes: Any) -> int:
    x = net.input("x", (1, 4, 4, 8))
    kernel, bias = (
        net.constant("k", networks.weights(6, 1, 1, 8) * sizes.reshape(6, 1, 1, 1)),
        net.constant("b", 0.1 * sizes),
    )
    stride = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1, "padding": networks.SAME}
    x = net.operator("CONV_2D", [x, kernel, bias], (1, 4, 4, 6), kind="Conv2DOptions", **stride)
    shape = net.constant("shape", np.array([1, 16, 6], np.int32))
    return net.operator("RESHAPE", [x, shape], (1, 16, 6), name="y", kind="ReshapeOptions")


def multiplied(net: networks.Network) -> int:
    shares = net.operator("LOGISTIC", [dense(net, np.ones(6, np.float32))], (2, 6))
    return net.operator("MUL", [shares, net.constant("by", SIZES)], (2, 6), name="z", kind="MulOptions")


def joined(net: networks.Network) -> int:
    shares = net.operator("LOGISTIC", [dense(net, np.ones(6, np.float32))], (2, 6))
    large = net.operator("MUL", [shares, net.constant("by", np.float32([300]))], (2, 6), kind="MulOptions")
    return net.operator("CONCATENATION", [large, shares], (2, 12), kind="ConcatenationOptions", axis=1)


def clamped(net: networks.Network) -> int:
    return net.operator("RELU", [joined(net)], (2, 12), name="z")


def scaled(net: networks.Network, factor: Any, shape: tuple[int, ...]) -> int:
    """A constant of another rank comes first."""
    constant = net.constant("factor", np.float32(factor))
    return net.operator("MUL", [constant, joined(net)], shape, name="z", kind="MulOptions")


def observed(path: Path, inputs: dict[str, Any]) -> dict[int, observing.Observed]:
    main = graph.read(path)[0]
    scored = np.arange(len(inputs["x"]))
    return observing.observe(path, main, inputs, scored, 0, by_channel=heads.watched(main)).activations


NETWORKS = {
    "scalar first": lambda net: scaled(net, 0.5, (2, 12)),
    "more axes first": lambda net: scaled(net, [[[0.5]], [[2.0]]], (2, 2, 12)),
    "dense": lambda net: dense(net, SIZES),
    "dense, no bias": lambda net: dense(net, SIZES, bias=False),
    "dense with RELU": lambda net: dense(net, SIZES, activation=1),
    "convolution": lambda net: convolved(net, SIZES),
    "product": multiplied,
    "concatenation with RELU": clamped,
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_column_keeps_its_levels(kind: str, tmp_path: Path) -> None:
    net = networks.Network()
    path = net.save(tmp_path / "waist.tflite", NETWORKS[kind](net))
    made = Quantized(path, normal(path, 64), tmp_path / "out")
    (wanted,), (got,) = made.wanted(made.samples).values(), made.outputs(made.samples).values()
    assert min(sqnr_db(wanted[..., k], got[..., k]) for k in range(wanted.shape[-1])) > 28
    assert "join outputs of different ranges" in made.floats()
    unused = [t.name for t in graph.read(made.artifact)[0].tensors if t.dtype == "float32" and t.constant_bytes > 64]
    assert not unused  # the layer's own weights in float


def measured(net: networks.Network, middles: Any, reach: Any, *, last: str = "") -> int:
    """What is measured around some middle: the offset is the bias of a layer, or is added behind it."""
    count, middles = len(middles), np.float32(middles)
    weights = networks.weights(count, 8) * np.float32(reach).reshape(-1, 1)
    bias = np.zeros(count, np.float32) if last else middles
    constants = [net.constant("k", weights), net.constant("b", bias)]
    activation = {"fusedActivationFunction": 1} if last == "RELU" else {}
    options = {"kind": "FullyConnectedOptions"}
    if last in {"ADD", "SUB"}:
        made = net.operator("FULLY_CONNECTED", [net.input("x", (1, 8)), *constants], (1, count), **options)
        moved = net.constant("offset", middles if last == "ADD" else -middles)
        return net.operator(last, [made, moved], (1, count), name="y", kind=f"{last.title()}Options")
    constants[1] = net.constant("offset", middles)
    return net.operator(
        "FULLY_CONNECTED", [net.input("x", (1, 8)), *constants], (1, count), name="y", **options, **activation
    )


PRICE, WEATHER = ([50_000], [40]), ([101_325, 293], [90, 0.5])
DIVE, PLACES = ([-40_000, 0], [60, 0.3]), ([300, 0, 900], [1, 1, 1])


@pytest.mark.parametrize(
    ("of", "last"),
    [(PRICE, "RELU"), (PRICE, "SUB"), (WEATHER, ""), (WEATHER, "ADD"), (DIVE, ""), (PLACES, "ADD")],
)
def test_what_lies_far_from_0_keeps_its_levels(of: tuple[Any, Any], last: str, tmp_path: Path) -> None:
    """Its own change is what an app reads: an error of that counts, not one of the value."""
    (middles, reach), net = of, networks.Network()
    path = net.save(tmp_path / "waist.tflite", measured(net, middles, reach, last=last))
    made = Quantized(path, normal(path, 64), tmp_path / "out")
    (wanted,), (got,) = made.wanted(made.samples).values(), made.outputs(made.samples).values()
    around = wanted - np.where(np.abs(middles) > 0, wanted.mean(0), 0)
    levels = [sqnr_db(around[..., k], got[..., k] - wanted[..., k] + around[..., k]) for k in range(len(reach))]
    assert min(levels) > 25
    assert "FULLY_CONNECTED" not in made.floats()


def test_what_differs_less_is_left_alone(tmp_path: Path) -> None:
    """Scores of classes: their layer gives integers, and an app may read these."""
    net = networks.Network()
    path = net.save(tmp_path / "waist.tflite", dense(net, np.geomspace(1, 8, 6, dtype=np.float32)))
    made = Quantized(path, normal(path, 64), tmp_path / "out")
    assert made.made.signature.outputs[0].dtype == "int8"
    assert not made.floats()


def classes(net: networks.Network, count: int, spread: float) -> int:
    """Scores of classes from features behind a RELU, with weights whose norms are spread."""
    random = np.random.default_rng(count)
    norms = np.exp(random.uniform(-spread, spread, (count, 1)))
    kernel = net.constant("k", (random.standard_normal((count, 64)) * norms).astype(np.float32))
    bias = net.constant("b", (0.3 * random.standard_normal(count)).astype(np.float32))
    return net.operator(
        "FULLY_CONNECTED", [net.input("x", (1, 64)), kernel, bias], (1, count), name="y", kind="FullyConnectedOptions"
    )


@pytest.mark.parametrize("samples", [3, 40])
@pytest.mark.parametrize(("count", "spread"), [(10, 0.0), (100, 0.7), (1000, 0.0), (1000, 1.0)])
def test_scores_of_classes_share_a_scale(count: int, spread: float, samples: int, tmp_path: Path) -> None:
    """Also if few samples are there to show that a class can have large scores as well."""
    net = networks.Network()
    path = net.save(tmp_path / "waist.tflite", classes(net, count, spread))
    x = np.random.default_rng(1).exponential(1, (samples, 1, 64)).astype(np.float32)
    made = Quantized(path, {"source_x": x}, tmp_path / "out")
    assert made.made.signature.outputs[0].dtype == "int8"
    assert [operator.name for operator in graph.read(made.artifact)[0].operators] == ["FULLY_CONNECTED"]


def test_features_of_different_units_tell_columns_apart(tmp_path: Path) -> None:
    """Weights of the same norm, but one column reads large features, and the other small ones."""
    net = networks.Network()
    kernel = net.constant("k", np.float32([[1, 1, 0, 0], [0, 0, 1, 1]]))
    y = net.operator(
        "FULLY_CONNECTED", [net.input("x", (1, 4)), kernel], (1, 2), name="y", kind="FullyConnectedOptions"
    )
    path = net.save(tmp_path / "waist.tflite", y)
    x = {"x": np.random.default_rng(0).standard_normal((9, 1, 4)).astype(np.float32) * np.float32([99, 99, 1, 1])}
    assert heads.part(graph.load(path), observed(path, x)) == 1


def test_a_large_bias_tells_a_column_apart(tmp_path: Path) -> None:
    """A weight around 300 beside a score, from weights of one size."""
    net = networks.Network()
    constants = [net.constant("k", networks.weights(2, 8)), net.constant("b", np.float32([300, 0]))]
    y = net.operator(
        "FULLY_CONNECTED", [net.input("x", (1, 8)), *constants], (1, 2), name="y", kind="FullyConnectedOptions"
    )
    path = net.save(tmp_path / "waist.tflite", y)
    x = {"x": np.random.default_rng(0).standard_normal((9, 1, 8)).astype(np.float32)}
    assert heads.part(graph.load(path), observed(path, x)) == 1


@pytest.mark.parametrize("activation", [1, 3])
def test_the_parted_layer_is_the_same_function(activation: int, tmp_path: Path) -> None:
    """RELU (1) takes a factor out, RELU6 (3) does not."""
    net = networks.Network()
    path = net.save(tmp_path / "waist.tflite", dense(net, SIZES, activation=activation))
    x = {"x": np.random.default_rng(0).standard_normal((9, 2, 8)).astype(np.float32)}
    wanted, model = run.run(path, x), graph.load(path)
    assert heads.part(model, observed(path, x)) == (activation == 1)
    after = tmp_path / "parted.tflite"
    after.write_bytes(graph.pack(model))
    assert np.allclose(run.run(after, x)["y"], wanted["y"], rtol=1e-5)


def test_a_layer_that_somebody_else_reads_is_left_alone(tmp_path: Path) -> None:
    net = networks.Network()
    y = dense(net, SIZES)
    path = net.save(tmp_path / "waist.tflite", y, net.operator("EXP", [y], (2, 6), kind="ExpOptions"))
    x = {"x": np.zeros((1, 2, 8), np.float32)}
    assert heads.part(graph.load(path), observed(path, x)) == 0
