"""Each way in which channels pass through operators: a cut network computes what the masked one does."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.channels import cutting
from edgekit.waist import cost
from tests.channels.generated import Build, Layers, agreement_db, drawn, network
from tests.networks import weights


def between(middle: Build, filters: int = 8) -> Build:
    """A convolution, what is asked about, and a convolution."""
    return lambda net, x: net.conv(middle(net, net.conv(x, filters)), 3, 1, activation=0)


def residual(net: Layers, x: int) -> int:
    return net.two("ADD", net.conv(net.conv(x, 12), net.shape(x)[-1]), x)


def squeezed(net: Layers, x: int) -> int:
    """Squeeze and excitation, with dense layers and with convolutions."""
    gate = net.dense(net.dense(net.mean(x, 1, 2), 4), net.shape(x)[-1])
    x = net.two("MUL", x, net.one("LOGISTIC", gate))
    gate = net.conv(net.conv(net.mean(x, 1, 2), 4, 1), net.shape(x)[-1], 1)
    return net.two("MUL", x, net.one("LOGISTIC", gate))


def shuffled(net: Layers, x: int) -> int:
    """ShuffleNet's: channels of two groups take turns."""
    _, high, wide, channels = net.shape(x)
    x = net.transpose(net.reshape(x, 1, high, wide, 2, channels // 2), 0, 1, 2, 4, 3)
    return net.reshape(x, 1, high, wide, channels)


def joined(net: Layers, x: int) -> int:
    return net.concat(net.conv(x, 6), x, net.depthwise(x))


def twice(net: Layers, x: int) -> int:
    """A tensor beside itself, and its halves added up elsewhere."""
    both = net.concat(x, x)
    return net.two("ADD", both, net.conv(x, 2 * net.shape(x)[-1]))


def halves(net: Layers, x: int) -> int:
    one, other = net.split(x, 2)
    return net.concat(net.two("MUL", one, net.one("TANH", other)), one)


def uneven(net: Layers, x: int) -> int:
    one, other = net.split_v(x, 3, 5)
    return net.concat(other, net.conv(one, 4), one)


def sliced(net: Layers, x: int) -> int:
    return net.concat(net.slice(x, 2, 3), net.strided_slice(x, 1, 7), net.one("TANH", x))


def padded(net: Layers, x: int) -> int:
    """The short cut of a ResNet that adds channels of zeros."""
    return net.two("ADD", net.pad(x, 3, 2), net.conv(x, net.shape(x)[-1] + 5))


def sloped(net: Layers, x: int) -> int:
    given = [x, net.drawn(1, 1, net.shape(x)[-1])]
    return net.net.operator("PRELU", given, net.shape(x))


def scaled(net: Layers, x: int) -> int:
    """Constants that broadcast: for each channel, for all, for each place."""
    _, high, wide, channels = net.shape(x)
    x = net.two("MUL", x, net.drawn(1, channels))
    x = net.two("ADD", x, net.net.constant("one", np.array([0.5], np.float32)))
    return net.two("ADD", x, net.drawn(high, wide, 1))


def pooled(net: Layers, x: int) -> int:
    _, high, wide, channels = net.shape(x)
    steps = {"strideW": 2, "strideH": 2, "filterWidth": 2, "filterHeight": 2}
    made = (1, high // 2, wide // 2, channels)
    x = net.net.operator("MAX_POOL_2D", [x], made, kind="Pool2DOptions", **steps)
    given = [x, net.ints(high, wide)]
    return net.net.operator("RESIZE_BILINEAR", given, (1, high, wide, channels), kind="ResizeBilinearOptions")


def flattened(net: Layers, x: int) -> int:
    x = net.conv(x, 5)
    _, high, wide, channels = net.shape(x)
    x = net.dense(net.reshape(x, 1, high * wide * channels), high * wide * 6)
    return net.conv(net.reshape(x, 1, high, wide, 6), 4, 1)


def turned(net: Layers, x: int) -> int:
    """Channels first for a while."""
    x = net.transpose(x, 0, 3, 1, 2)
    x = net.two("MUL", x, net.drawn(net.shape(x)[1], 1, 1))
    return net.transpose(x, 0, 2, 3, 1)


def pixels(net: Layers, x: int) -> int:
    x = net.blocks("DEPTH_TO_SPACE", net.conv(x, 16), 2)
    return net.blocks("SPACE_TO_DEPTH", net.conv(x, 3), 2)


def shared(net: Layers, x: int) -> int:
    """Two convolutions with one kernel."""
    kernel, bias = net.drawn(8, 3, 3, 8), net.bias(8)
    for _ in range(2):
        made = net.conv(x, 8)
        net.net.subgraph.operators[-1].inputs = [x, kernel, bias]
        x = made
    return x


def written_twice(net: Layers, x: int) -> int:
    """The same, by a converter that writes each of them anew."""
    kernel, bias = weights(8, 3, 3, 8, seed=x), np.abs(weights(8, 1, seed=x)).ravel() + 0.5
    for _ in range(2):
        made = net.conv(x, 8)
        net.net.subgraph.operators[-1].inputs = [
            x, net.net.constant(f"kernel{made}", kernel), net.net.constant(f"bias{made}", bias)
        ]  # fmt: skip
        x = made
    return x


def attention(net: Layers, x: int) -> int:
    """Three heads of four, between dense layers; the middle of what comes behind may shrink, too."""
    _, high, wide, channels = net.shape(x)
    x = net.dense(net.reshape(x, 1, high * wide, channels), 10)
    query, key, value = (
        net.transpose(net.reshape(net.dense(x, 12), 1, high * wide, 3, 4), 0, 2, 1, 3) for _ in range(3)
    )
    found = net.one("SOFTMAX", net.matmul(query, key, transposed=True), "SoftmaxOptions", beta=0.5)
    heads = net.reshape(net.transpose(net.matmul(found, value), 0, 2, 1, 3), 1, high * wide, 12)
    x = net.two("ADD", net.dense(heads, 10), x)
    return net.conv(net.reshape(net.dense(x, 8), 1, high, wide, 8), 4, 1)


def fused_attention(net: Layers, x: int) -> int:
    """Query, key and value by one dense layer."""
    _, high, wide, channels = net.shape(x)
    rows = high * wide
    x = net.dense(net.reshape(x, 1, rows, channels), 24)
    parts = [net.reshape(part, 1, rows, 4, 2) for part in net.split(x, 3)]
    query, key, value = (net.transpose(part, 0, 2, 1, 3) for part in parts)
    found = net.one("SOFTMAX", net.matmul(query, key, transposed=True), "SoftmaxOptions", beta=0.5)
    made = net.reshape(net.transpose(net.matmul(found, value), 0, 2, 1, 3), 1, rows, 8)
    return net.reshape(net.dense(made, 8), 1, high, wide, 8)


def lstm(net: Layers, x: int) -> int:
    """A sequence of the rows of an image."""
    _, high, wide, channels = net.shape(x)
    x, units = net.reshape(x, 1, high * wide, channels), 6
    given = [x, *(net.drawn(units, channels) for _ in range(4)), *(net.drawn(units, units) for _ in range(4))]
    given += [-1, -1, -1, *(net.bias(units) for _ in range(4)), -1, -1]
    given += [net.net.tensor(name, (1, units), variable=True) for name in ("output state", "cell state")]
    x = net.net.operator(
        "UNIDIRECTIONAL_SEQUENCE_LSTM", [*given, -1, -1, -1, -1], (1, high * wide, units),
        kind="UnidirectionalSequenceLSTMOptions", fusedActivationFunction=schema.ActivationFunctionType.TANH,
    )  # fmt: skip
    return net.reshape(net.dense(x, 4), 1, high, wide, 4)


FOLLOWED: dict[str, tuple[Build, int]] = {
    "residual": (residual, 2),
    "depthwise": (lambda net, x: net.depthwise(x), 1),
    "depthwise of several": (lambda net, x: net.depthwise(x, 3), 1),
    "squeeze and excitation": (squeezed, 3),
    "shuffle": (shuffled, 1),
    "concatenation": (joined, 2),
    "a tensor beside itself": (twice, 1),
    "split": (halves, 1),
    "split by sizes": (uneven, 3),
    "slices": (sliced, 1),
    "zeros beside": (padded, 1),
    "slopes": (sloped, 1),
    "broadcast": (scaled, 1),
    "pooling and resizing": (pooled, 1),
    "flatten": (flattened, 4),
    "transpose": (turned, 1),
    "transposed convolution": (lambda net, x: net.transposed(x, 6), 2),
    "groups of several": (lambda net, x: net.conv(x, 12, groups=2), 2),
    "many groups": (lambda net, x: net.conv(x, 8, groups=4), 1),
    "blocks of pixels": (pixels, 3),
    "chosen channels": (lambda net, x: net.gather(x, 7, 1, 1, 4), 1),
    "repeated": (lambda net, x: net.tile(x, 2), 1),
    "shared weights": (shared, 1),
    "shared weights, written twice": (written_twice, 1),
    "heads": (attention, 4),
    "heads of one layer": (fused_attention, 3),
    "LSTM": (lstm, 3),
}
"""Middles, and how many families of channels their networks have."""


@pytest.mark.parametrize("name", FOLLOWED)
def test_a_cut_network_computes_what_the_masked_one_does(name: str, tmp_path: Path) -> None:
    middle, families = FOLLOWED[name]
    found = network(between(middle), tmp_path, 1, 4, 6, 3)
    assert len(found.families) >= families, found.notes
    assert agreement_db(found, drawn(found, 0.5), tmp_path) >= 80
    assert agreement_db(found, drawn(found, 0.2, seed=1), tmp_path) >= 80


SHAPES_KEPT = [name for name in FOLLOWED if name not in {"transposed convolution", "chosen channels"}]


@settings(max_examples=8, deadline=None)
@given(
    names=st.lists(st.sampled_from(SHAPES_KEPT), min_size=2, max_size=4),
    share=st.floats(0.1, 0.9),
    seed=st.integers(0, 1000),
)
def test_layers_in_any_order(names: list[str], share: float, seed: int) -> None:
    """Middles behind one another, each after a convolution to 8 channels, and the sum of all of them at the end."""

    def build(net: Layers, x: int) -> int:
        ends = []
        for name in names:
            x = FOLLOWED[name][0](net, net.conv(x, 8))
            ends.append(net.conv(x, 8, 1))
        for other in ends[1:]:
            ends[0] = net.two("ADD", ends[0], other)
        return net.conv(ends[0], 2, 1, activation=0)

    with TemporaryDirectory() as folder:
        found = network(build, Path(folder), 1, 4, 6, 3)
        assert agreement_db(found, drawn(found, share, seed), Path(folder)) >= 80


@pytest.mark.parametrize("middle", [shared, written_twice])
def test_shared_weights_go_together(middle: Build, tmp_path: Path) -> None:
    """However they are written: what is left of them is one weight, and no more of it than before."""
    found = network(between(middle), tmp_path, 1, 4, 6, 3)
    whole = cost.parameters(found.tree)
    assert cost.parameters(cutting.cut(found, drawn(found, 0.25))) < whole


def left(middle: Build, folder: Path, name: str) -> str:
    """What is said of the first layer of a network that keeps its channels."""
    found = network(between(middle), folder, 1, 4, 6, 3)
    assert name not in {family.name for family in found.families}
    (note,) = (note for note in found.notes if name in note)
    return note


@pytest.mark.parametrize(
    ("middle", "why"),
    [
        (lambda net, x: net.one("SOFTMAX", x, "SoftmaxOptions", beta=1.0), "SOFTMAX"),
        (lambda net, x: net.two("MUL", x, net.mean(x, 3)), "MEAN"),
        (lambda net, x: net.strided_slice(x, 0, 8, 2), "STRIDED_SLICE"),
    ],
)
def test_what_cannot_be_followed_stays_whole_and_is_named(
    middle: Callable[[Layers, int], int], why: str, tmp_path: Path
) -> None:
    assert why in left(middle, tmp_path, "conv_2d_0")


def test_inputs_and_outputs_stay(tmp_path: Path) -> None:
    found = network(lambda net, x: net.conv(x, 8), tmp_path, 1, 4, 4, 3)
    assert found.families == ()
    assert found.notes == ("left whole, since it is an output of the network: conv_2d_0",)


def test_heads_go_whole(tmp_path: Path) -> None:
    found = network(between(attention), tmp_path, 1, 2, 3, 3)
    (heads,) = (family for family in found.families if family.width == 4)
    assert len(heads.channels) == 3
    assert len(heads.origins) == 3
