"""Chains of operators that only move values: as short as they can be, and they move the same values."""

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.rewrites import index_maps
from tests import networks
from tests.rewrites import rewriting

type Shape = tuple[int, ...]


def reshape(net: networks.Network, x: int, shape: Shape) -> int:
    told = net.constant(f"shape_{x}", np.array(shape, np.int32))
    return net.operator("RESHAPE", [x, told], shape, kind="ReshapeOptions", newShape=list(shape))


def transpose(net: networks.Network, x: int, order: Shape) -> int:
    shape = tuple(int(net.subgraph.tensors[x].shape[axis]) for axis in order)
    told = net.constant(f"order_{x}", np.array(order, np.int32))
    return net.operator("TRANSPOSE", [x, told], shape, kind="TransposeOptions")


def sliced(net: networks.Network, x: int, begin: Shape, size: Shape) -> int:
    told = [net.constant(f"{name}_{x}", np.array(held, np.int32)) for name, held in (("b", begin), ("s", size))]
    return net.operator("SLICE", [x, *told], size, kind="SliceOptions")


def gather(net: networks.Network, x: int, number: int, axis: int) -> int:
    shape = [int(size) for size in net.subgraph.tensors[x].shape]
    shape[axis] = 1
    told = net.constant(f"number_{x}", np.array([number], np.int32))
    return net.operator("GATHER", [x, told], tuple(shape), kind="GatherOptions", axis=axis, batchDims=0)


def negated(net: networks.Network, x: int) -> int:
    shape = tuple(int(size) for size in net.subgraph.tensors[x].shape)
    return net.operator("NEG", [x], shape, kind="NegOptions")


def test_turns_that_cancel_go(tmp_path: Path) -> None:
    net = networks.Network()
    x = negated(net, net.input("x", (1, 4, 6, 2)))
    y = transpose(net, transpose(net, x, (0, 3, 1, 2)), (0, 2, 3, 1))
    path = net.save(tmp_path / "model.tflite", negated(net, reshape(net, y, (1, 4, 6, 2))))
    _, after = rewriting.rewritten(path, "moves")
    assert rewriting.operators(after) == {"NEG": 2}
    rewriting.assert_same(path, after, 0.0)


@pytest.mark.parametrize("name", ["shuffle", "depth"])
def test_the_shuffle_of_channels_is_one_slice_for_each_part(tmp_path: Path, name: str) -> None:
    net = networks.Network()
    first = transpose(net, net.input("x", (1, 5, 7, 8)), (0, 3, 1, 2))
    apart = transpose(net, reshape(net, first, (4, 2, 35)), (1, 0, 2))
    both = reshape(net, apart, (2, 1, 4, 5, 7))
    parts = [transpose(net, reshape(net, gather(net, both, k, 0), (1, 4, 5, 7)), (0, 2, 3, 1)) for k in (0, 1)]
    path = net.save(tmp_path / f"{name}.tflite", *(negated(net, part) for part in parts))
    _, after = rewriting.rewritten(path, "moves")
    assert rewriting.operators(after) == {"STRIDED_SLICE": 2, "NEG": 2}
    rewriting.assert_same(path, after, 0.0)


def test_outputs_and_what_others_read_on_the_way_stay(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (2, 3, 4))
    turned = transpose(net, x, (2, 1, 0))
    back = transpose(net, turned, (2, 1, 0))
    path = net.save(tmp_path / "model.tflite", negated(net, turned), back)
    _, after = rewriting.rewritten(path, "moves")
    rewriting.assert_same(path, after, 0.0)


@st.composite
def chains(draw: Any) -> tuple[Shape, list[tuple[str, Any]]]:
    """A shape, and a chain of moves with what each is told."""
    shape = tuple(draw(st.lists(st.sampled_from([1, 2, 3, 4]), min_size=2, max_size=4)))
    first, moves = shape, list[tuple[str, Any]]()
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(["reshape", "transpose", "slice", "gather"]))
        if kind == "reshape":
            whole, parts = prod(shape), list[int]()
            while whole > 1 and len(parts) < 4:
                divisors = [size for size in range(2, whole + 1) if whole % size == 0]
                parts.append(draw(st.sampled_from(divisors)))
                whole //= parts[-1]
            shape = (*parts, whole)
            moves.append((kind, shape))
        elif kind == "transpose":
            order = tuple(draw(st.permutations(range(len(shape)))))
            shape = tuple(shape[axis] for axis in order)
            moves.append((kind, order))
        elif kind == "slice":
            begin = tuple(draw(st.integers(0, size - 1)) for size in shape)
            shape = tuple(draw(st.integers(1, size - start)) for size, start in zip(shape, begin, strict=True))
            moves.append((kind, (begin, shape)))
        else:
            axis = draw(st.integers(0, len(shape) - 1))
            moves.append((kind, (draw(st.integers(0, shape[axis] - 1)), axis)))
            shape = tuple(1 if k == axis else size for k, size in enumerate(shape))
    return first, moves


@settings(max_examples=60)
@given(chains())
def test_any_chain_moves_the_same_values(tmp_path_factory: pytest.TempPathFactory, chain: Any) -> None:
    shape, moves = chain
    net = networks.Network()
    x = net.input("x", shape)
    made = [negated(net, x)]
    for kind, told in moves:
        if kind == "reshape":
            made.append(reshape(net, made[-1], told))
        elif kind == "transpose":
            made.append(transpose(net, made[-1], told))
        elif kind == "slice":
            made.append(sliced(net, made[-1], *told))
        else:
            made.append(gather(net, made[-1], *told))
    path = net.save(tmp_path_factory.mktemp("chain") / "model.tflite", negated(net, made[-1]), made[len(made) // 2])
    told, after = rewriting.rewritten(path, "moves", "layouts", "duplicates", "unread")
    assert not told.refused
    assert told.after <= told.before
    rewriting.assert_same(path, after, 0.0)


@given(st.permutations(range(4)), st.tuples(*[st.integers(1, 4)] * 4))
def test_a_permutation_of_axes_takes_one_transpose(order: list[int], shape: Shape) -> None:
    indices = np.arange(prod(shape)).reshape(shape).transpose(order)
    found = index_maps.steps(shape, indices)
    assert found is not None
    assert [name for name, _ in found].count("TRANSPOSE") <= 1
    assert "SLICE" not in [name for name, _ in found]
