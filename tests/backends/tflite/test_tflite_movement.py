"""Where integers lose what changes from sample to sample, though the outputs' SQNR is fine: what all samples share."""

from pathlib import Path

import numpy as np
import pytest

from edgekit.backends.tflite import integer
from edgekit.backends.tflite.judge import SHARED_DB
from edgekit.backends.tflite.plan import QuantizationSettings
from edgekit.backends.tflite.search import GOAL_DB
from edgekit.waist.trial import Trial
from tests.networks import Network, weights

WIDTH, BIG = 24, 500.0


def lost_in_front(path: Path, offset: float, *, apart: bool) -> Path:
    """Four dense layers; one channel between the first two is far larger than the others, and next to unused."""
    net = Network()
    x = net.input("x", (1, WIDTH))
    for layer in range(4):
        dense, bias = weights(WIDTH, WIDTH, seed=layer), np.zeros(WIDTH, np.float32)
        if layer == 0 and apart:
            dense[0] *= BIG
        if layer == 1 and apart:
            dense[:, 0] = 1e-4
        if layer == 3:
            bias += np.float32(offset)
        held = [net.constant(f"k{layer}", dense), net.constant(f"b{layer}", bias)]
        x = net.operator("FULLY_CONNECTED", [x, *held], (1, WIDTH), kind="FullyConnectedOptions")
    return net.save(path, x)


def quantized(path: Path, count: int = 64) -> integer.Quantized:
    samples = np.random.default_rng(1).normal(size=(count, 1, WIDTH)).astype(np.float32)
    with Trial() as trial:
        return integer.quantize(path, {"x": samples}, trial, QuantizationSettings(equalization="off"))


@pytest.mark.parametrize("offset", [0.0, -8.0, 6.0])
def test_operators_leave_the_integers_where_what_changes_is_lost(tmp_path: Path, offset: float) -> None:
    found = quantized(lost_in_front(tmp_path / "waist.tflite", offset, apart=True)).candidate
    assert found.varying_db is not None
    assert found.varying_db >= GOAL_DB - SHARED_DB
    assert {operator.name for operator in found.floats} == {"FULLY_CONNECTED"}
    assert len(found.floats) == 2, "those on both sides of the large channel"
    told = "of what changes between the calibration samples" if offset else "of the calibration samples' signal"
    assert told in " ".join(found.plan.reasons)


@pytest.mark.parametrize("offset", [0.0, -8.0])
def test_what_comes_through_stays_in_integers(tmp_path: Path, offset: float) -> None:
    found = quantized(lost_in_front(tmp_path / "waist.tflite", offset, apart=False)).candidate
    assert not found.floats
    assert not found.plan.reasons


def test_few_samples_tell_nothing_of_what_changes(tmp_path: Path) -> None:
    found = quantized(lost_in_front(tmp_path / "waist.tflite", -8.0, apart=True), count=7).candidate
    assert found.varying_db is None
    assert found.signal_db == found.sqnr_db
