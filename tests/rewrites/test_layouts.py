"""What works element by element works in the layout before: turns move behind it, meet others, and go."""

from pathlib import Path

import numpy as np
import pytest

from tests import networks
from tests.rewrites import rewriting
from tests.rewrites.test_moves import negated, reshape, transpose

NCHW, NHWC = (0, 3, 1, 2), (0, 2, 3, 1)


def unary(net: networks.Network, x: int, name: str) -> int:
    shape = tuple(int(size) for size in net.subgraph.tensors[x].shape)
    return net.operator(name, [x], shape)


@pytest.mark.parametrize("name", ["RELU", "LOGISTIC", "TANH"])
def test_an_activation_between_two_turns(tmp_path: Path, name: str) -> None:
    net = networks.Network()
    x = transpose(net, negated(net, net.input("x", (1, 4, 5, 2))), NCHW)
    path = net.save(tmp_path / "model.tflite", negated(net, transpose(net, unary(net, x, name), NHWC)))
    _, after = rewriting.rewritten(path, "moves", "layouts")
    assert rewriting.operators(after) == {"NEG": 2, name: 1}
    rewriting.assert_same(path, after)


def test_a_concatenation_of_turned_tensors(tmp_path: Path) -> None:
    net = networks.Network()
    parts = [transpose(net, negated(net, net.input(name, (1, 4, 5, 2))), NCHW) for name in "ab"]
    joined = net.operator("CONCATENATION", parts, (1, 4, 4, 5), kind="ConcatenationOptions", axis=1)
    path = net.save(tmp_path / "model.tflite", negated(net, transpose(net, joined, NHWC)))
    _, after = rewriting.rewritten(path, "moves", "layouts")
    assert rewriting.operators(after) == {"NEG": 3, "CONCATENATION": 1}
    rewriting.assert_same(path, after)


@pytest.mark.parametrize("name", ["ADD", "MUL", "SUB"])
@pytest.mark.parametrize("constant", ["none", "scalar", "channel"])
def test_a_sum_of_turned_tensors_and_constants(tmp_path: Path, name: str, constant: str) -> None:
    net = networks.Network()
    x = transpose(net, negated(net, net.input("x", (1, 4, 5, 2))), NCHW)
    if constant == "none":
        other = transpose(net, net.input("y", (1, 4, 5, 2)), NCHW)
    else:
        values = networks.weights(1) if constant == "scalar" else networks.weights(1, 2, 1, 1)
        other = net.constant("c", values)
    made = net.operator(name, [x, other], (1, 2, 4, 5), kind=f"{name.title()}Options")
    path = net.save(tmp_path / "model.tflite", negated(net, transpose(net, made, NHWC)))
    _, after = rewriting.rewritten(path, "moves", "layouts")
    assert rewriting.operators(after) == {"NEG": 2, name: 1}
    rewriting.assert_same(path, after)


def test_turns_of_other_kinds_stay_where_they_are(tmp_path: Path) -> None:
    net = networks.Network()
    x = transpose(net, net.input("x", (1, 3, 3, 3)), NCHW)
    y = transpose(net, net.input("y", (1, 3, 3, 3)), NHWC)
    path = net.save(tmp_path / "model.tflite", net.operator("ADD", [x, y], (1, 3, 3, 3), kind="AddOptions"))
    _, after = rewriting.rewritten(path, "moves", "layouts")
    assert after == path


def test_a_gate_that_is_reshaped_around_scalars(tmp_path: Path) -> None:
    net = networks.Network()
    x = reshape(net, negated(net, net.input("x", (1, 1, 1, 8))), (1, 8, 1, 1))
    scaled = net.operator("MUL", [x, net.constant("c", np.array([0.2], np.float32))], (1, 8, 1, 1), kind="MulOptions")
    path = net.save(tmp_path / "model.tflite", negated(net, reshape(net, scaled, (1, 1, 1, 8))))
    _, after = rewriting.rewritten(path, "moves", "layouts")
    assert rewriting.operators(after) == {"NEG": 2, "MUL": 1}
    rewriting.assert_same(path, after)
