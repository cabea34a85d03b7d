"""The graph that rules change: what comes of it is the same in every process."""

from pathlib import Path

import pytest

from edgekit.rewrites.main_graph import MainGraph
from edgekit.waist import graph
from tests.networks import Network


@pytest.mark.parametrize("branches", [2, 5, 9])
def test_what_one_operator_reads_from_comes_in_the_order_of_its_inputs(branches: int, tmp_path: Path) -> None:
    """Also what was taken in behind it: not in the order of addresses in memory."""
    net = Network()
    x = net.input("x", (1, 4))
    made = [net.operator("RELU", [x], (1, 4)) for _ in range(branches)]
    out = net.operator("CONCATENATION", made, (1, 4 * branches), kind="ConcatenationOptions", axis=1)
    path = net.save(tmp_path / "branches.tflite", out)
    main = MainGraph(graph.load(path))
    main.nodes.reverse()
    main.finish()
    *relus, last = graph.describe(main.model)[0].operators
    assert last.name == "CONCATENATION"
    assert [operator.outputs[0] for operator in relus] == list(last.inputs)
