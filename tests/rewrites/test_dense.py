"""Dense layers on tokens: without the RESHAPE around them, made of products by a constant, with attention's factor inside."""

from pathlib import Path

import numpy as np
import pytest

from tests import networks
from tests.rewrites import rewriting
from tests.rewrites.test_moves import negated, transpose

TOKENS = (1, 6, 8)


def reshape(net: networks.Network, x: int, shape: tuple[int, ...]) -> int:
    told = net.constant(f"shape_{len(net.subgraph.tensors)}", np.array(shape, np.int32))
    return net.operator("RESHAPE", [x, told], shape, kind="ReshapeOptions")


def dense(net: networks.Network, x: int, shape: tuple[int, ...], *, inner: int = 8) -> int:
    weights = net.constant(f"w{len(net.subgraph.tensors)}", networks.weights(shape[-1], inner, seed=shape[-1]))
    bias = net.constant(f"b{len(net.subgraph.tensors)}", np.linspace(-1, 1, shape[-1]).astype(np.float32))
    return net.operator("FULLY_CONNECTED", [x, weights, bias], shape, kind="FullyConnectedOptions")


@pytest.mark.parametrize("shape", [(1, 6, 8), (2, 3, 8), (1, 2, 3, 8)])
def test_a_dense_layer_needs_no_reshape_around_it(tmp_path: Path, shape: tuple[int, ...]) -> None:
    net = networks.Network()
    rows = reshape(net, negated(net, net.input("x", shape)), (6, 8))
    path = net.save(tmp_path / "rows.tflite", negated(net, reshape(net, dense(net, rows, (6, 5)), (*shape[:-1], 5))))
    told, after = rewriting.rewritten(path, "unread", "moves", "layouts", "dense")
    assert rewriting.operators(after) == {"NEG": 2, "FULLY_CONNECTED": 1}, told.refused
    rewriting.assert_same(path, after)


def test_two_layers_with_an_activation_between_and_three_that_share_rows(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", TOKENS)
    rows = reshape(net, x, (6, 8))
    hidden = net.operator("LOGISTIC", [dense(net, rows, (6, 12))], (6, 12))
    outputs = [reshape(net, dense(net, hidden, (6, 8), inner=12), TOKENS)]
    outputs += [reshape(net, dense(net, rows, (6, 4 * size)), (1, 6, 4 * size)) for size in (1, 3)]
    path = net.save(tmp_path / "shared.tflite", *(negated(net, made) for made in outputs))
    told, after = rewriting.rewritten(path, "unread", "moves", "layouts", "dense")
    assert rewriting.operators(after) == {"FULLY_CONNECTED": 4, "LOGISTIC": 1, "NEG": 3}, told.refused
    rewriting.assert_same(path, after)


def test_rows_of_another_length_keep_their_reshape(tmp_path: Path) -> None:
    net = networks.Network()
    rows = reshape(net, net.input("x", (1, 6, 4)), (3, 8))
    path = net.save(tmp_path / "other.tflite", reshape(net, dense(net, rows, (3, 4)), (1, 6, 2)))
    assert rewriting.rewritten(path, "dense", "moves", "layouts")[1] == path


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("shape", [(8, 5), (1, 8, 5)])
def test_a_product_by_a_constant_matrix_is_a_dense_layer(
    tmp_path: Path, shape: tuple[int, ...], *, turned: bool
) -> None:
    net, values = networks.Network(), networks.weights(*shape)
    matrix = net.constant("m", np.ascontiguousarray(np.swapaxes(values, -1, -2)) if turned else values)
    x = net.input("x", TOKENS)
    made = net.operator("BATCH_MATMUL", [x, matrix], (1, 6, 5), kind="BatchMatMulOptions", adjY=turned)
    path = net.save(tmp_path / "product.tflite", made)
    told, after = rewriting.rewritten(path, "dense")
    assert rewriting.operators(after) == {"FULLY_CONNECTED": 1}, told.refused
    rewriting.assert_same(path, after)


def test_a_matrix_for_each_batch_and_a_constant_in_front_stay(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (2, 6, 8))
    each = net.operator(
        "BATCH_MATMUL", [x, net.constant("m", networks.weights(2, 8, 5))], (2, 6, 5), kind="BatchMatMulOptions"
    )
    front = net.operator(
        "BATCH_MATMUL", [net.constant("f", networks.weights(2, 3, 6)), x], (2, 3, 8), kind="BatchMatMulOptions"
    )
    path = net.save(tmp_path / "stay.tflite", each, front)
    assert rewriting.rewritten(path, "dense")[1] == path


@pytest.mark.parametrize("form", ["behind", "divided", "both sides"])
def test_the_factor_of_attention_goes_into_weights(tmp_path: Path, form: str) -> None:
    net = networks.Network()
    x, scale = net.input("x", (6, 8)), 0.5**0.5

    def head(name: str) -> int:
        made = reshape(net, dense(net, x, (6, 8)), (1, 6, 2, 4))
        return (
            scaled(transpose(net, made, (0, 2, 1, 3)), scale**0.5, name, (1, 2, 6, 4))
            if form == "both sides"
            else (transpose(net, made, (0, 2, 1, 3)))
        )

    def scaled(made: int, factor: float, name: str, shape: tuple[int, ...], kind: str = "MUL") -> int:
        number = net.constant(name, np.array([factor], np.float32))
        return net.operator(kind, [made, number], shape, kind=f"{kind.title()}Options")

    product = net.operator("BATCH_MATMUL", [head("q"), head("k")], (1, 2, 6, 6), kind="BatchMatMulOptions", adjY=True)
    if form == "behind":
        product = scaled(product, scale, "s", (1, 2, 6, 6))
    if form == "divided":
        product = scaled(product, 1 / scale, "s", (1, 2, 6, 6), "DIV")
    path = net.save(
        tmp_path / "attention.tflite", net.operator("SOFTMAX", [product], (1, 2, 6, 6), kind="SoftmaxOptions", beta=1.0)
    )
    told, after = rewriting.rewritten(path, "attention_scales")
    assert not {"MUL", "DIV"} & set(rewriting.operators(after)), told.refused
    rewriting.assert_same(path, after, atol=1e-4)


@pytest.mark.parametrize("builtin", ["LOG_SOFTMAX", "SOFTMAX"])
def test_a_softmax_does_not_mind_a_reshape_of_other_axes(tmp_path: Path, builtin: str) -> None:
    net = networks.Network()
    options = {"kind": "SoftmaxOptions", "beta": 1.0} if builtin == "SOFTMAX" else {"kind": "LogSoftmaxOptions"}
    rows = reshape(net, negated(net, net.input("x", TOKENS)), (6, 8))
    made = reshape(net, net.operator(builtin, [rows], (6, 8), **options), TOKENS)
    path = net.save(tmp_path / "rows.tflite", negated(net, made))
    told, after = rewriting.rewritten(path, "layouts", "moves")
    assert rewriting.operators(after) == {"NEG": 2, builtin: 1}, told.refused
    rewriting.assert_same(path, after)
    net = networks.Network()
    other = reshape(net, negated(net, net.input("x", TOKENS)), (12, 4))
    path = net.save(tmp_path / "other.tflite", reshape(net, net.operator(builtin, [other], (12, 4), **options), TOKENS))
    assert rewriting.rewritten(path, "layouts", "moves")[1] == path
