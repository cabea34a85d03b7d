"""Which weights are kernels: by what reads them, not by their shape."""

from pathlib import Path
from typing import Any

import pytest

from edgekit.waist import graph
from tests.channels.generated import Layers
from tests.lazy import Lazy

weights = Lazy("edgekit.trainable.weights")

SHAPE = (1, 6, 6, 4)
BUILDS: dict[str, tuple[Any, tuple[int, ...], bool]] = {
    "conv": (lambda net, x, _: net.conv(x, 3), (3, 3, 3, 4), True),
    "conv of one output": (lambda net, x, _: net.conv(x, 1, size=1), (1, 1, 1, 4), True),
    "depthwise": (lambda net, x, _: net.depthwise(x), (1, 3, 3, 4), True),
    "transposed": (lambda net, x, _: net.transposed(x, 1), (1, 3, 3, 4), True),
    "dense": (lambda net, x, _: net.dense(net.reshape(x, 1, 144), 5), (5, 144), True),
    "dense of one output": (lambda net, x, _: net.dense(net.reshape(x, 1, 144), 1), (1, 144), True),
    "product": (lambda net, x, w: net.matmul(net.reshape(x, 1, 36, 4), w), (1, 4, 1), True),
    "table": (
        lambda net, _, w: net.net.operator("GATHER", [w, net.ints(1, 2)], (2, 7), kind="GatherOptions", axis=0),
        (9, 7), True,
    ),
    "slopes of each place": (lambda net, x, w: net.net.operator("PRELU", [x, w], SHAPE), (1, 6, 6, 4), False),
    "places": (lambda net, x, w: net.two("ADD", x, w), (1, 6, 6, 4), False),
    "scales of each place": (lambda net, x, w: net.two("MUL", x, w), (1, 6, 6, 4), False),
    "tokens": (lambda net, x, w: net.concat(x, w, axis=1), (1, 2, 6, 4), False),
}  # fmt: skip


@pytest.mark.parametrize("kind", BUILDS)
def test_what_reads_a_weight_says_whether_it_is_a_kernel(kind: str, tmp_path: Path) -> None:
    build, shape, kernel = BUILDS[kind]
    layers = Layers(*SHAPE)
    path = layers.save(tmp_path / "net.tflite", build(layers, layers.x, layers.drawn(*shape)))
    found = {weight.values.shape: weight.kernel for weight in weights.find(graph.load(path))}
    assert found[shape] is kernel
    assert not any(is_kernel for other, is_kernel in found.items() if other != shape)
