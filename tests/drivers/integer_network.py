"""A small integer network: int8 in, a dense layer, a softmax on its grid of 256 steps."""

from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.networks import Network


def _grid(net: Network, tensor: int, scale: float, zero_point: int) -> None:
    made = schema.QuantizationParametersT()
    made.scale, made.zeroPoint = np.array([scale], np.float32), np.array([zero_point], np.int64)
    net.subgraph.tensors[tensor].quantization = made


def write(path: Path, size: int = 4, outputs: int = 3) -> Path:
    """``x`` int8 ``[1, size]`` → ``y`` int8 ``[1, outputs]``."""
    net, draw = Network(), np.random.default_rng(5)
    x = net.input("x", (1, size), "int8")
    weights = net.constant("weights", draw.integers(-127, 128, (outputs, size)).astype(np.int8))
    bias = net.constant("bias", draw.integers(-500, 500, outputs).astype(np.int32))
    dense = net.operator(
        "FULLY_CONNECTED", [x, weights, bias], (1, outputs), name="dense", dtype="int8", kind="FullyConnectedOptions"
    )
    y = net.operator("SOFTMAX", [dense], (1, outputs), name="y", dtype="int8", kind="SoftmaxOptions", beta=1.0)
    for tensor, scale, zero_point in (
        (x, 0.02, 3),
        (weights, 0.01, 0),
        (bias, 0.0002, 0),
        (dense, 0.03, -5),
        (y, 1 / 256, -128),
    ):
        _grid(net, tensor, scale, zero_point)
    return net.save(path, y)
