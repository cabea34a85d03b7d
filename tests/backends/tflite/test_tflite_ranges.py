"""Ranges of activations that are hardly any: constant, saturated, subnormal, huge, infinite, empty."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgekit.backends.tflite import ranges
from edgekit.equalization import observing
from edgekit.waist import graph
from edgekit.waist.graph import Graph
from tests import networks
from tests.backends.integers import Quantized, normal

FLOAT32 = st.floats(width=32, allow_nan=True, allow_infinity=True, allow_subnormal=True)
ANY = st.one_of(
    st.lists(FLOAT32, max_size=40),
    st.tuples(FLOAT32, st.integers(1, 40)).map(lambda pair: [pair[0]] * pair[1]),
    st.tuples(FLOAT32, FLOAT32, st.integers(1, 40)).map(lambda three: [three[0], *[three[1]] * three[2]]),
)


@given(ANY, st.sampled_from([*ranges.METHODS]), st.sampled_from(["", "SOFTMAX", "LOGISTIC", "TANH"]), st.integers(1, 3))
@example([17.0, float(np.nextafter(np.float32(17), np.float32(18)))], "least-squares", "", 1)
@example([1e-45, 2e-45, 0.0], "least-squares", "", 1)
@example([0.1] * 30 + [1e30], "least-squares", "LOGISTIC", 1)
@example([2.9e38, -2.9e38], "minmax", "TANH", 2)
@example([float("-inf"), 1.0], "p99.9", "SOFTMAX", 1)
@settings(deadline=None, max_examples=200)
def test_any_activation_gets_a_range(values: list[float], method: str, function: str, samples: int) -> None:
    seen = observing.Observed()
    for _ in range(samples):
        rows = function == "SOFTMAX"
        observing._look(seen, np.array([values], np.float32), samples, np.random.default_rng(0), rows=rows)
    if seen.low > seen.high:  # nothing finite was seen, and the activation is left out
        return
    if function:
        for whole in (False, True):
            low, high = ranges._after(function, ranges._rows(function, seen, 1000), seen, whole=whole)
            assert -np.inf < low <= 0 <= high < np.inf
    low, high = ranges.choose(Graph(tensors=(), operators=(), inputs=(0,), outputs=(0,)), {0: seen}, method)[0]
    assert low <= 0 <= high
    assert low < high
    scale = np.float32((high - low) / 255)
    assert np.finfo(np.float32).tiny < scale < np.inf


@pytest.mark.parametrize("gate", ["LOGISTIC", "TANH", "RELU6", "HARD_SWISH"])
@pytest.mark.parametrize("bias", [0.0, 17.0, -300.0, 3e4])
def test_gates_that_are_saturated(gate: str, bias: float, tmp_path: Path) -> None:
    """Squeeze and excite: x · gate(W x + b), where the gate hardly moves."""
    net = networks.Network()
    x = net.input("x", (1, 8))
    weights = net.constant("k", networks.weights(8, 8) * 1e-6)
    y = net.operator(
        "FULLY_CONNECTED",
        [x, weights, net.constant("b", np.full(8, bias, np.float32))],
        (1, 8),
        kind="FullyConnectedOptions",
    )
    y = net.operator(gate, [y], (1, 8))
    path = net.save(tmp_path / "waist.tflite", net.operator("MUL", [x, y], (1, 8), name="y", kind="MulOptions"))
    made = Quantized(path, normal(path), tmp_path / "out")
    wanted = made.wanted(made.samples)["source_y"]
    assert np.abs(made.outputs(made.samples)["source_y"] - wanted).max() <= 0.05 * max(1e-3, np.abs(wanted).max())


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e30])
def test_activations_of_any_magnitude(scale: float, tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 8))
    y = net.operator("RELU", [x], (1, 8), name="y")
    path = net.save(tmp_path / "waist.tflite", y)
    samples: dict[str, Any] = {name: (values * scale).astype(np.float32) for name, values in normal(path).items()}
    assert Quantized(path, samples, tmp_path / "out").sqnr_db()["y"] > (30 if scale > 1e-20 else -1)


@pytest.mark.parametrize("value", [5.0, -7.0, -1e9])
def test_what_is_padded_with_lies_in_the_operands_range(value: float, tmp_path: Path) -> None:
    """LiteRT clips the padding to that range; what would cost more than a bit is clipped."""
    net = networks.Network()
    x = net.input("x", (1, 6, 6, 2))
    pads = net.constant("pads", np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
    padded = net.operator("PADV2", [x, pads, net.constant("v", np.float32(value))], (1, 8, 8, 2), kind="PadV2Options")
    path = net.save(tmp_path / "waist.tflite", net.operator("RELU", [padded], (1, 8, 8, 2), name="y"))
    samples = {"x": normal(path)["source_x"]}
    main = graph.read(path)[0]
    found = ranges.choose(main, observing.observe(path, main, samples, np.arange(2), 0).activations, "minmax")
    (low, high), (least, most) = (found[main.operators[0].inputs[0]], (samples["x"].min(), samples["x"].max()))
    assert (low, high) == pytest.approx((least, most) if value == -1e9 else (min(least, value), max(most, value)))
