"""Inputs of 16 bits, such as samples of sound, before the integers of a network."""

from pathlib import Path

import numpy as np
import pytest

from edgekit.backends.openvino import OpenVINOBackend
from edgekit.backends.openvino.libraries import CORE, EXACT
from edgekit.waist import run
from edgekit.waist.tensors import sqnr_db
from tests import networks


@pytest.mark.parametrize("dtype", ["int16", "uint16"])
def test_inputs_of_16_bits_lead_to_integers(dtype: str, tmp_path: Path) -> None:
    """The CPU plugin fused their conversion with the rounding, and failed."""
    net = networks.Network()
    x = net.input("sound", (1, 40), dtype)
    real = net.operator("CAST", [x], (1, 40), kind="CastOptions")
    small = net.operator("MUL", [real, net.constant("s", np.array([2**-15], np.float32))], (1, 40), kind="MulOptions")
    held = net.constant("w", networks.weights(6, 40)), net.constant("b", np.zeros(6, np.float32))
    y = net.operator("FULLY_CONNECTED", [small, *held], (1, 6), kind="FullyConnectedOptions")
    path = net.save(tmp_path / "m.tflite", y)
    limits = np.iinfo(dtype)
    sound = np.random.default_rng(0).integers(limits.min, limits.max, (24, 1, 40)).astype(dtype)
    job = networks.job(
        path, "int8", calibration={"source_sound": sound}, settings={"target_device": "CPU", "equalization": "off"}
    )
    made = OpenVINOBackend().build(job, "m.xml", tmp_path)
    assert made.signature.inputs[0].dtype == dtype
    assert "FakeQuantize" in (tmp_path / "m.xml").read_text(encoding="utf8")
    compiled = CORE.compile_model(tmp_path / "m.xml", "CPU", EXACT)
    found = np.stack([compiled({0: row})[0] for row in sound])
    (wanted,) = run.run(path, {"sound": sound}).values()
    assert sqnr_db(wanted, found) > 25
