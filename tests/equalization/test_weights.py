"""Weights of layers in a row brought to one scale: the same float network."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.equalization import homogeneous, weights
from edgekit.equalization.observing import observe
from edgekit.waist import graph, run
from edgekit.waist.tensors import sqnr_db
from tests import networks
from tests.equalization.spread import RELU6, chain


def of(path: Path, inputs: dict[str, Any]) -> Any:
    (found,) = run.run(path, inputs).values()
    return found


@pytest.mark.parametrize("spread", [1.0, 100.0, 1e4])
def test_the_float_network_stays_what_it_is(tmp_path: Path, spread: float) -> None:
    path = chain(tmp_path / "net.tflite", spread=spread)
    model = graph.load(path)
    assert weights.equalize(model) == 3
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
    weights.equalize(model)
    np.testing.assert_allclose(*largest(), rtol=0.05)


def peaks_of(path: Path, inputs: dict[str, Any]) -> dict[int, Any]:
    main = graph.read(path)[0]
    capped = homogeneous.capped(main)
    seen = observe(path, main, inputs, np.arange(1), 0, by_channel=capped).activations
    return {tensor: one.channels[1] for tensor, one in seen.items() if one.channels is not None}


@pytest.mark.parametrize("spread", [1.0, 100.0])
def test_no_sample_is_driven_to_a_cap_by_equalization(tmp_path: Path, spread: float) -> None:
    path = chain(tmp_path / "net.tflite", spread=spread, activation=RELU6)
    inputs = {"image": 2 * np.random.default_rng(1).standard_normal((32, 1, 6, 6, 3)).astype("f")}
    peaks = peaks_of(path, inputs)
    assert max(values.max() for values in peaks.values()) == 6, "some channels are capped"
    model = graph.load(path)
    assert weights.equalize(model, frozenset(), peaks) == 3
    (tmp_path / "even.tflite").write_bytes(graph.pack(model))
    assert sqnr_db(of(path, inputs), of(tmp_path / "even.tflite", inputs)) > 110
    for tensor, after in peaks_of(tmp_path / "even.tflite", inputs).items():
        capped = peaks[tensor] * homogeneous.HEADROOM > 6
        assert after[capped] == pytest.approx(peaks[tensor][capped], rel=1e-4)
        assert (after[~capped] <= 6 / homogeneous.HEADROOM * 1.001).all()


def test_a_cap_is_not_passed_without_samples(tmp_path: Path) -> None:
    model = graph.load(chain(tmp_path / "net.tflite", activation=RELU6))
    assert weights.equalize(model) == 0


@pytest.mark.parametrize("kept", [0, 1])
def test_operators_that_stay_float_are_left_alone(tmp_path: Path, kept: int) -> None:
    model = graph.load(chain(tmp_path / "net.tflite"))
    assert weights.equalize(model, frozenset({kept})) == (2 if kept == 0 else 1)


def test_a_tensor_that_others_read_stays_as_it_is(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 8))
    dense = [[net.constant(f"k{n}", networks.weights(8, 8)), net.constant(f"b{n}", np.ones(8, "f"))] for n in range(2)]
    hidden = net.operator("FULLY_CONNECTED", [x, *dense[0]], (1, 8), kind="FullyConnectedOptions")
    made = net.operator("FULLY_CONNECTED", [hidden, *dense[1]], (1, 8), kind="FullyConnectedOptions")
    total = net.operator("ADD", [hidden, made], (1, 8), kind="AddOptions")
    assert weights.equalize(graph.load(net.save(tmp_path / "net.tflite", total))) == 0
