"""Branches of outputs: found behind whatever keeps them apart."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from edgekit.waist import branches
from tests import networks

SHAPE = (1, 6, 8)


def _joined(net: networks.Network, *widths: int, axis: int = 1) -> int:
    """Heads of these widths along an axis of [1, 6, 8] or longer, each computed from the input."""
    x = net.input("x", SHAPE)
    heads = []
    for width in widths:
        shape = tuple(width if k == axis else size for k, size in enumerate(SHAPE))
        begin, size = net.constant("b", np.zeros(3, np.int32)), net.constant("s", np.array(shape, np.int32))
        part = net.operator("SLICE", [x, begin, size], shape, kind="SliceOptions")
        heads.append(net.operator("LOGISTIC", [part], shape))
    whole = tuple(sum(widths) if k == axis else size for k, size in enumerate(SHAPE))
    return net.operator("CONCATENATION", heads, whole, kind="ConcatenationOptions", axis=axis)


def _cuts(net: networks.Network, path: Path, *outputs: int) -> list[dict[int, tuple[int, ...]]]:
    net.save(path, *outputs)
    return [made.cuts for made in branches.outputs(path, networks.signature(path)).values()]


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_a_concatenation_is_cut_where_its_inputs_meet(axis: int, tmp_path: Path) -> None:
    net = networks.Network()
    joined = _joined(net, 2, 1, 3, axis=axis % 3)
    net.subgraph.operators[-1].builtinOptions.axis = axis
    assert _cuts(net, tmp_path / "n.tflite", joined) == [{axis % 3: (2, 3)}]


def test_parts_that_are_empty_have_no_cuts(tmp_path: Path) -> None:
    net = networks.Network()
    joined = _joined(net, 0, 2, 0, 4, 0)
    assert _cuts(net, tmp_path / "n.tflite", joined) == [{1: (2,)}]


def test_a_deep_network_is_followed_to_its_end(tmp_path: Path) -> None:
    net = networks.Network()
    joined = _joined(net, 2, 4)
    for _ in range(1500):
        joined = net.operator("TANH", [joined], SHAPE)
    assert _cuts(net, tmp_path / "n.tflite", joined) == [{1: (2,)}]


def test_what_works_element_by_element_or_moves_axes_keeps_branches(tmp_path: Path) -> None:
    net = networks.Network()
    joined = _joined(net, 2, 4)
    scaled = net.operator("MUL", [joined, net.constant("m", np.full((1, 6, 1), 9, np.float32))], SHAPE)
    turned = net.operator("TRANSPOSE", [scaled, net.constant("p", np.array([0, 2, 1], np.int32))], (1, 8, 6))
    to = net.constant("to", np.array([1, 2, 4, 6], np.int32))
    shaped = net.operator("RESHAPE", [turned, to], (1, 2, 4, 6), kind="ReshapeOptions", newShape=[1, 2, 4, 6])
    assert _cuts(net, tmp_path / "n.tflite", shaped, joined) == [{3: (2,)}, {1: (2,)}]


def test_a_reshape_that_mixes_branches_and_a_softmax_over_them_end_the_search(tmp_path: Path) -> None:
    net = networks.Network()
    joined = _joined(net, 2, 4)
    to = net.constant("to", np.array([1, 48], np.int32))
    flat = net.operator("RESHAPE", [joined, to], (1, 48), kind="ReshapeOptions", newShape=[1, 48])
    net2 = networks.Network()
    along = net2.operator("SOFTMAX", [_joined(net2, 3, 5, axis=2)], SHAPE, kind="SoftmaxOptions", beta=1.0)
    assert _cuts(net, tmp_path / "a.tflite", flat) == [{}]
    assert _cuts(net2, tmp_path / "b.tflite", along) == [{}]


def test_scales_of_heads_are_cut_along_both_axes(tmp_path: Path) -> None:
    """Boxes and scores of each scale side by side, the scales below one another."""
    net = networks.Network()
    scales = [_joined(net, 2, 4) for _ in range(2)]
    both = net.operator("CONCATENATION", scales, (1, 6, 16), kind="ConcatenationOptions", axis=2)
    assert _cuts(net, tmp_path / "n.tflite", both) == [{1: (2,), 2: (8,)}]


def test_axes_are_those_of_the_source(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 4, 4, 3))
    joined = net.operator("CONCATENATION", [x, x], (1, 4, 4, 6), kind="ConcatenationOptions", axis=3)
    path = net.save(tmp_path / "n.tflite", joined)
    (made,) = branches.outputs(path, networks.signature(path, nchw=True)).values()
    assert made.cuts == {1: (3,)}


def test_an_output_without_an_input_behind_it_is_told_apart(tmp_path: Path) -> None:
    net = networks.Network()
    anchors = net.operator("ABS", [net.constant("a", np.ones((1, 4), np.float32))], (1, 4), name="anchors")
    path = net.save(tmp_path / "n.tflite", net.operator("ABS", [net.input("x", (1, 4))], (1, 4), name="y"), anchors)
    found = branches.outputs(path, networks.signature(path))
    assert [made.depends for made in found.values()] == [True, False]


def _softmax(net: networks.Network, *moves: str) -> tuple[int, int]:
    """Shares among 8 at 6 steps, moved; and the axis that a test expects."""
    x, axis, shape = net.input("x", SHAPE), 2, SHAPE
    made = net.operator("SOFTMAX", [x], shape, kind="SoftmaxOptions", beta=1.0)
    for move in moves:
        if move == "TRANSPOSE":
            order = [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]
            shape, axis = tuple(shape[place] for place in order), order.index(axis)
            made = net.operator(move, [made, net.constant("o", np.array(order, np.int32))], shape)
        elif move == "RESHAPE":
            shape, axis = (1, *shape), axis + 1
            made = net.operator(move, [made, net.constant("r", np.array(shape, np.int32))], shape)
        elif move == "CONCATENATION":
            along = len(shape) - 1 - (axis == len(shape) - 1)
            shape = tuple(size * (1 + (place == along)) for place, size in enumerate(shape))
            made = net.operator(move, [made, made], shape, kind="ConcatenationOptions", axis=along)
        else:
            made = net.operator(move, [made], shape)
    return made, axis


@pytest.mark.parametrize("count", range(4))
def test_shares_are_followed_through_whatever_moves_them(count: int, tmp_path: Path) -> None:
    for moves in product(["TRANSPOSE", "RESHAPE", "CONCATENATION", "CAST"], repeat=count):
        net = networks.Network()
        made, axis = _softmax(net, *moves)
        net.save(tmp_path / "n.tflite", made)
        (found,) = branches.outputs(tmp_path / "n.tflite", networks.signature(tmp_path / "n.tflite")).values()
        assert found.shares == axis, moves


@pytest.mark.parametrize("behind", ["TANH", "split", "joined", "none"])
def test_what_changes_shares_or_has_none_chooses_nothing(behind: str, tmp_path: Path) -> None:
    net = networks.Network()
    made, _ = _softmax(net)
    shape: tuple[int, ...] = SHAPE
    if behind == "TANH":
        made = net.operator("TANH", [made], shape)
    elif behind == "split":
        shape = (1, 12, 4)
        made = net.operator("RESHAPE", [made, net.constant("r", np.array(shape, np.int32))], shape)
    elif behind == "joined":
        made = net.operator("CONCATENATION", [made, made], (1, 6, 16), kind="ConcatenationOptions", axis=-1)
    else:
        made = net.operator("LOGISTIC", [0], SHAPE)
    net.save(tmp_path / "n.tflite", made)
    (found,) = branches.outputs(tmp_path / "n.tflite", networks.signature(tmp_path / "n.tflite")).values()
    assert found.shares is None
