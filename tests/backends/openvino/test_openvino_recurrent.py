"""LSTMs of the waist in OpenVINO, and the precision that it would choose by itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit import samples
from edgekit.backends.openvino.libraries import CORE, ov
from edgekit.engine.worker import Worker
from edgekit.errors import Unsupported
from edgekit.nouns.building import Built
from edgekit.waist import graph, run, state
from edgekit.waist.tensors import sqnr_db
from tests import networks


def stacked(path: Path, layers: int = 1, *, cleared: bool = True, clip: float = 0.0, time_major: bool = False) -> Path:
    """LSTMs on top of one another, from the network's input to its output, nothing beside them."""
    random = np.random.default_rng(5)
    net = networks.Network()
    shape = (6, 1, 3) if time_major else (1, 6, 3)
    value, width, hidden = net.input("x", shape), 3, 5
    for layer in range(layers):
        sizes = [(hidden, width)] * 4 + [(hidden, hidden)] * 4 + [(hidden,)] * 4
        constants = [
            net.constant(f"k{layer}_{i}", random.normal(0, 0.6, size).astype(np.float32))
            for i, size in enumerate(sizes)
        ]
        states = [net.tensor(f"{name}{layer}", (1, hidden), variable=True) for name in ("h", "c")]
        operands = [value, *constants[:8], -1, -1, -1, *constants[8:], -1, -1, *states, -1, -1, -1, -1]
        shape = (*shape[:2], hidden)
        value = net.operator(
            "UNIDIRECTIONAL_SEQUENCE_LSTM", operands, shape, name=f"y{layer}", kind="UnidirectionalSequenceLSTMOptions",
            fusedActivationFunction=4, cellClip=clip, timeMajor=time_major,
        )  # fmt: skip
        width = hidden
    net.save(path, value)
    if cleared:
        model = graph.load(path)
        state.clear(model)
        path.write_bytes(graph.pack(model))
    return path


def build(worker: Worker, path: Path, out: Path) -> Built:
    out.mkdir()
    job = networks.job(path, "float32")
    made = worker.call("backends", "openvino", "build", job=job, file="model.xml", out=out)
    assert isinstance(made, Built)
    return made


@pytest.mark.parametrize(
    "variant",
    [
        *({}, {"layers": 3}, {"time_major": True}, {"time_major": True, "layers": 2}),
        *({"cleared": False}, {"cleared": False, "layers": 2, "time_major": True}),
    ],
    ids=str,
)
def test_an_lstm_is_openvinos_own(worker: Worker, tmp_path: Path, variant: dict[str, Any]) -> None:
    path = stacked(tmp_path / "waist.tflite", **variant)
    made = build(worker, path, tmp_path / "out")
    (given,), (spec,) = made.signature.inputs, made.signature.outputs
    x = np.random.default_rng(1).standard_normal((3, *given.shape)).astype(np.float32)[[0, 1, 2, 0]]
    samples.write_npz(tmp_path / "in.npz", {given.source_name: x})
    worker.call(
        "backends", "openvino", "run",
        artifact=tmp_path / "out/model.xml", signature=made.signature, inputs=tmp_path / "in.npz",
        outputs=tmp_path / "out.npz",
    )  # fmt: skip
    found = np.load(tmp_path / "out.npz")[spec.source_name]
    (wanted,) = run.run(path, {"x": x}).values()
    assert sqnr_db(wanted, found) >= 110
    assert np.array_equal(found[0], found[3]) == variant.get("cleared", True)
    kinds = [node.get_type_name() for node in CORE.read_model(tmp_path / "out/model.xml").get_ordered_ops()]
    assert kinds.count("LSTMSequence") == variant.get("layers", 1)


@pytest.mark.parametrize("variant", [{"cleared": False, "clip": 0.1}, {"clip": 0.1}], ids=str)
def test_what_openvinos_lstm_does_not_compute_is_refused(
    worker: Worker, tmp_path: Path, variant: dict[str, Any]
) -> None:
    with pytest.raises(Unsupported, match="UNIDIRECTIONAL_SEQUENCE_LSTM"):
        build(worker, stacked(tmp_path / "waist.tflite", **variant), tmp_path / "out")


def test_state_that_openvino_cannot_keep_is_refused_by_its_name(worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="keeps its state from run to run") as refusal:
        build(worker, stacked(tmp_path / "waist.tflite", cleared=False, clip=0.1), tmp_path / "out")
    assert "an input and an output of the model" in str(refusal.value.fix)


def test_the_precision_that_openvino_would_choose_is_told(worker: Worker, tmp_path: Path) -> None:
    made = build(worker, stacked(tmp_path / "waist.tflite"), tmp_path / "out")
    model = CORE.read_model(tmp_path / "out/model.xml")
    own = CORE.compile_model(model, "CPU").get_property("INFERENCE_PRECISION_HINT")
    told = [warning for warning in made.warnings if "INFERENCE_PRECISION_HINT" in warning]
    assert bool(told) == (own != ov.Type.f32)
    assert not told or {ov.Type.bf16: "is bf16", ov.Type.f16: "is f16"}[own] in told[0]
