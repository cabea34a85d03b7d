from pathlib import Path
from typing import Any

import pytest

from edgekit.backends.edgetpu import compiled
from edgekit.backends.edgetpu.compiled import Score
from edgekit.waist import graph


def read(path: Path) -> graph.Graph:
    return graph.read(path)[0]


@pytest.fixture
def pair(write_chain: Any, network: Any, tmp_path: Path) -> tuple[graph.Graph, graph.Graph]:
    """RELU and LOGISTIC of which the Edge TPU took the first two; LEAKY_RELU and RELU stay."""
    original = write_chain(tmp_path / "n.tflite", "RELU", "LOGISTIC", "LEAKY_RELU", "RELU")
    tensors = {name: network.tensor(name, (1, 4, 4, 8)) for name in ("t0", "t2", "t3", "t4")}
    network.operator("CUSTOM:edgetpu-custom-op", [tensors["t0"]], [tensors["t2"]])
    network.operator("LEAKY_RELU", [tensors["t2"]], [tensors["t3"]])
    network.operator("RELU", [tensors["t3"]], [tensors["t4"]])
    after = network.write(tmp_path / "n_edgetpu.tflite", [tensors["t0"]], [tensors["t4"]])
    assert compiled.is_compiled(after)
    assert not compiled.is_compiled(original)
    return read(original), read(after)


def test_what_stands_outside_the_custom_operator_runs_on_the_cpu(pair: tuple[graph.Graph, graph.Graph]) -> None:
    assert compiled.leftovers(*pair) == {2, 3}


def test_without_names_the_last_of_a_kind_is_taken(write_chain: Any, network: Any, tmp_path: Path) -> None:
    original = write_chain(tmp_path / "n.tflite", "RELU", "RELU", "RELU")
    a, b = network.tensor("other", (1, 4, 4, 8)), network.tensor("names", (1, 4, 4, 8))
    network.operator("CUSTOM:edgetpu-custom-op", [a], [a]).operator("RELU", [a], [b])
    after = network.write(tmp_path / "n_edgetpu.tflite", [a], [b])
    assert compiled.leftovers(read(original), read(after)) == {2}


def test_a_perfect_forecast(pair: tuple[graph.Graph, graph.Graph]) -> None:
    scores = compiled.score(*pair, frozenset({0, 1}))
    assert scores["RELU"] == Score(mapped_as_predicted=1, left_as_predicted=1)
    assert all(row.precision == row.recall == 1.0 for row in scores.values())


def test_a_wrong_forecast(pair: tuple[graph.Graph, graph.Graph]) -> None:
    scores = compiled.score(*pair, frozenset({1, 2, 3}))
    assert scores["RELU"] == Score(mapped_not_predicted=1, predicted_not_mapped=1)
    assert (scores["RELU"].precision, scores["RELU"].recall) == (0.0, 0.0)
    assert scores["LEAKY_RELU"].precision == 0.0
    assert scores["LEAKY_RELU"].recall == 1.0
    assert compiled.table(scores).splitlines()[-1].split() == ["all", "2", "2", "0.333", "0.500"]
