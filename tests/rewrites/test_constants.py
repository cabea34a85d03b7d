"""Operators that read constants alone are computed once, unless that makes the file larger."""

from pathlib import Path

import numpy as np
import pytest

from edgekit.waist import graph
from tests import networks
from tests.rewrites import rewriting


def added(net: networks.Network, constant: int, shape: tuple[int, ...] = (1, 8)) -> int:
    return net.operator("ADD", [net.input("x", shape), constant], shape, kind="AddOptions")


@pytest.mark.parametrize("links", [1, 3])
def test_a_chain_of_constants_is_one(tmp_path: Path, links: int) -> None:
    net = networks.Network()
    value = net.constant("c", networks.weights(1, 8))
    for number in range(links):
        value = net.operator("MUL", [value, net.constant(f"d{number}", networks.weights(8))], (1, 8), kind="MulOptions")
    path = net.save(tmp_path / "chain.tflite", added(net, net.operator("EXP", [value], (1, 8))))
    told, after = rewriting.rewritten(path, "constants")
    assert rewriting.operators(after) == {"ADD": 1}
    assert told.notes == (f"rewritten: {links + 1} operators folded into constants",)
    rewriting.assert_same(path, after)


def test_each_part_of_a_constant_that_is_split(tmp_path: Path) -> None:
    net = networks.Network()
    axis, whole = net.constant("axis", np.array(1, np.int32)), net.constant("c", networks.weights(1, 16))
    first = net.operator("SPLIT", [axis, whole], (1, 8), kind="SplitOptions", numSplits=2)
    second = net.tensor("second", (1, 8))
    net.subgraph.operators[-1].outputs = [first, second]
    made = net.operator("MUL", [added(net, first), second], (1, 8), kind="MulOptions")
    path = net.save(tmp_path / "split.tflite", made)
    _, after = rewriting.rewritten(path, "constants")
    assert rewriting.operators(after) == {"ADD": 1, "MUL": 1}
    rewriting.assert_same(path, after)


def test_what_a_shape_alone_decides(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (2, 4))
    shape = net.operator("SHAPE", [x], (2,), dtype="int32", kind="ShapeOptions", outType=networks.TYPES["int32"])
    flat = net.operator("RESHAPE", [net.operator("NEG", [x], (2, 4)), shape], (2, 4), kind="ReshapeOptions")
    path = net.save(tmp_path / "shape.tflite", flat)
    _, after = rewriting.rewritten(path, "constants")
    assert rewriting.operators(after) == {"NEG": 1, "RESHAPE": 1}
    rewriting.assert_same(path, after)


def test_numbers_spread_over_a_large_map_and_packed_weights_stay(tmp_path: Path) -> None:
    net, shape = networks.Network(), (1, 200, 200, 4)
    spread = net.operator(
        "BROADCAST_TO",
        [net.constant("c", np.ones(4, np.float32)), net.constant("to", np.array(shape, np.int32))],
        shape,
    )
    path = net.save(tmp_path / "map.tflite", added(net, spread, shape))
    assert rewriting.rewritten(path, "constants")[1] == path
    net = networks.Network()
    unpacked = net.operator("DEQUANTIZE", [net.constant("c", np.ones((1, 8), np.float16))], (1, 8))
    path = net.save(tmp_path / "packed.tflite", added(net, unpacked))
    assert rewriting.rewritten(path, "constants")[1] == path


def test_an_output_that_never_changes_stays_one(tmp_path: Path) -> None:
    net = networks.Network()
    made = added(net, net.constant("d", networks.weights(1, 8)))
    path = net.save(
        tmp_path / "output.tflite", net.operator("NEG", [net.constant("c", networks.weights(1, 8))], (1, 8)), made
    )
    assert rewriting.rewritten(path, "constants")[1] == path
    assert len(graph.read(path)[0].outputs) == 2
