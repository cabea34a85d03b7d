"""A factor in front of layers goes into their weights, on every way on which it is read, or stays."""

from pathlib import Path

import numpy as np
import pytest

from tests import networks
from tests.rewrites import rewriting
from tests.rewrites.test_moves import negated

SHAPE = (1, 6, 5, 4)


def multiplied(net: networks.Network, x: int, factor: float | list[float], kind: str = "MUL") -> int:
    shape = tuple(int(size) for size in net.subgraph.tensors[x].shape)
    number = net.constant(f"f{len(net.subgraph.tensors)}", np.atleast_1d(np.array(factor, np.float32)))
    return net.operator(kind, [x, number], shape, kind=f"{kind.title()}Options")


def conv(net: networks.Network, x: int, outputs: int = 4, kind: str = "CONV_2D") -> int:
    shape = tuple(int(size) for size in net.subgraph.tensors[x].shape)
    options = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1, "padding": networks.SAME}
    weights, held = networks.weights(outputs, 1, 1, shape[3]), "Conv2DOptions"
    if kind == "DEPTHWISE_CONV_2D":
        weights, held, options["depthMultiplier"] = networks.weights(1, 3, 3, shape[3]), "DepthwiseConv2DOptions", 1
    given = [net.constant(f"{name}{len(net.subgraph.tensors)}", values) for name, values in (
        ("w", weights), ("b", np.linspace(-1, 1, outputs).astype(np.float32))
    )]  # fmt: skip
    return net.operator(kind, [x, *given], (*shape[:3], outputs), kind=held, **options)


@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D"])
@pytest.mark.parametrize("form", ["MUL", "DIV", "padded", "pooled"])
def test_a_factor_goes_into_the_layer_behind(tmp_path: Path, kind: str, form: str) -> None:
    net = networks.Network()
    x = multiplied(net, negated(net, net.input("x", SHAPE)), 0.3, "DIV" if form == "DIV" else "MUL")
    if form == "padded":
        amounts = net.constant("amounts", np.array([[0, 0], [1, 2], [1, 1], [0, 0]], np.int32))
        x = net.operator("PAD", [x, amounts], (1, 9, 7, 4), kind="PadOptions")
    if form == "pooled":
        x = net.operator(
            "MAX_POOL_2D", [x], (1, 3, 2, 4), kind="Pool2DOptions",
            strideH=2, strideW=2, filterHeight=2, filterWidth=2, padding=networks.VALID,
        )  # fmt: skip
    path = net.save(tmp_path / "model.tflite", conv(net, x, kind=kind))
    told, after = rewriting.rewritten(path, "scales_ahead")
    assert not {"MUL", "DIV"} & set(rewriting.operators(after)), told.refused
    rewriting.assert_same(path, after)


def squeezed(net: networks.Network, x: int) -> int:
    """What x is multiplied by, made of its mean."""
    axes = net.constant(f"axes{len(net.subgraph.tensors)}", np.array([1, 2], np.int32))
    mean = net.operator("MEAN", [x, axes], (1, 1, 1, 4), kind="ReducerOptions", keepDims=True)
    return net.operator("LOGISTIC", [conv(net, mean)], (1, 1, 1, 4))


def test_squeeze_and_excitation_is_passed_on_both_ways(tmp_path: Path) -> None:
    net = networks.Network()
    x = multiplied(net, negated(net, net.input("x", SHAPE)), 1 / 6)
    gated = net.operator("MUL", [x, squeezed(net, x)], SHAPE, kind="MulOptions")
    path = net.save(tmp_path / "model.tflite", conv(net, gated))
    told, after = rewriting.rewritten(path, "scales_ahead")
    assert rewriting.operators(after)["MUL"] == 1, told.refused
    rewriting.assert_same(path, after)


@pytest.mark.parametrize(
    "form", ["read by others", "an output", "for each channel", "negative in front of RELU", "sum"]
)
def test_a_factor_that_not_all_can_take_stays(tmp_path: Path, form: str) -> None:
    net = networks.Network()
    factor: float | list[float] = -2.0 if form.startswith("negative") else [1.0, 2, 3, 4] if "each" in form else 2.0
    x = inner = multiplied(net, negated(net, net.input("x", SHAPE)), factor)
    outputs: list[int] = []
    if form == "read by others":
        outputs = [net.operator("TANH", [x], SHAPE)]
    if form == "an output":
        outputs = [x]
    if form.startswith("negative"):
        inner = net.operator("RELU", [x], SHAPE)
    if form == "sum":
        inner = net.operator("ADD", [x, net.input("y", SHAPE)], SHAPE, kind="AddOptions")
    path = net.save(tmp_path / "model.tflite", conv(net, inner), *outputs)
    assert rewriting.rewritten(path, "scales_ahead")[1] == path
