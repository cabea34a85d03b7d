"""Activations that are fused or taken apart, and operators that are there twice or unread."""

from pathlib import Path

import numpy as np
import pytest

from edgekit.rewrites import RULES, chosen
from edgekit.waist import graph
from tests import networks
from tests.rewrites import rewriting
from tests.rewrites.test_moves import negated, transpose

RELU6 = 3


def dense(net: networks.Network, x: int, name: str = "w") -> int:
    weights, bias = net.constant(name, networks.weights(5, 8)), net.constant(f"{name}_b", np.ones(5, np.float32))
    return net.operator("FULLY_CONNECTED", [x, weights, bias], (1, 5), kind="FullyConnectedOptions")


def test_an_activation_is_fused_unless_others_read_what_is_before_it(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 8))
    path = net.save(tmp_path / "alone.tflite", net.operator("RELU", [dense(net, x)], (1, 5)))
    _, after = rewriting.rewritten(path, "activations")
    assert rewriting.operators(after) == {"FULLY_CONNECTED": 1}
    rewriting.assert_same(path, after)
    net = networks.Network()
    inner = dense(net, net.input("x", (1, 8)))
    path = net.save(tmp_path / "shared.tflite", net.operator("RELU", [inner], (1, 5)), inner)
    assert rewriting.rewritten(path, "activations")[1] == path


def test_what_is_there_twice_is_computed_once(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 8))
    one, two = dense(net, x, "w"), dense(net, x, "v")  # the same values in two places
    path = net.save(tmp_path / "twice.tflite", net.operator("ADD", [one, two], (1, 5), kind="AddOptions"))
    told, after = rewriting.rewritten(path, "duplicates")
    assert rewriting.operators(after) == {"FULLY_CONNECTED": 1, "ADD": 1}
    assert told.notes == ("rewritten: 1 operators dropped that another one does the work of",)
    rewriting.assert_same(path, after)


def test_what_nobody_reads_goes_and_state_stays(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 8))
    negated(net, negated(net, x))
    path = net.save(tmp_path / "unread.tflite", dense(net, x))
    _, after = rewriting.rewritten(path, "unread")
    assert rewriting.operators(after) == {"FULLY_CONNECTED": 1}
    net = networks.Network()
    handle = net.operator("VAR_HANDLE", [], (), dtype="int32", kind="VarHandleOptions")
    net.operator("READ_VARIABLE", [handle], (1, 8))
    path = net.save(tmp_path / "state.tflite", dense(net, net.input("x", (1, 8))))
    assert rewriting.rewritten(path, "unread")[1] == path


def gated(net: networks.Network, x: int, form: str) -> int:
    """x · relu6(x + 3) / 6 in one of the ways in which frameworks write it."""
    shape = (1, 6)
    three, six = net.constant("three", np.array([3], np.float32)), net.constant("six", np.array([6], np.float32))
    sixth = net.constant("sixth", np.array([1 / 6], np.float32))
    if form == "separate":
        added = net.operator("ADD", [x, three], shape, kind="AddOptions")
        gate = net.operator("RELU6", [added], shape)
    else:
        gate = net.operator("ADD", [three, x], shape, kind="AddOptions", fusedActivationFunction=RELU6)
    if form == "early":
        gate = net.operator("MUL", [gate, sixth], shape, kind="MulOptions")
        return net.operator("MUL", [x, gate], shape, kind="MulOptions")
    product = net.operator("MUL", [gate, x], shape, kind="MulOptions")
    if form == "divided":
        return net.operator("DIV", [product, six], shape, kind="DivOptions")
    return net.operator("MUL", [product, sixth], shape, kind="MulOptions")


@pytest.mark.parametrize("form", ["separate", "early", "divided", "fused"])
def test_hard_swish_is_recognized_and_taken_apart(tmp_path: Path, form: str) -> None:
    net = networks.Network()
    path = net.save(tmp_path / "model.tflite", gated(net, negated(net, net.input("x", (1, 6))), form))
    told, after = rewriting.rewritten(path, "hard_swish")
    assert rewriting.operators(after) == {"NEG": 1, "HARD_SWISH": 1}, told.refused
    rewriting.assert_same(path, after)
    _, apart = rewriting.rewritten(after, "hard_swish_parts")
    assert rewriting.operators(apart) == {"NEG": 1, "ADD": 1, "MUL": 2}
    rewriting.assert_same(path, apart)


def test_another_gate_is_no_hard_swish(tmp_path: Path) -> None:
    net = networks.Network()
    x, y = net.input("x", (1, 6)), net.input("y", (1, 6))
    product = net.operator("MUL", [y, gated(net, x, "fused")], (1, 6), kind="MulOptions")
    path = net.save(tmp_path / "model.tflite", product)
    _, after = rewriting.rewritten(path, "hard_swish")
    rewriting.assert_same(path, after)
    assert rewriting.operators(after)["HARD_SWISH"] <= 1


SLOPES = {
    "below 1": [-0.3, 0.0, 0.25, 0.9],
    "above 1": [1.0, 1.5, 2.0, 7.0],
    "around 1": [-2.0, 0.5, 1.0, 3.0],
    "one": [0.2] * 4,
    "one above 1": [1.5] * 4,
    "none": [0.0] * 4,
}


@pytest.mark.parametrize("rank", [2, 3, 4])
@pytest.mark.parametrize("slopes", SLOPES)
def test_a_prelu_is_written_as_clamped_products(slopes: str, rank: int, tmp_path: Path) -> None:
    net = networks.Network()
    shape = (1, 3, 2, 4)[4 - rank :] if rank < 4 else (1, 3, 2, 4)
    alpha = net.constant("alpha", np.array(SLOPES[slopes], np.float32).reshape((1,) * (rank - 2) + (4,)))
    path = net.save(tmp_path / "model.tflite", net.operator("PRELU", [net.input("x", shape), alpha], shape))
    told, after = rewriting.rewritten(path, "prelu_parts")
    found = rewriting.operators(after)
    assert "PRELU" not in found, told.refused
    assert sum(found.values()) == {"one": 1, "one above 1": 1, "none": 1, "around 1": 4}.get(slopes, 2)
    rewriting.assert_same(path, after)


def test_a_prelu_by_slopes_that_are_computed_stays(tmp_path: Path) -> None:
    net = networks.Network()
    x, slopes = net.input("x", (1, 2, 4)), net.input("slopes", (1, 4))
    path = net.save(tmp_path / "model.tflite", net.operator("PRELU", [x, negated(net, slopes)], (1, 2, 4)))
    assert rewriting.rewritten(path, "prelu_parts")[1] == path


@pytest.mark.parametrize("name", ["RELU", "RELU6", "RELU_N1_TO_1"])
def test_a_clamp_that_nothing_takes_in_is_a_product(name: str, tmp_path: Path) -> None:
    net = networks.Network()
    inner = dense(net, net.input("x", (1, 8)))
    path = net.save(tmp_path / "model.tflite", net.operator(name, [inner], (1, 5)), inner)
    told, after = rewriting.rewritten(path, *chosen("litert-integers"))
    assert rewriting.operators(after) == {"FULLY_CONNECTED": 1, "MUL": 1}, told.refused
    rewriting.assert_same(path, after)
    alone = net.save(tmp_path / "alone.tflite", net.operator(name, [inner], (1, 5)))
    _, after = rewriting.rewritten(alone, *chosen("litert-integers"))
    assert rewriting.operators(after) == {"FULLY_CONNECTED": 1}, "a clamp that something takes in costs nothing"


def test_the_order_of_operators_is_one_in_which_they_can_run(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 4, 5, 2))
    turned = transpose(net, negated(net, x), (0, 3, 1, 2))
    late = transpose(net, net.operator("RELU", [turned], (1, 2, 4, 5)), (0, 2, 3, 1))
    path = net.save(tmp_path / "model.tflite", net.operator("ADD", [late, x], (1, 4, 5, 2), kind="AddOptions"), late)
    _, after = rewriting.rewritten(path, *chosen("litert"))
    known: set[int] = set()
    main = graph.read(after)[0]
    for operator in main.operators:
        computed = {t for t in operator.inputs if t >= 0 and not main.tensors[t].constant_bytes} - set(main.inputs)
        assert computed <= known
        known |= set(operator.outputs)
    rewriting.assert_same(path, after)


def test_every_rule_has_its_module_and_somebody_who_gains() -> None:
    for rule in RULES:
        assert rule.gains
        assert rule.told
    assert len({rule.name for rule in RULES}) == len(RULES)


ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
"""Abramowitz and Stegun, 7.1.26."""


def gelu(net: networks.Network, x: int, *, half_first: bool) -> int:
    """x·(1 + erf(x/√2))/2 as converters of a format that has no erf write it."""
    shape = (1, 40)

    def number(value: float) -> int:
        return net.constant(f"c{len(net.subgraph.tensors)}", np.array([value], np.float32))

    def binary(name: str, one: int, other: int) -> int:
        return net.operator(name, [one, other], shape, kind=f"{name.title()}Options")

    u = binary("MUL", x, number(0.5**0.5))
    size = net.operator("ABS", [u], shape)
    t = binary("DIV", number(1.0), binary("ADD", number(1.0), binary("MUL", size, number(0.3275911))))
    sum_ = number(ERF[-1])
    for coefficient in ERF[-2::-1]:
        sum_ = binary("ADD", binary("MUL", sum_, t), number(coefficient))
    faded = net.operator("EXP", [binary("MUL", binary("MUL", size, size), number(-1.0))], shape)
    erf = binary(
        "MUL",
        net.operator("SIGN", [u], shape),
        binary("SUB", number(1.0), binary("MUL", binary("MUL", sum_, t), faded)),
    )
    gate = binary("ADD", erf, number(1.0))
    if half_first:
        return binary("MUL", binary("MUL", x, number(0.5)), gate)
    return binary("MUL", x, binary("MUL", gate, number(0.5)))


@pytest.mark.parametrize("half_first", [False, True])
def test_gelu_is_recognized_by_what_it_computes(tmp_path: Path, *, half_first: bool) -> None:
    net = networks.Network()
    path = net.save(tmp_path / "gelu.tflite", gelu(net, negated(net, net.input("x", (1, 40))), half_first=half_first))
    told, after = rewriting.rewritten(path, "gelu")
    assert rewriting.operators(after) == {"NEG": 1, "GELU": 1}, told.refused
    rewriting.assert_same(path, after)


def test_a_gate_of_tanh_that_is_no_gelu_stays(tmp_path: Path) -> None:
    net = networks.Network()
    x = negated(net, net.input("x", (1, 40)))
    gate = net.operator("TANH", [x], (1, 40))
    path = net.save(tmp_path / "gate.tflite", net.operator("MUL", [x, gate], (1, 40), kind="MulOptions"))
    told, after = rewriting.rewritten(path, "gelu")
    assert after == path
    assert told.refused == {"gelu": 1}
