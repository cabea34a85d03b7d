"""Outputs that lie far from 0 beside what they change by keep what changes, whatever brought them there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.backends.tflite import integer
from edgekit.backends.tflite.plan import QuantizationSettings
from edgekit.waist.movement import moved as movement
from edgekit.waist.offsets import MAKERS, READERS
from edgekit.waist.trial import Trial
from tests.networks import Network, weights

WIDTH, MADE = 16, 4
SAMPLES = np.random.default_rng(1).normal(size=(64, 1, WIDTH)).astype(np.float32)

Ending = Callable[[Network, int, float], int]


def dense(net: Network, x: int, width: int, bias: float = 0.0, **options: Any) -> int:
    held = [net.constant(f"k{width}{bias}", weights(width, WIDTH)), net.constant(f"b{width}{bias}", np.full(width, bias, np.float32))]  # fmt: skip
    return net.operator("FULLY_CONNECTED", [x, *held], (1, width), kind="FullyConnectedOptions", **options)


def by(net: Network, kind: str, x: int, value: float) -> int:
    constant = net.constant(f"{kind}{value}", np.float32([value]))
    return net.operator(kind, [x, constant], (1, MADE), kind=f"{kind.title()}Options")


def moved(net: Network, x: int) -> int:
    shape = net.constant("shape", np.int32([1, MADE, 1]))
    return net.operator("RESHAPE", [x, shape], (1, MADE, 1), kind="ReshapeOptions")


def unit(net: Network, x: int, far: float) -> int:
    """Vectors of length 1 that lie close together, as far as those that are made unit lie from 0."""
    made = dense(net, x, MADE, np.sign(far) * min(abs(far), 100.0))
    return net.operator("L2_NORMALIZATION", [made], (1, MADE), kind="L2NormOptions")


ENDINGS: dict[str, tuple[Ending, set[str]]] = {
    "bias": (lambda net, x, far: dense(net, x, MADE, far), {"ADD"}),
    "sum": (lambda net, x, far: by(net, "ADD", dense(net, x, MADE), far), {"ADD"}),
    "difference": (lambda net, x, far: by(net, "SUB", dense(net, x, MADE), far), {"SUB"}),
    "deviation and mean": (lambda net, x, far: by(net, "ADD", by(net, "MUL", dense(net, x, MADE), 2.0), far), {"ADD"}),
    "scaled behind": (lambda net, x, far: by(net, "MUL", dense(net, x, MADE, far), 0.1), {"FULLY_CONNECTED", "MUL"}),
    "moved behind": (lambda net, x, far: moved(net, dense(net, x, MADE, far)), {"FULLY_CONNECTED", "RESHAPE"}),
    "unit vectors": (unit, {"FULLY_CONNECTED", "L2_NORMALIZATION"}),
    "fused RELU": (lambda net, x, far: dense(net, x, MADE, abs(far), fusedActivationFunction=1), {"ADD"}),
}


def quantized(path: Path, ending: Ending, far: float, samples: Any = SAMPLES, **settings: Any) -> integer.Quantized:
    net = Network()
    x = dense(net, net.input("x", (1, WIDTH)), WIDTH, fusedActivationFunction=1)
    net.save(path, ending(net, x, far))
    with Trial() as trial:
        plain = {"equalization": "off", "method": "minmax", "weights": "nearest"}
        return integer.quantize(path, {"x": samples}, trial, QuantizationSettings(**(plain | settings)))


def changes_db(path: Path, made: integer.Quantized) -> float:
    """SQNR of what changes on other samples."""
    given = {"x": np.random.default_rng(2).normal(size=(64, 1, WIDTH)).astype(np.float32)}
    with Trial() as trial:
        sides = [
            next(iter(trial.run(content, given).values())) for content in (path.read_bytes(), made.candidate.content)
        ]
    found = movement(*sides)
    return -np.inf if found is None else found.sqnr_db


@pytest.mark.parametrize("far", [300.0, -30_000.0])
@pytest.mark.parametrize("kind", ENDINGS)
def test_what_brings_an_output_far_from_0_stays_float(tmp_path: Path, kind: str, far: float) -> None:
    ending, names = ENDINGS[kind]
    made = quantized(tmp_path / "waist.tflite", ending, far)
    assert {operator.name for operator in made.candidate.floats} == names
    assert len(made.candidate.floats) == len(names), "the layer before stays in integers"
    added = any("what they add" in reason for reason in made.candidate.plan.reasons)
    assert added or any(MAKERS in reason for reason in made.candidate.plan.reasons)
    assert changes_db(tmp_path / "waist.tflite", made) > 20


@pytest.mark.parametrize("kind", ENDINGS)
def test_an_output_around_0_is_of_integers(tmp_path: Path, kind: str) -> None:
    made = quantized(tmp_path / "waist.tflite", ENDINGS[kind][0], 5.0)
    assert not made.candidate.floats


def shares(net: Network, x: int, far: float) -> int:
    """A sigmoid that is nearly 1 whatever the input."""
    return net.operator("LOGISTIC", [dense(net, x, MADE, far)], (1, MADE))


@pytest.mark.parametrize("far", [8.0, 12.0])
def test_what_has_ends_of_its_own_is_of_integers(tmp_path: Path, far: float) -> None:
    assert not quantized(tmp_path / "waist.tflite", shares, far).candidate.floats


def test_a_target_of_integers_alone_gets_integers(tmp_path: Path) -> None:
    made = quantized(tmp_path / "waist.tflite", ENDINGS["bias"][0], 2_000.0, full_integer=True)
    assert not made.candidate.floats


def less_its_mean(net: Network, x: int, mean: float) -> int:
    """A normalization at the beginning, as it was written or in the first layer's bias."""
    shift = net.constant("mean", np.full(WIDTH, mean, np.float32))
    return net.operator("SUB", [x, shift], (1, WIDTH), kind="SubOptions")


def in_its_bias(net: Network, x: int, mean: float) -> int:
    taps = weights(WIDTH, WIDTH)
    held = [net.constant("k", taps), net.constant("b", (-mean * taps.sum(1)).astype(np.float32))]
    return net.operator("FULLY_CONNECTED", [x, *held], (1, WIDTH), kind="FullyConnectedOptions")


@pytest.mark.parametrize("mean", [300.0, -20_000.0])
@pytest.mark.parametrize(("begin", "name"), [(less_its_mean, "SUB"), (in_its_bias, "FULLY_CONNECTED")])
def test_what_reads_an_input_far_from_0_stays_float(tmp_path: Path, begin: Any, name: str, mean: float) -> None:
    net = Network()
    path = net.save(tmp_path / "waist.tflite", dense(net, begin(net, net.input("x", (1, WIDTH)), mean), MADE))
    plain = QuantizationSettings(equalization="off", method="minmax", weights="nearest")
    with Trial() as trial:
        made = integer.quantize(path, {"x": SAMPLES + np.float32(mean)}, trial, plain)
    assert [operator.name for operator in made.candidate.floats] == [name]
    assert READERS in " ".join(made.candidate.plan.reasons)
    assert made.candidate.sqnr_db > 25


def test_sensors_beside_each_other_are_seen_to_change(tmp_path: Path) -> None:
    """Each has a range of its own, so that all of them together hardly change."""
    mean, spread = np.full(WIDTH, 0.5, np.float32), np.full(WIDTH, 0.2, np.float32)
    mean[:2], spread[:2] = (101_325, 293), (200, 5)
    net = Network()
    x = net.operator("SUB", [net.input("x", (1, WIDTH)), net.constant("mean", mean)], (1, WIDTH), kind="SubOptions")
    x = net.operator("MUL", [x, net.constant("by", 1 / spread)], (1, WIDTH), kind="MulOptions")
    path = net.save(tmp_path / "waist.tflite", dense(net, x, MADE, 30_000.0))
    plain = QuantizationSettings(equalization="off", method="minmax", weights="nearest")
    with Trial() as trial:
        made = integer.quantize(path, {"x": SAMPLES * spread + mean}, trial, plain)
        given = {"x": SAMPLES[::-1] * spread + mean}
        sides = [next(iter(trial.run(one, given).values())) for one in (path.read_bytes(), made.candidate.content)]
    found = movement(*sides)
    assert found is not None
    assert found.sqnr_db > 20
