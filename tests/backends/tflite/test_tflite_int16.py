"""Activations of 16 bits, where quantizers do otherwise than with 8."""

from pathlib import Path

import numpy as np
import pytest

from edgekit.waist.tensors import sqnr_db
from tests import networks
from tests.backends.integers import Quantized, normal


@pytest.mark.parametrize(("middles", "parted"), [([101_325, 293], True), ([300, 293], False)])
def test_a_small_measure_beside_a_large_offset_keeps_its_levels(
    middles: list[float], parted: bool, tmp_path: Path
) -> None:
    """A temperature beside a pressure in Pa, whose offset leaves steps of 3 K; two small ones stay in integers."""
    net = networks.Network()
    kernel = net.constant("k", networks.weights(2, 8) * np.float32([[90], [0.5]]))
    held = [kernel, net.constant("b", np.float32(middles))]
    x = net.input("x", (1, 8))
    path = net.save(
        tmp_path / "waist.tflite",
        net.operator("FULLY_CONNECTED", [x, *held], (1, 2), name="y", kind="FullyConnectedOptions"),
    )
    made = Quantized(path, normal(path, 64), tmp_path / "out", "int16x8")
    (wanted,), (got,) = made.wanted(made.samples).values(), made.outputs(made.samples).values()
    around = wanted - wanted.mean(0)
    assert min(sqnr_db(around[..., k], (around + got - wanted)[..., k]) for k in range(2)) > 25
    assert bool(made.floats()) == parted


@pytest.mark.parametrize("axes", [[1], [1, 2]])
def test_sums_are_not_cut_off(axes: list[int], tmp_path: Path) -> None:
    """Quantizers give them the range of what they sum."""
    net = networks.Network()
    shape = tuple(size for axis, size in enumerate((1, 24, 8)) if axis not in axes)
    summed = net.operator("ABS", [net.input("x", (1, 24, 8))], (1, 24, 8))
    total = net.operator("SUM", [summed, net.constant("axes", np.array(axes, np.int32))], shape, kind="ReducerOptions")
    y = net.operator("MUL", [total, net.constant("by", np.float32(0.5))], shape, name="y", kind="MulOptions")
    path = net.save(tmp_path / "waist.tflite", y)
    made = Quantized(path, normal(path, 32), tmp_path / "out", "int16x8")
    assert min(made.sqnr_db().values()) > 60
    assert "of what it sums" in made.floats()
