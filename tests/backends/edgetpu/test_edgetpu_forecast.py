from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.backends.edgetpu.forecast import CPU, EDGE_TPU, MAPPED, first_subgraph, forecast
from edgekit.waist.graph import Graph, Operator


def graph(*operators: tuple[tuple[int, ...], tuple[int, ...]]) -> Graph:
    """Operators as (inputs, outputs); tensors are only numbers here."""
    made = tuple(Operator(index=i, name="RELU", inputs=a, outputs=b) for i, (a, b) in enumerate(operators))
    return Graph(tensors=(), operators=made, inputs=(0,), outputs=())


def test_a_chain_stops_at_the_first_refusal() -> None:
    chain = graph(((0,), (1,)), ((1,), (2,)), ((2,), (3,)), ((3,), (4,)))
    assert first_subgraph(chain, {2}) == {0, 1}


def test_a_branch_that_does_not_need_the_refused_one_goes_on() -> None:
    """As the heads of the coarse levels in google-coral/edgetpu#537."""
    fork = graph(((0,), (1,)), ((1,), (2,)), ((1,), (3,)), ((3,), (4,)), ((2, 4), (5,)))
    assert first_subgraph(fork, {1}) == {0, 2, 3}


def test_a_refused_beginning_is_skipped() -> None:
    """As QUANTIZE of a float input in front of a network that is mapped otherwise."""
    assert first_subgraph(graph(((0,), (1,)), ((1,), (2,)), ((2,), (3,))), {0}) == {1, 2}


def test_the_first_subgraph_wins_over_the_largest() -> None:
    """As YOLOv5s with compiler 15: 1 of 294 operators is mapped."""
    chain = graph(((0,), (1,)), ((1,), (2,)), ((2,), (3,)), ((3,), (4,)), ((4,), (5,)))
    assert first_subgraph(chain, {1}) == {0}


def test_all_or_nothing() -> None:
    chain = graph(((0,), (1,)), ((1,), (2,)))
    assert first_subgraph(chain, set()) == {0, 1}
    assert first_subgraph(chain, {0, 1}) == frozenset()
    assert first_subgraph(graph(), set()) == frozenset()


def test_an_order_that_is_not_topological_is_survived() -> None:
    assert first_subgraph(graph(((1,), (2,)), ((0,), (1,))), set()) == {0, 1}


def test_a_cycle_is_survived() -> None:
    assert first_subgraph(graph(((2,), (1,)), ((1,), (2,))), set()) == frozenset()


@given(st.data())
def test_a_subgraph_never_holds_refused_operators_or_waits_for_them(data: st.DataObject) -> None:
    size = data.draw(st.integers(0, 12))
    edges = [
        (tuple(data.draw(st.lists(st.integers(0, i), min_size=1, max_size=3), label=f"{i}")), (i + 1,))
        for i in range(size)
    ]
    refused = data.draw(st.sets(st.integers(0, max(size - 1, 0))))
    made = graph(*edges)
    mapped = first_subgraph(made, refused)
    assert not mapped & refused
    assert bool(mapped) == bool(set(range(size)) - refused)
    after: set[int] = set()  # tensors of operators outside that need a result from inside
    for operator in made.operators:
        given = set(operator.inputs)
        if operator.index in mapped:
            assert given.isdisjoint(after)
        elif given & after or given & {tensor for i in mapped for tensor in made.operators[i].outputs}:
            after.update(operator.outputs)


def test_verdicts_and_notes(write_chain: Any, tmp_path: Path) -> None:
    made = forecast(write_chain(tmp_path / "n.tflite", "RELU", "LEAKY_RELU", "LOGISTIC", "TANH"))
    assert [p.runs_on for p in made.placements] == [EDGE_TPU, CPU, CPU, CPU]
    assert made.placements[0].status == MAPPED
    assert made.placements[1].status == "Operation not supported: LEAKY_RELU is not in the operation table"
    assert "needs the result of operator 1 (LEAKY_RELU)" in made.placements[3].status
    assert made.placements[3].name == "t4"
    assert made.mapped == 1
    assert made.notes == (
        "Forecast: 1 of 4 operators run on the Edge TPU.",
        "The first that does not is operator 1, LEAKY_RELU (t2): LEAKY_RELU is not in the operation table "
        "(Operation not supported).",
        "2 supported operators follow it to the CPU, because there is one subgraph: 1 LOGISTIC, 1 TANH.",
    )


def test_a_network_that_is_mapped_whole(write_chain: Any, tmp_path: Path) -> None:
    made = forecast(write_chain(tmp_path / "n.tflite", "RELU", "LOGISTIC"))
    assert made.mapped == 2
    assert made.notes == ("Forecast: 2 of 2 operators run on the Edge TPU.",)


def test_one_operator_that_is_too_new_refuses_the_whole_file(network: Any, tmp_path: Path) -> None:
    a, b, c = (network.tensor(name, (1, 8)) for name in "abc")
    network.operator("RELU", [a], [b]).operator("QUANTIZE", [b], [c], version=3)
    made = forecast(network.write(tmp_path / "n.tflite", [a], [c]))
    assert made.mapped == 0
    assert "refuses the whole file because of operator 1" in made.placements[0].status
    assert "version 3; compiler 16.0 reads up to 2" in made.placements[1].status


@pytest.mark.parametrize(("megabytes", "warned"), [(4, False), (9, True)])
def test_weights_beyond_the_cache_are_told(network: Any, tmp_path: Path, megabytes: int, warned: bool) -> None:
    rows = megabytes * 2**20 // 1024
    x, y = network.tensor("x", (1, 1024)), network.tensor("y", (1, rows))
    weights = network.tensor("w", (rows, 1024), values=np.zeros((rows, 1024), np.int8))
    network.operator("FULLY_CONNECTED", [x, weights, -1], [y])
    notes = forecast(network.write(tmp_path / "n.tflite", [x], [y])).notes
    assert any(f"{megabytes}.0 MiB of weights exceed" in note for note in notes) == warned
