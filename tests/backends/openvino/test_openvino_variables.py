"""State in resource variables goes on from run to run in OpenVINO, as it does in LiteRT."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit import samples
from edgekit.backends.openvino.libraries import CORE
from edgekit.engine.worker import Worker
from edgekit.errors import Unsupported
from edgekit.nouns.building import Built
from edgekit.waist import run
from edgekit.waist.tensors import sqnr_db
from tests import networks
from tests.stateful import SHAPE, delay, echo


def build(worker: Worker, path: Path, out: Path, precision: str = "float32", **fields: Any) -> Built:
    out.mkdir()
    made = worker.call(
        "backends", "openvino", "build", job=networks.job(path, precision, **fields), file="model.xml", out=out
    )
    assert isinstance(made, Built)
    return made


def in_order(worker: Worker, path: Path, made: Built, out: Path, x: Any) -> list[tuple[Any, Any]]:
    """What LiteRT and OpenVINO give on samples one after another."""
    (given,) = made.signature.inputs
    samples.write_npz(out / "in.npz", {given.source_name: x})
    files = {"inputs": out / "in.npz", "outputs": out / "out.npz"}
    worker.call("backends", "openvino", "run", artifact=out / "model.xml", signature=made.signature, **files)
    found, wanted = np.load(out / "out.npz"), run.run(path, {"x": x})
    return [(wanted[spec.name], found[spec.source_name]) for spec in made.signature.outputs]


@pytest.mark.parametrize("network", [echo, delay])
def test_a_state_goes_on_from_run_to_run(worker: Worker, tmp_path: Path, network: Any) -> None:
    path, out = network(tmp_path / "waist.tflite"), tmp_path / "out"
    made = build(worker, path, out)
    x = np.random.default_rng(1).standard_normal((5, *SHAPE)).astype(np.float32)[[0, 1, 2, 3, 4, 0, 0]]
    for wanted, found in in_order(worker, path, made, out, x):
        assert sqnr_db(wanted, found) >= 110
        assert not np.array_equal(found[0], found[5])
    assert len(CORE.read_model(out / "model.xml").get_variables()) == (1 if network is echo else 3)


def test_calibration_sees_what_a_variable_holds_later(worker: Worker, tmp_path: Path) -> None:
    """Begun at zero, so that ranges of the first run alone would hold nothing."""
    path, out = echo(tmp_path / "waist.tflite", 0.0), tmp_path / "out"
    x = np.random.default_rng(2).standard_normal((64, *SHAPE)).astype(np.float32)
    made = build(worker, path, out, "int8", calibration={"source_x": x})
    ((wanted, found),) = in_order(worker, path, made, out, x)
    assert sqnr_db(wanted, found) >= 25


def test_a_start_that_is_computed_is_refused(worker: Worker, tmp_path: Path) -> None:
    path = echo(tmp_path / "waist.tflite", computed=True)
    with pytest.raises(Unsupported, match=r"keeps its state from run to run \(ASSIGN_VARIABLE\)"):
        build(worker, path, tmp_path / "out")
