"""Weights equalized across layers: the same float network, of which one scale for all weights of a layer is enough."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.backends.tflite import equalization
from edgekit.backends.tflite.ranges import observe
from edgekit.waist import graph, run
from edgekit.waist.tensors import sqnr_db
from tests import networks
from tests.backends.apart import as_float, spread_out
from tests.backends.integers import Quantized, normal

RELU6 = networks.schema.ActivationFunctionType.RELU6
STRIDES = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1, "padding": networks.SAME}


def chain(path: Path, *, spread: float = 1.0, activation: int = networks.RELU, seed: int = 0) -> Path:
    """Convolution, depthwise (multiplier 2), grouped convolution, pool, flatten, dense → [1, 5].

    Channels of each hidden tensor are ``spread`` apart, and the float function does not depend on it.
    """
    random = np.random.default_rng(seed)
    apart = [spread ** random.uniform(-0.5, 0.5, n) for n in (8, 16, 12)]
    net = networks.Network()
    x = net.input("image", (1, 6, 6, 3))

    def convolved(name: str, builtin: str, value: int, kernel: Any, before: Any, after: Any, **options: Any) -> int:
        """The layer with what it reads multiplied, and what it makes too."""
        groups = len(before) // kernel.shape[-1]
        if builtin == "DEPTHWISE_CONV_2D":
            kernel = kernel / np.repeat(before, 2) * after
        else:
            taken = np.repeat(before.reshape(groups, -1), len(kernel) // groups, 0)[:, None, None]
            kernel = kernel / taken * after.reshape(-1, 1, 1, 1)
        bias = random.standard_normal(len(after)) * 0.1 * after
        constants = [net.constant(f"k_{name}", kernel.astype("f")), net.constant(f"b_{name}", bias.astype("f"))]
        options |= STRIDES | {"fusedActivationFunction": activation}
        return net.operator(builtin, [value, *constants], (1, 6, 6, len(after)), name=name, **options)

    x = convolved("a", "CONV_2D", x, networks.weights(8, 3, 3, 3), np.ones(3), apart[0], kind="Conv2DOptions")
    weights = networks.weights(16, 3, 3).transpose(1, 2, 0)[None]
    x = convolved(
        "b", "DEPTHWISE_CONV_2D", x, weights, apart[0], apart[1], kind="DepthwiseConv2DOptions", depthMultiplier=2
    )
    x = convolved("c", "CONV_2D", x, networks.weights(12, 1, 1, 8), apart[1], apart[2], kind="Conv2DOptions")
    pool = {"kind": "Pool2DOptions", "padding": networks.VALID, "strideW": 3, "strideH": 3}
    x = net.operator("MAX_POOL_2D", [x], (1, 2, 2, 12), filterWidth=3, filterHeight=3, **pool)
    x = net.operator("RESHAPE", [x, net.constant("shape", np.array([1, 48], np.int32))], (1, 48), kind="ReshapeOptions")
    kernel = net.constant("k_d", (networks.weights(5, 48) / np.tile(apart[2], 4)).astype("f"))
    bias = net.constant("b_d", np.zeros(5, "f"))
    return net.save(path, net.operator("FULLY_CONNECTED", [x, kernel, bias], (1, 5), kind="FullyConnectedOptions"))


def of(path: Path, inputs: dict[str, Any]) -> Any:
    (found,) = run.run(path, inputs).values()
    return found


@pytest.mark.parametrize("spread", [1.0, 100.0, 1e4])
def test_the_float_network_stays_what_it_is(tmp_path: Path, spread: float) -> None:
    path = chain(tmp_path / "net.tflite", spread=spread)
    model = graph.load(path)
    assert equalization.equalize(model) == 3
    (tmp_path / "even.tflite").write_bytes(graph.pack(model))
    for scale in (1.0, 1000.0):  # also far from what anybody calibrates with
        inputs = {"image": scale * np.random.default_rng(1).standard_normal((8, 1, 6, 6, 3)).astype("f")}
        assert sqnr_db(of(path, inputs), of(tmp_path / "even.tflite", inputs)) > 110


def test_channels_are_brought_to_one_scale(tmp_path: Path) -> None:
    model = graph.load(chain(tmp_path / "net.tflite", spread=1000))
    names = {tensor.name: tensor.index for tensor in graph.describe(model)[0].tensors}

    def largest() -> Any:
        made = np.abs(graph.constant(model, 0, names["k_a"])).reshape(8, -1).max(1)
        read = np.abs(graph.constant(model, 0, names["k_b"])).reshape(9, 8, 2).max((0, 2))
        return made, read

    assert np.ptp(np.log(largest()[0])) > 3
    equalization.equalize(model)
    np.testing.assert_allclose(*largest(), rtol=0.05)


def test_it_rescues_files_with_one_scale_for_all_weights(tmp_path: Path) -> None:
    path = chain(tmp_path / "net.tflite", spread=100)
    made = {
        how: Quantized(
            path,
            normal(path),
            tmp_path / how,
            settings={"per_channel": False, "equalization": how, "weights": "nearest"},
        )
        for how in ("off", "on", "auto")
    }
    fresh = normal(path, seed=1)
    found = {how: min(one.sqnr_db(fresh).values()) for how, one in made.items()}
    assert found["on"] > found["off"] + 8
    assert found["auto"] == found["on"] > 25
    assert "weights of layers in a row are equalized" in made["auto"].made.notes


def peaks_of(path: Path, inputs: dict[str, Any]) -> dict[int, Any]:
    main = graph.read(path)[0]
    capped = equalization.capped(main)
    seen = observe(path, main, inputs, np.arange(1), 0, by_channel=capped).activations
    return {tensor: one.channels[1] for tensor, one in seen.items() if one.channels is not None}


@pytest.mark.parametrize("spread", [1.0, 100.0])
def test_no_sample_is_driven_to_a_cap_by_equalization(tmp_path: Path, spread: float) -> None:
    path = chain(tmp_path / "net.tflite", spread=spread, activation=RELU6)
    inputs = {"image": 2 * np.random.default_rng(1).standard_normal((32, 1, 6, 6, 3)).astype("f")}
    peaks = peaks_of(path, inputs)
    assert max(values.max() for values in peaks.values()) == 6, "some channels are capped"
    model = graph.load(path)
    assert equalization.equalize(model, frozenset(), peaks) == 3
    (tmp_path / "even.tflite").write_bytes(graph.pack(model))
    assert sqnr_db(of(path, inputs), of(tmp_path / "even.tflite", inputs)) > 110
    for tensor, after in peaks_of(tmp_path / "even.tflite", inputs).items():
        capped = peaks[tensor] * equalization.HEADROOM > 6
        assert after[capped] == pytest.approx(peaks[tensor][capped], rel=1e-4)
        assert (after[~capped] <= 6 / equalization.HEADROOM * 1.001).all()


def test_equalization_below_caps_serves_files_with_one_scale_for_all_weights(tmp_path: Path) -> None:
    path = chain(tmp_path / "net.tflite", spread=300, activation=RELU6, seed=1)
    found = {}
    for how in ("off", "auto"):
        settings = {"per_channel": False, "equalization": how, "weights": "nearest"}
        made = Quantized(path, normal(path), tmp_path / how, settings=settings)
        found[how] = min(made.sqnr_db(normal(path, seed=1)).values())
    assert found["auto"] > found["off"] + 6


def test_a_cap_is_not_passed_without_samples(tmp_path: Path) -> None:
    model = graph.load(chain(tmp_path / "net.tflite", activation=RELU6))
    assert equalization.equalize(model) == 0


@pytest.mark.parametrize("kept", [0, 1])
def test_operators_that_stay_float_are_left_alone(tmp_path: Path, kept: int) -> None:
    model = graph.load(chain(tmp_path / "net.tflite"))
    assert equalization.equalize(model, frozenset({kept})) == (2 if kept == 0 else 1)


def test_a_tensor_that_others_read_stays_as_it_is(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 8))
    dense = [[net.constant(f"k{n}", networks.weights(8, 8)), net.constant(f"b{n}", np.ones(8, "f"))] for n in range(2)]
    hidden = net.operator("FULLY_CONNECTED", [x, *dense[0]], (1, 8), kind="FullyConnectedOptions")
    made = net.operator("FULLY_CONNECTED", [hidden, *dense[1]], (1, 8), kind="FullyConnectedOptions")
    total = net.operator("ADD", [hidden, made], (1, 8), kind="AddOptions")
    assert equalization.equalize(graph.load(net.save(tmp_path / "net.tflite", total))) == 0


@pytest.mark.shared
@pytest.mark.slow
def test_a_trained_network_whose_channels_are_a_hundred_apart(tmp_path: Path, shared: Path) -> None:
    with np.load(shared / "data/kws01.npz") as file:
        x, y = ((file["x"].astype("f") - 83) * np.float32(0.5847029)).reshape(-1, 1, 49, 10, 1), file["y"]
    source = shared / "models/mlperf_tiny/kws_ref_model_float32.tflite"
    model = graph.load(source)
    as_float(model)
    assert spread_out(model, 100) >= 8
    path = tmp_path / "apart.tflite"
    path.write_bytes(graph.pack(model))
    name = "source_" + graph.read(path)[0].tensors[graph.read(path)[0].inputs[0]].name

    def top1(found: Any) -> float:
        return float((np.asarray(next(iter(found.values()))).reshape(len(y) - 200, -1).argmax(1) == y[200:]).mean())

    right = {}
    for how in "off", "auto":
        settings = {"per_channel": False, "equalization": how, "weights": "nearest"}
        made = Quantized(path, {name: x[:200]}, tmp_path / how, settings=settings)
        right[how] = top1(made.outputs({name: x[200:]}))
    float_right = top1(made.wanted({name: x[200:]}))
    assert right["off"] < float_right - 0.2
    assert right["auto"] >= float_right - 0.01
