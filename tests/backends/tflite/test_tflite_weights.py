"""Integer weights with float activations on the real runtime: XNNPACK's kernels and LiteRT's own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.backends.tflite import weights
from edgekit.waist import graph, run
from edgekit.waist.tensors import sqnr_db
from tests import networks

STRIDE = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1, "padding": networks.SAME}


def uneven(*shape: int, axis: int) -> Any:
    """Weights whose output channels differ in size, as those of trained networks do."""
    values = networks.weights(*shape)
    sizes = np.geomspace(0.4, 1.0, shape[axis]).astype(np.float32)
    return values * sizes.reshape([-1 if k == axis else 1 for k in range(len(shape))])


def convolution(net: networks.Network, *, channels: int, taken: int, made: int) -> int:
    x = net.input("x", (1, 6, 6, channels))
    kernel, bias = net.constant("k", uneven(made, 3, 3, taken, axis=0)), net.constant("b", np.ones(made, np.float32))
    return net.operator("CONV_2D", [x, kernel, bias], (1, 6, 6, made), kind="Conv2DOptions", **STRIDE)


def depthwise(net: networks.Network, *, channels: int, times: int) -> int:
    x, made = net.input("x", (1, 6, 6, channels)), channels * times
    kernel, bias = net.constant("k", uneven(1, 3, 3, made, axis=3) * 2), net.constant("b", np.ones(made, np.float32))
    options = {"kind": "DepthwiseConv2DOptions", "depthMultiplier": times, **STRIDE}
    return net.operator("DEPTHWISE_CONV_2D", [x, kernel, bias], (1, 6, 6, made), **options)


def transposed(net: networks.Network) -> int:
    x = net.input("x", (1, 6, 6, 8))
    kernel, shape = net.constant("k", uneven(4, 3, 3, 8, axis=0)), net.constant("s", np.array([1, 6, 6, 4], np.int32))
    options = {"kind": "TransposeConvOptions", "strideW": 1, "strideH": 1, "padding": networks.SAME}
    return net.operator("TRANSPOSE_CONV", [shape, kernel, x], (1, 6, 6, 4), **options)


def connected(net: networks.Network) -> int:
    x = net.input("x", (3, 16))
    kernel, bias = net.constant("k", uneven(8, 16, axis=0)), net.constant("b", np.ones(8, np.float32))
    return net.operator("FULLY_CONNECTED", [x, kernel, bias], (3, 8), kind="FullyConnectedOptions")


def product(net: networks.Network) -> int:
    x, kernel = net.input("x", (1, 5, 16)), net.constant("k", uneven(1, 16, 8, axis=2))
    return net.operator("BATCH_MATMUL", [x, kernel], (1, 5, 8), kind="BatchMatMulOptions")


def looked_up(net: networks.Network) -> int:
    x, table = net.input("x", (6,), "int32"), net.constant("k", uneven(20, 8, axis=0))
    return net.operator("EMBEDDING_LOOKUP", [x, table], (6, 8))


def gathered(net: networks.Network) -> int:
    x, table = net.input("x", (6,), "int32"), net.constant("k", networks.weights(20, 8))
    return net.operator("GATHER", [table, x], (6, 8), kind="GatherOptions")


KERNELS: dict[str, Callable[[networks.Network], int]] = {
    "convolution": lambda net: convolution(net, channels=8, taken=8, made=12),
    "two groups": lambda net: convolution(net, channels=8, taken=4, made=12),
    "as many groups as channels": lambda net: convolution(net, channels=8, taken=1, made=8),
    "depthwise": lambda net: depthwise(net, channels=8, times=1),
    "depthwise, two each": lambda net: depthwise(net, channels=4, times=2),
    "depthwise, one channel": lambda net: depthwise(net, channels=1, times=1),
    "transposed": transposed,
    "fully connected": connected,
    "product": product,
    "embedding": looked_up,
    "gather": gathered,
}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("bits", "per_channel"), [(8, True), (8, False), (4, True), (4, False)])
def test_every_hybrid_kernel_computes_what_the_float_one_does(
    kernel: str, bits: int, per_channel: bool, tmp_path: Path
) -> None:
    net = networks.Network()
    waist = net.save(tmp_path / "waist.tflite", KERNELS[kernel](net))
    made = tmp_path / "made.tflite"
    made.write_bytes(weights.to_integer_weights(waist, bits, per_channel=per_channel))
    assert "int" in graph.read(made)[0].tensors[1].dtype
    shape, dtype = run.interpreter(waist).get_input_details()[0]["shape"], graph.read(waist)[0].tensors[0].dtype
    random = np.random.default_rng(0)
    x = (random.standard_normal(shape) + 1).astype(dtype) if dtype == "float32" else np.arange(6, dtype=dtype)
    wanted = value(waist, x, delegate=True)
    for delegate in (True, False):
        assert sqnr_db(wanted, value(made, x, delegate=delegate)) > (30 if bits == 8 else 10)


def test_a_table_is_a_quarter_as_large(tmp_path: Path) -> None:
    net = networks.Network()
    x, table = net.input("x", (6,), "int32"), net.constant("k", networks.weights(4096, 16))
    waist = net.save(tmp_path / "w.tflite", net.operator("GATHER", [table, x], (6, 16), kind="GatherOptions"))
    made = weights.to_integer_weights(waist, 8, per_channel=True)
    assert len(made) < 0.26 * waist.stat().st_size


def test_a_table_of_rows_that_differ_in_size_stays_float(tmp_path: Path) -> None:
    net, rows = networks.Network(), np.geomspace(1e-3, 1e3, 20, dtype=np.float32)[:, None]
    x, table = net.input("x", (6,), "int32"), net.constant("k", networks.weights(20, 8) * rows)
    waist = net.save(tmp_path / "w.tflite", net.operator("GATHER", [table, x], (6, 8), kind="GatherOptions"))
    made = graph.parse(weights.to_integer_weights(waist, 8, per_channel=True), waist)
    assert {tensor.dtype for tensor in graph.describe(made)[0].tensors if tensor.constant_bytes} == {"float32"}


def value(path: Path, x: Any, *, delegate: bool) -> Any:
    made = run.interpreter(path, kernels="" if delegate else "builtin")
    made.set_tensor(made.get_input_details()[0]["index"], x)
    run.invoke(made, path)
    return made.get_tensor(made.get_output_details()[0]["index"])
