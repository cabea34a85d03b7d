"""Channels of activations divided: the same float network, whose channels are nearer to one size."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.equalization import activations
from edgekit.equalization.observing import Observed, observe
from edgekit.equalization.tracing import Trace
from edgekit.waist import graph, run
from edgekit.waist.tensors import sqnr_db
from tests.equalization.spread import KINDS, RELU6, branched, in_a_row

X = {"x": np.random.default_rng(5).standard_normal((16, 1, 8, 8, 3)).astype("f")}


def seen(path: Path, trace: Trace) -> dict[int, Observed]:
    main = graph.read(path)[0]
    return observe(path, main, X, np.arange(1), 0, by_channel=trace.within.keys()).activations


def spread(path: Path, trace: Trace) -> float:
    """How far the sizes of channels of one tensor are apart, in the worst."""
    peaks: list[Any] = [np.abs(one.channels).max(0) for one in seen(path, trace).values() if one.channels is not None]
    return max(float(one.max() / one[one > 0].min()) for one in peaks)


def networks_apart(path: Path, kind: str) -> Path:
    return branched(path, kind, 3) if kind in KINDS else in_a_row(path, 2, activation=RELU6)


@pytest.mark.parametrize("kind", [*KINDS, "capped"])
def test_channels_come_nearer_to_one_size_and_nothing_else_is_computed(kind: str, tmp_path: Path) -> None:
    path = networks_apart(tmp_path / "waist.tflite", kind)
    trace = Trace(graph.load(path))
    even = activations.divided(path, trace, seen(path, trace), tmp_path / "even")
    assert even is not None
    assert even.by[0] == 1
    assert (even.by > 0).all()
    assert (even.by <= 1).all()
    assert spread(even.path, trace) < 0.6 * spread(path, trace)
    outputs = [next(iter(run.run(each, X).values())) for each in (path, even.path)]
    assert sqnr_db(*outputs) > activations.SAME_DB


def test_channels_of_one_size_are_left_alone(tmp_path: Path) -> None:
    path = branched(tmp_path / "waist.tflite", "residual", 0)
    trace = Trace(graph.load(path))
    alike = seen(path, trace)
    for one in alike.values():
        if one.channels is not None:
            one.channels = np.ones_like(one.channels)
    assert activations.divided(path, trace, alike, tmp_path / "even") is None
    assert not (tmp_path / "even").exists()


def test_channels_go_half_of_the_way_and_those_of_zeros_stay() -> None:
    found = activations._factors(np.array([4.0, 1.0, 0.0, 1e-6]), np.full(4, 4.0))
    assert found == pytest.approx([1.0, 0.5, 1.0, 0.125])
