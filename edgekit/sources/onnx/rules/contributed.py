"""Microsoft's contributed operators, which ONNX Runtime's optimizer writes, by ONNX's own."""

import numpy as np
import onnx

from edgekit.sources.onnx.network import Builder, attributes


def gelu(builder: Builder, node: onnx.NodeProto) -> bool:
    """Gelu and BiasGelu: x/2·(1 + erf(x/√2))."""
    x = _biased(builder, node)
    half = builder.op("Mul", x, builder.const(np.float32(0.5)))
    inner = builder.op("Erf", builder.op("Mul", x, builder.const(np.float32(2**-0.5))))
    builder.op("Mul", half, builder.op("Add", inner, builder.const(np.float32(1))), out=node.output[0])
    return True


def fast_gelu(builder: Builder, node: onnx.NodeProto) -> bool:
    """FastGelu: x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³))), after an optional bias."""
    x = _biased(builder, node)
    cubic = builder.op("Mul", builder.op("Mul", builder.op("Mul", x, x), x), builder.const(np.float32(0.044715)))
    inner = builder.op("Mul", builder.op("Add", x, cubic), builder.const(np.float32((2 / np.pi) ** 0.5)))
    half = builder.op("Mul", x, builder.const(np.float32(0.5)))
    total = builder.op("Add", builder.op("Tanh", inner), builder.const(np.float32(1)))
    builder.op("Mul", half, total, out=node.output[0])
    return True


def tanh_gelu(builder: Builder, node: onnx.NodeProto) -> bool:
    """ONNX's own Gelu where it says tanh: the converter writes the one with erf for both, 4e-4 beside it."""
    return attributes(node).get("approximate") == "tanh" and fast_gelu(builder, node)


def _biased(builder: Builder, node: onnx.NodeProto) -> str:
    bias = node.input[1] if len(node.input) > 1 else ""
    return builder.op("Add", node.input[0], bias) if bias else node.input[0]


def quick_gelu(builder: Builder, node: onnx.NodeProto) -> bool:
    """QuickGelu: x·sigmoid(α·x)."""
    alpha = builder.const(np.float32(attributes(node).get("alpha", 1.702)))
    gate = builder.op("Sigmoid", builder.op("Mul", node.input[0], alpha))
    builder.op("Mul", node.input[0], gate, out=node.output[0])
    return True
