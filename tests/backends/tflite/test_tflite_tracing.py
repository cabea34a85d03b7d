"""Channels followed through joins, splits, shuffles and sums: they can be divided and nothing is computed otherwise."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.backends.tflite.tracing import Trace
from edgekit.waist import graph, run
from edgekit.waist.tensors import sqnr_db
from tests import networks
from tests.backends.integers import Quantized, normal

COUNT = 8
OPTIONS: dict[str, Any] = {"strideH": 1, "strideW": 1, "padding": networks.SAME}
DILATION = {"dilationHFactor": 1, "dilationWFactor": 1}


class Net(networks.Network):
    """Convolutions whose channels are up to 30:1 apart, and what lies between them. Images are ``[1, 8, 8, C]``."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random = np.random.default_rng(seed)
        self.sizes: dict[int, Any] = {}

    def conv(
        self, x: int, made: int = COUNT, *, activation: int = networks.RELU, kernel: int = 1, like: int | None = None
    ) -> int:
        """A convolution that makes up for the sizes of what it reads, and whose channels have those of ``like``."""
        read = self.sizes.get(x, np.ones(3))
        sizes = 10 ** self.random.uniform(-1.5, 0, made) if like is None else self.sizes[like]
        weights = self.random.standard_normal((made, kernel, kernel, len(read))) / read / np.sqrt(kernel**2 * len(read))
        name = f"k{len(self.subgraph.tensors)}"
        held = [self.constant(name, (weights * sizes[:, None, None, None]).astype("f"))]
        held.append(self.constant(f"{name}b", (self.random.standard_normal(made) * sizes / 4).astype("f")))
        fixed = OPTIONS | DILATION | {"fusedActivationFunction": activation}
        shape = (*self.subgraph.tensors[x].shape[:3], made)
        found = self.operator("CONV_2D", [x, *held], shape, kind="Conv2DOptions", **fixed)
        self.sizes[found] = sizes
        return found

    def join(self, *operands: int) -> int:
        sizes = np.concatenate([self.sizes[one] for one in operands])
        shape = (*self.subgraph.tensors[operands[0]].shape[:3], len(sizes))
        found = self.operator("CONCATENATION", [*operands], shape, kind="ConcatenationOptions", axis=3)
        self.sizes[found] = sizes
        return found

    def shuffled(self, x: int, groups: int = 2) -> int:
        """Channels dealt out anew: reshaped, transposed and flattened."""
        count = len(self.sizes[x])
        inner = (1, 8, 8, groups, count // groups)
        order = self.constant(f"order{x}", np.array([0, 1, 2, 4, 3], np.int32))
        apart = self.reshaped(x, inner)
        turned = self.operator("TRANSPOSE", [apart, order], (1, 8, 8, count // groups, groups), kind="TransposeOptions")
        found = self.reshaped(turned, (1, 8, 8, count))
        self.sizes[found] = self.sizes[x].reshape(groups, -1).T.ravel()
        return found

    def reshaped(self, x: int, shape: tuple[int, ...]) -> int:
        to = self.constant(f"shape{x}", np.array(shape, np.int32))
        return self.operator("RESHAPE", [x, to], shape, kind="ReshapeOptions", newShape=list(shape))

    def half(self, x: int, first: int) -> int:
        """Half of the channels, from one on."""
        count = len(self.sizes[x]) // 2
        ends = [self.constant(f"{name}{x}", np.array(at, np.int32)) for name, at in
                (("begin", [0, 0, 0, first]), ("size", [1, 8, 8, count]))]  # fmt: skip
        found = self.operator("SLICE", [x, *ends], (1, 8, 8, count), kind="SliceOptions")
        self.sizes[found] = self.sizes[x][first : first + count]
        return found

    def sum(self, one: int, other: int) -> int:
        found = self.operator(
            "ADD", [one, other], self.subgraph.tensors[one].shape, kind="AddOptions", fusedActivationFunction=0
        )
        self.sizes[found] = np.maximum(self.sizes[one], self.sizes[other])
        return found

    def pooled(self, x: int) -> int:
        """The least value around each image, then the largest of four neighbours: a pool as PyTorch pads it."""
        around = self.constant(f"around{x}", np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
        least = self.constant(f"least{x}", np.array(-3.4e38, np.float32))
        count = len(self.sizes[x])
        padded = self.operator("PADV2", [x, around, least], (1, 10, 10, count), kind="PadV2Options")
        size = {"filterHeight": 3, "filterWidth": 3, "padding": networks.VALID, "strideH": 1, "strideW": 1}
        found = self.operator("MAX_POOL_2D", [padded], (1, 8, 8, count), kind="Pool2DOptions", **size)
        self.sizes[found] = self.sizes[x]
        return found


def shuffles(net: Net, x: int) -> int:
    """Two units of ShuffleNet: half of the channels goes on as it is."""
    x = net.join(net.conv(x), net.conv(x))
    for _ in range(2):
        x = net.shuffled(x)
        x = net.join(net.half(x, 0), net.conv(net.half(x, COUNT), kernel=3))
    return x


def residual(net: Net, x: int) -> int:
    """Sums of a row of layers and what goes around them, the last one with channels of three layers."""
    x = net.conv(x)
    for _ in range(2):
        x = net.sum(x, net.conv(net.conv(x), activation=0, like=x))
    return x


def dense(net: Net, x: int) -> int:
    """Each layer reads all before it."""
    x = net.conv(x)
    for _ in range(2):
        x = net.join(x, net.conv(x))
    return net.pooled(x)


KINDS: dict[str, Callable[[Net, int], int]] = {"shuffles": shuffles, "residual": residual, "dense": dense}


def made(path: Path, kind: str, seed: int) -> Path:
    net = Net(seed)
    return net.save(path, net.conv(KINDS[kind](net, net.input("x", (1, 8, 8, 3))), 5, activation=0))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(2))
def test_any_channel_can_be_divided(kind: str, seed: int, tmp_path: Path) -> None:
    waist = made(tmp_path / "waist.tflite", kind, seed)
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


@pytest.mark.parametrize("kind", KINDS)
def test_channels_that_are_evened_wherever_they_lie_err_less_on_inputs_that_nobody_saw(
    kind: str, tmp_path: Path
) -> None:
    waist = made(tmp_path / "waist.tflite", kind, 0)
    fresh = normal(waist, 32, seed=7)
    levels = {}
    for way in ("auto", "off"):
        built = Quantized(
            waist, normal(waist, 48), tmp_path / way, settings={"weights": "nearest", "equalization": way}
        )
        levels[way] = min(built.sqnr_db(fresh).values())
        assert any("nearer to one size" in note for note in built.made.notes) == (way == "auto")
    assert levels["auto"] > levels["off"] + 2


def test_channels_next_to_what_stays_float_are_evened_as_well(tmp_path: Path) -> None:
    waist = made(tmp_path / "waist.tflite", "residual", 0)
    fresh = normal(waist, 32, seed=7)
    levels = {}
    for way in ("auto", "off"):
        settings = {"weights": "nearest", "equalization": way, "float_operators": (0,)}
        built = Quantized(waist, normal(waist, 48), tmp_path / way, settings=settings)
        assert any("stays float32: CONV_2D" in note for note in built.made.notes)
        levels[way] = min(built.sqnr_db(fresh).values())
    assert levels["auto"] > levels["off"] + 2


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
