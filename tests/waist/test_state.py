"""State of recurrent operators: what keeps it, and files whose runs begin without it."""

from pathlib import Path

import numpy as np
import pytest

from edgekit.waist import graph, run, state
from tests import networks
from tests.stateful import summing


def totals(path: Path) -> np.ndarray:
    inputs = np.ones((4, 1, 1, 2), np.float32)
    (found,) = run.run(path, {"x": inputs}).values()
    return found[:, 0, 0, 0]


@pytest.mark.parametrize("layers", [1, 2])
def test_a_cleared_network_begins_every_run_anew(tmp_path: Path, layers: int) -> None:
    path = summing(tmp_path / "net.tflite", layers)
    assert len(set(totals(path))) == 4
    model = graph.load(path)
    assert state.surviving(model) == tuple(range(layers))
    state.clear(model)
    path.write_bytes(graph.pack(model))
    assert totals(path).tolist() == [1, 1, 1, 1]
    assert state.surviving(graph.load(path)) == ()
    assert state.note(graph.load(path)) == ()
    assert not state.primed(graph.load(path))


def test_what_is_to_be_kept_is_kept(tmp_path: Path) -> None:
    path = summing(tmp_path / "net.tflite", 2)
    model = graph.load(path)
    state.clear(model, keeping=(1,))
    path.write_bytes(graph.pack(model))
    assert totals(path).tolist() == [1, 2, 3, 4]
    assert state.surviving(graph.load(path)) == (1,)


def test_clearing_twice_and_taking_it_back(tmp_path: Path) -> None:
    path = summing(tmp_path / "net.tflite", 2)
    model = graph.load(path)
    state.clear(model)
    once = len(model.subgraphs[0].operators)
    state.clear(model)
    assert len(model.subgraphs[0].operators) == once
    assert state.unclear(model) == [1, 3]
    path.write_bytes(graph.pack(model))
    assert totals(path).tolist() == [1, 3, 6, 10]


def test_a_file_that_keeps_state_says_how_to_begin_anew(tmp_path: Path) -> None:
    (note,) = state.note(graph.load(summing(tmp_path / "net.tflite")))
    assert "UNIDIRECTIONAL_SEQUENCE_RNN" in note
    assert "reset_all_variables" in note


def test_a_state_that_the_graph_computes_is_primed(tmp_path: Path) -> None:
    net = networks.Network()
    x, first = net.input("x", (1, 1, 2)), net.input("first", (1, 2))
    same, bias = net.constant("same", np.eye(2, dtype=np.float32)), net.constant("bias", np.zeros(2, np.float32))
    kept = net.operator("ADD", [first, net.constant("one", np.ones((1, 2), np.float32))], (1, 2), kind="AddOptions")
    net.subgraph.tensors[kept].isVariable = True
    total = net.operator(
        "UNIDIRECTIONAL_SEQUENCE_RNN", [x, same, same, bias, kept], (1, 1, 2), name="y", kind="SequenceRNNOptions"
    )
    path = net.save(tmp_path / "net.tflite", total)
    assert state.primed(graph.load(path))
    assert state.surviving(graph.load(path)) == ()
    ones = {"x": np.ones((3, 1, 1, 2), np.float32), "first": np.ones((3, 1, 2), np.float32)}
    assert run.run(path, ones)["y"][:, 0, 0, 0].tolist() == [3, 3, 3]


def test_a_network_without_state_stays_as_it_is(tmp_path: Path) -> None:
    path = networks.classifier(tmp_path / "net.tflite")
    model = graph.load(path)
    state.clear(model)
    assert graph.pack(model) == graph.pack(graph.load(path))
    assert state.note(model) == ()
