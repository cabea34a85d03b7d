"""Activations of 16 bits, where quantizers do otherwise than with 8."""

from pathlib import Path

import numpy as np
import pytest

from tests import networks
from tests.backends.integers import Quantized, normal


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
