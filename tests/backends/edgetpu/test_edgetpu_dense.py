from pathlib import Path
from typing import Any

import numpy as np

from edgekit.backends.edgetpu import dense
from edgekit.waist import graph, run


def dense_network(network: Any, path: Path, *, bias: bool = True, channels: int = 4) -> Path:
    rng = np.random.default_rng(0)
    scales = tuple(0.01 * (i + 1) for i in range(channels))
    x = network.tensor("x", (1, 16), scales=(0.1,))
    y = network.tensor("y", (1, channels), scales=(0.2,))
    w = network.tensor("w", (channels, 16), values=rng.integers(-127, 128, (channels, 16)), scales=scales)
    b = network.tensor(
        "b", (channels,), "int32", rng.integers(-500, 500, channels), scales=tuple(0.1 * s for s in scales)
    )
    network.operator("FULLY_CONNECTED", [x, w, b if bias else -1], [y], version=4)
    return network.write(path, [x], [y])


def rescaled(path: Path) -> tuple[Path, int]:
    model = graph.load(path)
    changed = dense.per_tensor(model)
    after = path.with_name("after.tflite")
    after.write_bytes(graph.pack(model))
    return after, changed


def real(path: Path, position: int) -> np.ndarray:
    model, described = graph.load(path), graph.read(path)[0]
    tensor = described.tensors[described.operators[0].inputs[position]]
    stored = graph.constant(model, 0, tensor.index)
    assert stored is not None
    scales = np.array(tensor.scales)
    return stored.astype(np.float64) * (scales.reshape(-1, *[1] * (stored.ndim - 1)) if len(scales) > 1 else scales)


def test_weights_and_bias_keep_their_values(network: Any, tmp_path: Path) -> None:
    before = dense_network(network, tmp_path / "n.tflite")
    after, changed = rescaled(before)
    assert changed == 1
    described = graph.read(after)[0]
    weights, bias = (described.tensors[i] for i in described.operators[0].inputs[1:])
    assert len(weights.scales) == len(bias.scales) == 1
    assert np.isclose(bias.scales[0], 0.1 * weights.scales[0])
    assert np.abs(real(after, 1) - real(before, 1)).max() <= weights.scales[0] * 0.501
    assert np.abs(real(after, 2) - real(before, 2)).max() <= bias.scales[0] * 0.501


def test_the_network_still_computes_the_same(network: Any, tmp_path: Path) -> None:
    before = dense_network(network, tmp_path / "n.tflite")
    after, _ = rescaled(before)
    x = np.random.default_rng(1).integers(-128, 128, (50, 1, 16)).astype(np.int8)
    a, b = (run.run(path, {"x": x})["y"].astype(int) for path in (before, after))
    assert np.abs(a - b).mean() < 1
    assert np.abs(a - b).max() <= 20  # 16 products, each off by half a weight's step at most
    assert np.abs(a).max() > 20


def test_a_layer_without_bias(network: Any, tmp_path: Path) -> None:
    after, changed = rescaled(dense_network(network, tmp_path / "n.tflite", bias=False))
    assert changed == 1
    assert graph.read(after)[0].operators[0].inputs[2] == -1


def test_one_scale_stays_as_it_is(network: Any, tmp_path: Path) -> None:
    before = dense_network(network, tmp_path / "n.tflite", channels=1)
    assert rescaled(before)[1] == 0


def test_weights_of_zero(network: Any, tmp_path: Path) -> None:
    x, y = network.tensor("x", (1, 2)), network.tensor("y", (1, 2))
    w = network.tensor("w", (2, 2), values=np.zeros((2, 2)), scales=(0.5, 0.25))
    network.operator("FULLY_CONNECTED", [x, w, -1], [y])
    after, changed = rescaled(network.write(tmp_path / "n.tflite", [x], [y]))
    assert changed == 1
    assert not real(after, 1).any()


def test_other_operators_keep_a_scale_for_each_channel(network: Any, tmp_path: Path) -> None:
    x, y = network.tensor("x", (1, 4, 4, 2)), network.tensor("y", (1, 4, 4, 2))
    w = network.tensor("w", (2, 1, 1, 2), values=np.ones((2, 1, 1, 2)), scales=(0.5, 0.25))
    network.operator("CONV_2D", [x, w, -1], [y])
    assert rescaled(network.write(tmp_path / "n.tflite", [x], [y]))[1] == 0
