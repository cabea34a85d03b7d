"""Recurrent networks of Keras 2 and 3: what their files compute run after run, with no reset in between."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from edgekit.engine.worker import Worker
from edgekit.nouns.model import SourceOptions, Waist
from edgekit.waist import graph, run
from edgekit.waist.tensors import inputs_to_file, outputs_to_source, sqnr_db

pytestmark = pytest.mark.slow
PLAIN = SourceOptions()
STATELESS = {
    "k3": [
        "lstm", "lstm_both", "primed", "masked", "mixed", "lstm_relu", "gru", "cells", "convlstm", "distributed",
        "seq2seq",
    ],
    "legacy": ["lstm", "lstm_both", "primed", "masked", "mixed"],
}  # fmt: skip
STATEFUL = ["stateful_lstm", "stateful_gru", "stateful_mixed"]


def of_both(names: dict[str, list[str]]) -> list[str]:
    return [f"{library}/{name}" for library, listed in names.items() for name in listed]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each library with the models that it wrote."""
    folder = tmp_path_factory.mktemp("recurrent")
    for library in STATELESS:
        (folder / library).mkdir()
        script = Path(__file__).with_name("keras_recurrent_models.py")
        subprocess.run([sys.executable, script, library, folder / library], check=True, capture_output=True)
    return folder


def in_order(
    worker: Worker, path: Path, out: Path, order: list[int]
) -> tuple[Waist, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The waist, and the source's and the file's outputs over random samples in an order, each in one loop."""
    waist = worker.call("sources", "keras", "to_waist", path=path, options=PLAIN, out=out)
    random = np.random.default_rng(3)
    count = max(order) + 1
    values = {
        spec.source_name: random.standard_normal((count, *spec.source_shape)).astype(np.float32)[order]
        for spec in waist.signature.inputs
    }
    np.savez(out / "in.npz", **values)  # type: ignore[arg-type]
    worker.call("sources", "keras", "run", path=path, options=PLAIN, inputs=out / "in.npz", outputs=out / "out.npz")
    stored = run.run(out / waist.file, inputs_to_file(waist.signature, values))
    return waist, dict(np.load(out / "out.npz")), outputs_to_source(waist.signature, stored)


@pytest.mark.parametrize("name", of_both(STATELESS))
def test_every_run_of_a_stateless_network_stands_alone(worker: Worker, models: Path, tmp_path: Path, name: str) -> None:
    waist, wanted, found = in_order(worker, models / f"{name}.keras", tmp_path, [0, 1, 0, 2, 0])
    for output, values in found.items():
        assert sqnr_db(wanted[output], values) >= 110
        assert np.array_equal(values[0], values[2])
        assert np.array_equal(values[0], values[4])
    assert not waist.warnings


@pytest.mark.parametrize("name", of_both(dict.fromkeys(STATELESS, STATEFUL)))
def test_a_stateful_network_goes_on_from_run_to_run(worker: Worker, models: Path, tmp_path: Path, name: str) -> None:
    waist, wanted, found = in_order(worker, models / f"{name}.keras", tmp_path, [0, 1, 0, 0])
    for output, values in found.items():
        assert sqnr_db(wanted[output], values) >= 110
        assert np.abs(values[0] - values[2]).max() > 1e-3
    assert [note for note in waist.warnings if "keeps its state" in note and "new interpreter" in note]
    again = in_order(worker, models / f"{name}.keras", tmp_path, [0, 1, 0, 0])[1]
    assert all(np.array_equal(wanted[output], again[output]) for output in wanted)  # each loop begins anew


@pytest.mark.parametrize(
    ("name", "fused", "loops"),
    [("lstm", 1, 0), ("lstm_both", 3, 0), ("mixed", 1, 1), ("masked", 0, 2), ("primed", 0, 1)],
)
def test_an_lstm_is_one_operator_if_it_can_be(
    worker: Worker, models: Path, tmp_path: Path, name: str, fused: int, loops: int
) -> None:
    """Not with a mask, and not if its first state is computed: quantizers give that another type."""
    waist = worker.call("sources", "keras", "to_waist", path=models / f"k3/{name}.keras", options=PLAIN, out=tmp_path)
    operators = graph.read(tmp_path / waist.file)[0].operators
    found = Counter(operator.name for operator in operators)
    assert not any(operator.options.get("cellClip") for operator in operators)  # Keras has no bound either
    assert (found["UNIDIRECTIONAL_SEQUENCE_LSTM"], found["WHILE"]) == (fused, loops)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["lstm_memory", "rnn"])
def test_reported_networks_need_no_reset(worker: Worker, shared: Path, tmp_path: Path, name: str) -> None:
    _, wanted, found = in_order(worker, shared / f"models/reported/{name}.keras", tmp_path, [0, 1, 2, 0])
    assert all(sqnr_db(wanted[output], values) >= 110 for output, values in found.items())
