"""SOFTMAX and L2_NORMALIZATION out of their parts, powers and roots without POW and DIV, pools as means."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.rewrites import chosen
from edgekit.rewrites.timing import medians_ms
from edgekit.waist import run
from tests import networks
from tests.rewrites import rewriting

SHAPE = (1, 6, 5)


def reduced(net: networks.Network, kind: str, x: int, shape: tuple[int, ...], axis: int) -> int:
    small = tuple(1 if k == axis else size for k, size in enumerate(shape))
    axes = net.constant(f"axes_{len(net.subgraph.tensors)}", np.array([axis - len(shape)], np.int32))
    return net.operator(kind, [x, axes], small, kind="ReducerOptions", keepDims=True)


def number(net: networks.Network, value: float) -> int:
    return net.constant(f"n{len(net.subgraph.tensors)}", np.array([value], np.float32))


def two(net: networks.Network, kind: str, *inputs: int, shape: tuple[int, ...] = SHAPE) -> int:
    options = {"ADD": "AddOptions", "MUL": "MulOptions", "SUB": "SubOptions", "DIV": "DivOptions"}
    return net.operator(kind, [*inputs], shape, kind=options.get(kind, ""))


def softmax(path: Path, shape: tuple[int, ...], axis: int, *, maximum: bool, reciprocal: bool, shown: bool) -> Path:
    net = networks.Network()
    x = net.input("x", shape)
    below = two(net, "SUB", x, reduced(net, "REDUCE_MAX", x, shape, axis), shape=shape) if maximum else x
    powers = net.operator("EXP", [below], shape)
    total = reduced(net, "SUM", powers, shape, axis)
    small = tuple(1 if k == axis else size for k, size in enumerate(shape))
    if reciprocal:
        made = two(net, "MUL", two(net, "DIV", number(net, 1.0), total, shape=small), powers, shape=shape)
    else:
        made = two(net, "DIV", powers, total, shape=shape)
    return net.save(path, made, *([powers] if shown else []))


@pytest.mark.parametrize("maximum", [True, False])
@pytest.mark.parametrize("reciprocal", [True, False])
@pytest.mark.parametrize(("shape", "axis"), [((1, 7), 1), ((1, 6, 5), 2), ((1, 6, 5), 1), ((1, 4, 3, 5), 1)])
def test_softmax_is_recognized(tmp_path: Path, shape: Any, axis: int, *, maximum: bool, reciprocal: bool) -> None:
    path = softmax(tmp_path / "net.tflite", shape, axis, maximum=maximum, reciprocal=reciprocal, shown=False)
    _, after = rewriting.rewritten(path, *chosen("litert"))
    turns = 0 if axis == len(shape) - 1 else 2
    found = rewriting.operators(after)
    assert found["SOFTMAX"] == 1
    assert found.total() == 1 + turns
    for one, other in zip(rewriting.outputs(path), rewriting.outputs(after), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-7)


def test_exponentials_that_others_read_stay(tmp_path: Path) -> None:
    path = softmax(tmp_path / "net.tflite", SHAPE, 2, maximum=True, reciprocal=False, shown=True)
    assert rewriting.rewritten(path, "softmax")[1] == path


def test_shares_of_something_else_are_no_softmax(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", SHAPE)
    powers = net.operator("EXP", [x], SHAPE)
    other = net.operator("EXP", [two(net, "MUL", x, number(net, 2.0))], SHAPE)
    path = net.save(tmp_path / "net.tflite", two(net, "DIV", powers, reduced(net, "SUM", other, SHAPE, 2)))
    assert rewriting.rewritten(path, "softmax")[1] == path


def length(net: networks.Network, x: int, way: str, bound: float) -> int:
    """x over its length in one of the ways in which converters write it."""
    small = (*SHAPE[:-1], 1)
    square = {
        "MUL": lambda: two(net, "MUL", x, x),
        "SQUARE": lambda: net.operator("SQUARE", [x], SHAPE, kind="SquareOptions"),
        "POW": lambda: two(net, "POW", x, number(net, 2.0)),
    }[way.split(maxsplit=1)[0]]()
    total = reduced(net, "SUM", square, SHAPE, 2)
    if "inner" in way:
        total = two(net, "MAXIMUM", total, number(net, bound**2), shape=small)
    if "RSQRT" in way:
        return two(net, "MUL", x, net.operator("RSQRT", [total], small))
    root = net.operator("SQRT", [total], small)
    return two(net, "DIV", x, two(net, "MAXIMUM", root, number(net, bound), shape=small) if "outer" in way else root)


@pytest.mark.parametrize(
    ("way", "bound", "found"),
    [
        ("MUL RSQRT inner", 1e-6, True),
        ("SQUARE RSQRT", 0.0, False),  # no number for zeros, as whole networks are compared
        ("SQUARE outer", 1e-12, True),
        ("POW outer", 1e-12, True),
        ("POW inner", 1e-6, True),
        ("MUL", 0.0, False),
        ("MUL outer", 1e-3, False),
        ("SQUARE RSQRT inner", 0.1, False),
    ],
)
def test_l2_norm_is_recognized_unless_its_bound_is_larger(
    tmp_path: Path, way: str, bound: float, *, found: bool
) -> None:
    net = networks.Network()
    path = net.save(tmp_path / "net.tflite", length(net, net.input("x", SHAPE), way, bound))
    _, after = rewriting.rewritten(path, *chosen("accelerator"))
    assert (rewriting.operators(after) == {"L2_NORMALIZATION": 1}) is found
    given = {"x": np.random.default_rng(0).standard_normal((3, *SHAPE)).astype(np.float32)}
    for one, other in zip(run.run(path, given).values(), run.run(after, given).values(), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5)


def layer_norm(path: Path) -> Path:
    """As PyTorch's exporter writes it: a power, a mean, a root and a quotient."""
    net = networks.Network()
    x = net.input("x", SHAPE)
    small = (*SHAPE[:-1], 1)
    centred = two(net, "SUB", x, reduced(net, "MEAN", x, SHAPE, 2))
    variance = reduced(net, "MEAN", two(net, "POW", centred, number(net, 2.0)), SHAPE, 2)
    root = net.operator("SQRT", [two(net, "ADD", variance, number(net, 1e-5), shape=small)], small)
    scaled = two(
        net, "MUL", two(net, "DIV", centred, root), net.constant("g", np.linspace(0.5, 2, 5, dtype=np.float32))
    )
    return net.save(path, two(net, "ADD", scaled, net.constant("b", np.linspace(-1, 1, 5, dtype=np.float32))))


@pytest.mark.parametrize("runtime", ["litert", "litert-integers", "accelerator"])
def test_layer_normalization_has_neither_pow_nor_div(tmp_path: Path, runtime: Any) -> None:
    path = layer_norm(tmp_path / "net.tflite")
    _, after = rewriting.rewritten(path, *chosen(runtime))
    kinds = rewriting.operators(after)
    assert not {"POW", "DIV", "SQRT"} & set(kinds)
    assert kinds["RSQRT"] == 1
    assert kinds.total() <= rewriting.operators(path).total()
    rewriting.assert_same(path, after)


@pytest.mark.parametrize(
    ("exponent", "kinds"),
    [(2.0, {"MUL": 1}), (3.0, {"MUL": 2}), (0.5, {"SQRT": 1}), (-0.5, {"RSQRT": 1}), (1.7, {"POW": 1})],
)
def test_powers_become_products_and_roots(tmp_path: Path, exponent: float, kinds: dict[str, int]) -> None:
    net = networks.Network()
    positive = two(net, "ADD", net.operator("ABS", [net.input("x", SHAPE)], SHAPE), number(net, 0.1))
    path = net.save(tmp_path / "net.tflite", two(net, "POW", positive, number(net, exponent)))
    _, after = rewriting.rewritten(path, "powers")
    assert rewriting.operators(after) == {"ABS": 1, "ADD": 1} | kinds
    given = {"x": np.random.default_rng(0).uniform(0.01, 9, (3, *SHAPE)).astype(np.float32)}
    for one, other in zip(run.run(path, given).values(), run.run(after, given).values(), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5)


def pooled(path: Path, window: tuple[int, int], stride: int = 1, activation: int = 0) -> Path:
    net = networks.Network()
    x = net.input("x", (1, 6, 4, 8))
    made = tuple((size - one) // stride + 1 for size, one in zip((6, 4), window, strict=True))
    return net.save(
        path,
        net.operator(
            "AVERAGE_POOL_2D", [x], (1, *made, 8), kind="Pool2DOptions", filterHeight=window[0], filterWidth=window[1],
            strideH=stride, strideW=stride, padding=networks.VALID, fusedActivationFunction=activation,
        ),
    )  # fmt: skip


def test_a_pool_over_the_whole_image_is_a_mean_for_integers_alone(tmp_path: Path) -> None:
    path = pooled(tmp_path / "whole.tflite", (6, 4))
    _, after = rewriting.rewritten(path, *chosen("litert-integers"))
    assert rewriting.operators(after) == {"MEAN": 1}
    rewriting.assert_same(path, after)
    assert "global_pool" not in {*chosen("litert"), *chosen("accelerator")}
    for number_, (window, stride, activation) in enumerate([((3, 2), 1, 0), ((3, 4), 3, 0), ((6, 4), 1, 1)]):
        other = pooled(tmp_path / f"{number_}.tflite", window, stride, activation)
        assert rewriting.rewritten(other, "global_pool")[1] == other


def test_what_is_recognized_is_not_slower(tmp_path: Path) -> None:
    path = softmax(tmp_path / "net.tflite", (1, 64, 256), 2, maximum=True, reciprocal=False, shown=False)
    _, after = rewriting.rewritten(path, "softmax")
    before_ms, after_ms = medians_ms(path, after, seconds=0.1)
    assert after_ms < before_ms
