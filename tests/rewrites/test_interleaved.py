"""Channels that are picked by turns: one TRANSPOSE and one SPLIT, if each of them is picked."""

from pathlib import Path

import numpy as np
import pytest

from tests import networks
from tests.rewrites import rewriting
from tests.rewrites.test_moves import negated


def picked(net: networks.Network, x: int, first: int, turns: int) -> int:
    shape = [int(size) for size in net.subgraph.tensors[x].shape]
    bounds = ([0] * (len(shape) - 1) + [first], shape, [1] * (len(shape) - 1) + [turns])
    told = [net.constant(f"s{len(net.subgraph.tensors)}_{k}", np.array(v, np.int32)) for k, v in enumerate(bounds)]
    return net.operator(
        "STRIDED_SLICE", [x, *told], (*shape[:-1], shape[-1] // turns), kind="StridedSliceOptions"
    )  # fmt: skip


@pytest.mark.parametrize("shape", [(1, 5, 3, 12), (1, 7, 12)])
@pytest.mark.parametrize("turns", [2, 3, 4])
def test_each_channel_is_picked_once(tmp_path: Path, shape: tuple[int, ...], turns: int) -> None:
    net = networks.Network()
    x = negated(net, net.input("x", shape))
    order = np.random.default_rng(turns).permutation(turns)
    path = net.save(tmp_path / "model.tflite", *(negated(net, picked(net, x, int(first), turns)) for first in order))
    told, after = rewriting.rewritten(path, "moves", "interleaved")
    assert rewriting.operators(after) == {"NEG": turns + 1, "RESHAPE": 1, "TRANSPOSE": 1, "SPLIT": 1}, told.refused
    rewriting.assert_same(path, after)


def test_one_that_nobody_picks_and_more_than_one_batch(tmp_path: Path) -> None:
    net = networks.Network()
    x = negated(net, net.input("x", (1, 5, 3, 12)))
    path = net.save(tmp_path / "some.tflite", *(negated(net, picked(net, x, first, 3)) for first in (0, 2)))
    assert rewriting.rewritten(path, "interleaved")[1] == path
    net = networks.Network()
    x = negated(net, net.input("x", (2, 5, 3, 12)))
    path = net.save(tmp_path / "batch.tflite", *(negated(net, picked(net, x, first, 2)) for first in (0, 1)))
    assert rewriting.rewritten(path, "interleaved")[1] == path
