"""Channels followed through joins, splits, shuffles and sums: they can be divided and nothing is computed otherwise."""

from pathlib import Path

import numpy as np
import pytest

from edgekit.equalization.tracing import Trace
from edgekit.waist import graph, run
from edgekit.waist.tensors import sqnr_db
from tests.equalization.spread import COUNT, KINDS, Net, branched


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(2))
def test_any_channel_can_be_divided(kind: str, seed: int, tmp_path: Path) -> None:
    waist = branched(tmp_path / "waist.tflite", kind, seed)
    model = graph.load(waist)
    trace = Trace(model)
    layers = [operator.index for operator in trace._main.operators if operator.name == "CONV_2D"]
    assert [*trace.made][:-1] == layers[:-1], "all but the last, which makes the output"
    assert all(trace.made[index].all() for index in layers[:-1])
    assert not trace.made[layers[-1]].any()
    by = 10 ** np.random.default_rng(seed).uniform(-1, 1, trace.count)
    by[0] = 1
    before = [graph.constant(model, 0, found.kernel) for found in trace.layers.values()]
    trace.divide(by, model)
    after = [graph.constant(model, 0, found.kernel) for found in trace.layers.values()]
    assert all(np.abs(one - other).max() > 0.01 for one, other in zip(before, after, strict=True))
    (tmp_path / "divided.tflite").write_bytes(graph.pack(model))
    given = {"x": np.random.default_rng(1).standard_normal((4, 1, 8, 8, 3)).astype("f")}
    assert sqnr_db(*(next(iter(run.run(path, given).values())) for path in (waist, tmp_path / "divided.tflite"))) > 100


@pytest.mark.parametrize("what", ["LOGISTIC", "ADD", "SPLIT OF THE CHANNELS", "output", "PADV2"])
def test_what_is_not_the_same_for_all_sizes_keeps_channels_as_they_are(what: str, tmp_path: Path) -> None:
    net = Net(0)
    first = h = net.conv(net.input("x", (1, 8, 8, 3)))
    if what == "LOGISTIC":
        h = net.operator("LOGISTIC", [h], (1, 8, 8, COUNT))
    elif what == "ADD":  # of a constant
        h = net.operator("ADD", [h, net.constant("c", np.ones(COUNT, "f"))], (1, 8, 8, COUNT), kind="AddOptions")
    elif what == "PADV2":
        ends = net.constant("around", np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
        h = net.operator("PADV2", [h, ends, net.constant("one", np.array(1, "f"))], (1, 10, 10, COUNT))
    elif what == "SPLIT OF THE CHANNELS":  # a dense layer that reads rows of half of them: two channels have one weight
        h = net.reshaped(h, (1, 8, 16, COUNT // 2))
    net.sizes[h] = np.ones(net.subgraph.tensors[h].shape[-1])
    last = net.conv(h, 5, activation=0)
    path = net.save(tmp_path / "waist.tflite", *([first] if what == "output" else []), last)
    trace = Trace(graph.load(path))
    assert not any(numbers.any() for numbers in trace.within.values())


@pytest.mark.parametrize("value", [1.0, 5.5, 1e6, -1e6, 3.4e38, -np.inf])
@pytest.mark.parametrize("kind", ["CONCATENATION", "PACK"])
def test_constants_that_are_joined_with_channels_have_no_number(kind: str, value: float, tmp_path: Path) -> None:
    net = Net(0)
    first = net.conv(net.input("x", (1, 8, 8, 3)))
    constant = net.constant("c", np.full((1, 8, 8, COUNT), value, "f"))
    if kind == "PACK":
        h = net.operator("PACK", [first, constant], (1, 8, 8, COUNT, 2), kind="PackOptions", axis=4, valuesCount=2)
        h = net.reshaped(h, (1, 8, 8, 2 * COUNT))
    else:
        h = net.operator("CONCATENATION", [constant, first], (1, 8, 8, 2 * COUNT), kind="ConcatenationOptions", axis=3)
    net.sizes[h] = np.ones(2 * COUNT)
    trace = Trace(graph.load(net.save(tmp_path / "waist.tflite", net.conv(h, 5, activation=0))))
    numbers, own = trace.within[h], trace.within[first]
    assert own.all()
    places = slice(0, None, 2) if kind == "PACK" else slice(COUNT, None)
    assert numbers[places].tolist() == own.tolist()
    assert not numbers[1::2].any() if kind == "PACK" else not numbers[:COUNT].any()
