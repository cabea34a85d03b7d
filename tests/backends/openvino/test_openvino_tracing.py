"""Channels followed through OpenVINO's own graph: they can be divided and nothing is computed otherwise."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.backends.openvino.layers import layer
from edgekit.backends.openvino.tracing import IrTrace
from edgekit.waist.tensors import sqnr_db
from tests.equalization.spread import KINDS, RELU6, branched, chain, in_a_row
from tests.lazy import Lazy

libraries = Lazy("edgekit.backends.openvino.libraries")

COUNT = 8
SIZE = 6


class Net:
    """A network of OpenVINO's operators in channels-first layout, whose first layer makes `COUNT` channels."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(0)
        self.op, self.ov = libraries.operators, libraries.ov
        self.x = self.op.parameter([1, 3, SIZE, SIZE], np.float32, name="x")

    def constant(self, *shape: int) -> Any:
        return self.op.constant(self.random.standard_normal(shape).astype("f"))

    def conv(self, value: Any, made: int = COUNT, read: int = 0) -> Any:
        read = read or value.get_output_shape(0)[1]
        done = self.op.convolution(value, self.constant(made, read, 1, 1), [1, 1], [0, 0], [0, 0], [1, 1])
        return self.op.add(done, self.constant(1, made, 1, 1))

    def model(self, *outputs: Any) -> Any:
        made = self.ov.Model([self.op.result(each) for each in outputs], [self.x])
        for number, node in enumerate(made.get_ordered_ops()):
            node.set_friendly_name(f"n{number}")
        return made


def shuffled(net: Net, h: Any) -> Any:
    op = net.op
    apart = op.reshape(h, op.constant(np.array([1, 2, COUNT // 2, SIZE, SIZE])), special_zero=False)
    turned = op.transpose(apart, op.constant(np.array([0, 2, 1, 3, 4])))
    return op.reshape(turned, op.constant(np.array([1, COUNT, SIZE, SIZE])), special_zero=False)


def split(net: Net, h: Any) -> Any:
    op = net.op
    halves = op.split(h, op.constant(np.array(1)), 2)
    return op.concat([halves.output(1), net.conv(op.relu(halves.output(0)), 4, 4)], 1)


def gathered(net: Net, h: Any) -> Any:
    return net.op.gather(h, net.op.constant(np.array([7, 3, 1, 0, 5, 2])), net.op.constant(np.array(1)))


def residual(net: Net, h: Any) -> Any:
    return net.op.add(h, net.conv(net.op.relu(net.conv(h))))


def gated(net: Net, h: Any) -> Any:
    """Squeeze and excite: channels times numbers of 0..1 that come of their means."""
    op = net.op
    means = op.reduce_mean(h, op.constant(np.array([2, 3])), keep_dims=True)
    return op.multiply(h, op.sigmoid(net.conv(op.relu(net.conv(means)))))


def grouped(net: Net, h: Any) -> Any:
    done = net.op.group_convolution(h, net.constant(2, 6, 4, 3, 3), [1, 1], [1, 1], [1, 1], [1, 1])
    return net.op.relu(net.op.add(done, net.constant(1, 12, 1, 1)))


def backwards(net: Net, h: Any) -> Any:
    return net.op.relu(net.op.convolution_backprop_data(h, net.constant(COUNT, 5, 2, 2), [2, 2]))


def backwards_in_groups(net: Net, h: Any) -> Any:
    made = net.op.group_convolution_backprop_data(h, net.constant(2, 4, 3, 2, 2), [2, 2])
    return net.op.relu(made)


def pooled(net: Net, h: Any) -> Any:
    op = net.op
    most = op.max_pool(h, [1, 1], [1, 1], [1, 1], [1, 1], [3, 3]).output(0)
    ends = op.constant(np.array([0, 0, 1, 1]))
    padded = op.pad(most, ends, ends, "constant", op.constant(np.array(0, "f")))
    return op.avg_pool(padded, [1, 1], [0, 0], [0, 0], [2, 2], exclude_pad=False)


def dense(net: Net, h: Any) -> Any:
    """Flattened images in a dense layer, both ways to store its weights."""
    op = net.op
    flat = op.reshape(h, op.constant(np.array([1, -1])), special_zero=False)
    first = op.relu(op.matmul(flat, net.constant(10, COUNT * SIZE * SIZE), False, True))
    return op.matmul(first, net.constant(10, 4), False, False)


def summed(net: Net, h: Any) -> Any:
    """Constants that are added, subtracted from and compared with: one for all channels, and one for each place."""
    op = net.op
    h = op.add(h, op.constant(np.array(0.5, "f")))
    h = op.subtract(net.constant(COUNT, SIZE, SIZE), h)
    return op.minimum(op.multiply(h, net.constant(COUNT, 1, 1)), net.constant(COUNT, 1, 1))


WAYS: dict[str, Callable[[Net, Any], Any]] = {
    made.__name__: made
    for made in (
        shuffled, split, gathered, residual, gated, grouped, backwards, backwards_in_groups, pooled, dense, summed
    )
}  # fmt: skip


def outputs(model: Any, count: int = 4) -> Any:
    random = np.random.default_rng(3)
    ran = libraries.CORE.compile_model(model, "CPU", libraries.EXACT)
    rows = [random.standard_normal(ran.inputs[0].shape).astype("f") for _ in range(count)]
    return np.stack([np.concatenate([np.ravel(made) for made in ran(row).values()]) for row in rows])


def divided(model: Any, most: float = 1.0) -> tuple[IrTrace, Any]:
    trace = IrTrace(model)
    by = 10 ** np.random.default_rng(1).uniform(-1, most, trace.count)
    by[0] = 1
    return trace, trace.divided(by)


@pytest.mark.parametrize("way", WAYS)
def test_channels_go_on_through_what_lies_between_layers(way: str) -> None:
    net = Net()
    h = WAYS[way](net, net.op.relu(net.conv(net.x)))
    model = net.model(h if way == "dense" else net.conv(h, 5))
    trace, made = divided(model)
    layers = [node.get_friendly_name() for node in model.get_ordered_ops() if layer(node) is not None]
    loose = [name for name in layers if not trace.made[name].any()]
    assert loose == ([layers[-1]] if way != "gated" else [layers[2], layers[3]]), "what makes outputs, or a gate"
    assert all(trace.read[name].any() for name in layers[1:]) or way == "gated"
    assert sqnr_db(outputs(model), outputs(made)) > 100
    before, after = (
        {node.get_friendly_name(): np.array(node.data) for node in each.get_ordered_ops() if layer_weights(node)}
        for each in (model, made)
    )
    assert sum(not np.array_equal(before[name], after[name]) for name in before) >= 2


def layer_weights(node: Any) -> bool:
    return node.get_type_name() == "Constant" and node.get_element_type() == libraries.ov.Type.f32


@pytest.mark.parametrize("what", ["sigmoid", "output", "computed sum", "shared", "softmax", "halves", "places", "2D"])
def test_what_is_not_the_same_for_all_sizes_keeps_channels_as_they_are(what: str) -> None:
    net, shown = Net(), list[Any]()
    op, first = net.op, net.op.relu(net.conv(net.x))
    h = first
    if what == "sigmoid":
        h = op.sigmoid(h)
    elif what == "output":
        shown = [first]
    elif what == "computed sum":
        h = op.add(h, op.sigmoid(net.conv(net.x)))
    elif what == "shared":
        constant = net.constant(1, COUNT, 1, 1)
        h, shown = op.add(h, constant), [constant]
    elif what == "softmax":
        h = op.softmax(h, 1)
    elif what == "halves":  # rows of half of the channels: two channels have one weight
        h = op.reshape(h, op.constant(np.array([1, COUNT // 2, 2 * SIZE, SIZE])), special_zero=False)
    elif what == "places":  # channels lie where a convolution has its height
        h = op.transpose(op.reshape(h, op.constant(np.array([1, COUNT, 36, 1])), special_zero=False),
                         op.constant(np.array([0, 2, 1, 3])))  # fmt: skip
    else:
        h = op.matmul(op.constant(np.ones((1, 1, SIZE, SIZE), "f")), h, False, False)
    trace, made = divided(model := net.model(net.conv(h, 5), *shown))
    name = next(iter(trace.made))
    assert not trace.made[name].any()
    assert np.array_equal(outputs(model), outputs(made))


@pytest.mark.parametrize(("least", "most", "capped"), [(0.0, 6.0, True), (0.0, np.inf, False), (-1.0, 1.0, None)])
def test_caps_are_known(least: float, most: float, *, capped: bool | None) -> None:
    net = Net()
    trace = IrTrace(net.model(net.conv(net.op.clamp(net.conv(net.x), least, most))))
    assert bool(trace.capped) == bool(capped)
    assert bool(trace.within) == (capped is not None)


def test_biases_and_activation_functions_are_not_looked_at() -> None:
    net = Net()
    model = net.model(net.conv(net.op.relu(net.conv(net.x))))
    kinds = {node.get_friendly_name(): node.get_type_name() for node in model.get_ordered_ops()}
    assert [kinds[name] for name, _ in IrTrace(model).looked_at()] == ["Relu"]


def read(kind: str, path: Path) -> Any:
    if kind == "chain":
        chain(path, spread=30)
    elif kind == "capped":
        in_a_row(path, 2, activation=RELU6)
    else:
        branched(path, kind, 0)
    return libraries.ov.convert_model(path)


@pytest.mark.parametrize("kind", [*KINDS, "chain", "capped"])
def test_networks_of_tflite_are_traced_as_their_waists_are(kind: str, tmp_path: Path) -> None:
    model = read(kind, tmp_path / "waist.tflite")
    trace, made = divided(model, most=0.0 if kind != "capped" else -0.9)
    assert sum(bool(numbers.any()) for numbers in trace.made.values()) == len(trace.layers) - 1
    assert all(numbers.any() for numbers in trace.read.values())
    if kind != "capped":
        assert sqnr_db(outputs(model), outputs(made)) > 100
    assert bool(trace.capped) == (kind == "capped")
