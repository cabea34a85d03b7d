"""What a join alone reads is rounded once: its operands take the join's range."""

from pathlib import Path

import numpy as np
import pytest

from edgekit.backends.tflite.joined import joined
from edgekit.waist import graph
from tests import networks
from tests.backends.integers import Quantized, normal
from tests.equalization.spread import COUNT, Net


def test_operands_take_the_range_of_the_join_and_those_that_others_read_keep_theirs(tmp_path: Path) -> None:
    net = Net(0)
    x = net.conv(net.input("x", (1, 8, 8, 3)))
    plain, flat, shared = net.conv(x), net.reshaped(net.conv(x), (1, 8, 8, COUNT)), net.conv(x)
    net.sizes[flat] = np.ones(COUNT)
    inner = net.join(plain, flat)
    outer = net.join(inner, shared, x)
    last = net.conv(outer, 5, activation=0)
    path = net.save(tmp_path / "waist.tflite", last, net.conv(shared, 5, activation=0))
    main = graph.read(path)[0]
    ranges = {tensor.index: (0.0, float(tensor.index)) for tensor in main.tensors if not tensor.constant_bytes}
    wanted = ranges | dict.fromkeys((inner, plain, flat, main.operators[2].outputs[0]), ranges[outer])
    assert joined(main, ranges, frozenset()) == wanted
    joins = [operator.index for operator in main.operators if operator.name == "CONCATENATION"]
    assert joined(main, ranges, frozenset(joins)) == ranges, "a join of floats rounds nothing"
    del ranges[outer]
    assert joined(main, ranges, frozenset(joins[1:]))[plain] == ranges[inner]


@pytest.mark.parametrize("activation", [0, networks.RELU])
def test_the_file_has_no_more_operators_than_the_network(activation: int, tmp_path: Path) -> None:
    net = Net(1)
    x = net.conv(net.input("x", (1, 8, 8, 3)))
    h = net.join(*(net.conv(x, activation=activation) for _ in range(3)))
    waist = net.save(tmp_path / "waist.tflite", net.conv(h, 5, activation=0))
    settings = {"weights": "nearest", "equalization": "off", "ranges": "minmax"}
    built = Quantized(waist, normal(waist, 24), tmp_path / "made", io="int8", settings=settings)
    names = [operator.name for operator in graph.read(built.artifact)[0].operators]
    assert names == [operator.name for operator in graph.read(waist)[0].operators]
