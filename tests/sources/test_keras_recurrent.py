"""Recurrent networks of Keras 2 and 3: what their files compute run after run, with no reset in between."""

from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

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
    "legacy": ["lstm", "lstm_both", "primed", "masked", "mixed", "convlstm"],
}  # fmt: skip
STATEFUL = ["stateful_lstm", "stateful_gru", "stateful_mixed"]


ONCE = {"lstm_both", "primed", "mixed", "stateful_gru"}
"""What both libraries write alike: of Keras 2 they are tried by a study."""


def marked(library: str, name: str, *more: object) -> Any:
    marks = [pytest.mark.study] if library == "legacy" and name in ONCE else []
    return pytest.param(*(more or (f"{library}/{name}",)), marks=marks)


def of_both(names: dict[str, list[str]]) -> list[Any]:
    return [marked(library, name) for library, listed in names.items() for name in listed]


Given = dict[str, np.ndarray]
Converted = Callable[[Path], tuple[Waist, Path]]


@pytest.fixture(scope="module")
def models(keras_files: Callable[[str], Path]) -> dict[str, Path]:
    """A folder for each library with the models that it wrote."""
    return {library: keras_files(f"recurrent/{library}") for library in STATELESS}


@pytest.fixture(scope="module")
def converted(worker: Worker, tmp_path_factory: pytest.TempPathFactory) -> Converted:
    """A network's waist and where it lies; each is converted once."""

    @cache
    def convert(path: Path) -> tuple[Waist, Path]:
        out = tmp_path_factory.mktemp("waist")
        return worker.call("sources", "keras", "to_waist", path=path, options=PLAIN, out=out), out

    return convert


def samples(waist: Waist, order: list[int]) -> Given:
    """Random samples in an order."""
    random = np.random.default_rng(3)
    return {
        spec.source_name: random.standard_normal((max(order) + 1, *spec.source_shape)).astype(np.float32)[order]
        for spec in waist.signature.inputs
    }


def of_source(worker: Worker, path: Path, out: Path, values: Given) -> Given:
    """What the source gives for samples in one loop."""
    np.savez(out / "in.npz", **values)  # type: ignore[arg-type]
    worker.call("sources", "keras", "run", path=path, options=PLAIN, inputs=out / "in.npz", outputs=out / "out.npz")
    return dict(np.load(out / "out.npz"))


def in_order(worker: Worker, made: tuple[Waist, Path], path: Path, order: list[int]) -> tuple[Given, Given]:
    """The source's and the file's outputs over random samples in an order, each in one loop."""
    waist, out = made
    values = samples(waist, order)
    stored = run.run(out / waist.file, inputs_to_file(waist.signature, values))
    return of_source(worker, path, out, values), outputs_to_source(waist.signature, stored)


@pytest.mark.parametrize("name", of_both(STATELESS))
def test_every_run_of_a_stateless_network_stands_alone(
    worker: Worker, models: dict[str, Path], converted: Converted, name: str
) -> None:
    path = models[name.split("/", maxsplit=1)[0]] / f"{name.split('/')[1]}.keras"
    wanted, found = in_order(worker, converted(path), path, [0, 1, 0, 2, 0])
    for output, values in found.items():
        assert sqnr_db(wanted[output], values) >= 110
        assert np.array_equal(values[0], values[2])
        assert np.array_equal(values[0], values[4])
    assert not converted(path)[0].warnings


@pytest.mark.parametrize("name", of_both(dict.fromkeys(STATELESS, STATEFUL)))
def test_a_stateful_network_goes_on_from_run_to_run(
    worker: Worker, models: dict[str, Path], converted: Converted, name: str
) -> None:
    path = models[name.split("/", maxsplit=1)[0]] / f"{name.split('/')[1]}.keras"
    waist, out = converted(path)
    wanted, found = in_order(worker, (waist, out), path, [0, 1, 0, 0])
    for output, values in found.items():
        assert sqnr_db(wanted[output], values) >= 110
        assert np.abs(values[0] - values[2]).max() > 1e-3
    assert [note for note in waist.warnings if "keeps its state" in note and "new interpreter" in note]
    again = of_source(worker, path, out, samples(waist, [0, 1, 0, 0]))
    assert all(np.array_equal(wanted[output], again[output]) for output in wanted)  # each loop begins anew


@pytest.mark.parametrize(
    ("library", "name", "fused", "loops"),
    [
        marked(library, name, library, name, fused, loops)
        for library in STATELESS
        for name, fused, loops in (
            ("lstm", 1, 0),
            ("lstm_both", 3, 0),
            ("mixed", 1, 1),
            ("masked", 0, 2),
            ("primed", 0, 1),
        )
    ],
)
def test_an_lstm_is_one_operator_if_it_can_be(
    models: dict[str, Path], converted: Converted, library: str, name: str, fused: int, loops: int
) -> None:
    """Not with a mask, and not if its first state is computed: quantizers give that another type."""
    waist, out = converted(models[library] / f"{name}.keras")
    operators = graph.read(out / waist.file)[0].operators
    found = Counter(operator.name for operator in operators)
    assert not any(operator.options.get("cellClip") for operator in operators)  # Keras has no bound either
    assert (found["UNIDIRECTIONAL_SEQUENCE_LSTM"], found["WHILE"]) == (fused, loops)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["lstm_memory", "rnn"])
def test_reported_networks_need_no_reset(worker: Worker, shared: Path, converted: Converted, name: str) -> None:
    path = shared / f"models/reported/{name}.keras"
    wanted, found = in_order(worker, converted(path), path, [0, 1, 2, 0])
    assert all(sqnr_db(wanted[output], values) >= 110 for output, values in found.items())
