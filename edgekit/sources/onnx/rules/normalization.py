"""Normalizations that the converter lacks, by means and products."""

import numpy as np
import onnx

from edgekit.sources.onnx.network import Builder, attributes, kind

FOLDED = {"Conv", "ConvTranspose"}
"""Layers that the converter folds a normalization into."""


def without_statistics(builder: Builder, node: onnx.NodeProto) -> bool:
    """BatchNormalization that also lists its running statistics, as outputs that nobody reads."""
    if not any(node.output[1:]) or attributes(node).get("training_mode", 0):
        return False
    kept = {key: value for key, value in attributes(node).items() if key in {"epsilon", "momentum"}}
    builder.op("BatchNormalization", *node.input, out=node.output[0], **kept)
    return True


def of_the_batch(builder: Builder, node: onnx.NodeProto) -> bool:
    """BatchNormalization in training mode: by the mean and variance of what it is given.

    Its running statistics are the old ones, moved towards these. Only if both are outputs of the network: else
    ONNX Runtime 1.26 writes them over the old ones, which it then reads, and gives something else at every run.
    """
    x, scale, bias, mean, variance = node.input
    shape, attrs = builder.network.shape(x), attributes(node)
    training = attrs.get("training_mode", 0) and len(node.output) == 3
    if shape is None or not training or not set(node.output[1:]) <= set(builder.network.outputs):
        return False
    channels, axes = [1, shape[1], *[1] * (len(shape) - 2)], [a for a in range(len(shape)) if a != 1]
    means = builder.mean(x, axes)
    centred = builder.op("Sub", x, means)
    spread = builder.mean(builder.op("Mul", centred, centred), axes)
    deviation = builder.op("Sqrt", builder.op("Add", spread, builder.const(np.float32(attrs.get("epsilon", 1e-5)))))
    scaled = builder.op("Mul", builder.op("Div", centred, deviation), builder.reshape(scale, channels))
    builder.op("Add", scaled, builder.reshape(bias, channels), out=node.output[0])
    momentum = attrs.get("momentum", 0.9)
    kept, taken = (builder.const(np.float32(part)) for part in (momentum, 1 - momentum))
    for old, new, out in zip((mean, variance), (means, spread), node.output[1:], strict=True):
        moved = builder.op("Mul", builder.reshape(new, [shape[1]]), taken)
        builder.op("Add", builder.op("Mul", old, kept), moved, out=out)
    return True


def of_as_many_channels_as_columns(builder: Builder, node: onnx.NodeProto) -> bool:
    """BatchNormalization by constants as a product and a sum, if the last axis is as long as that of the channels.

    onnx2tf 2.6.9 then takes the one for the other. What it folds into the convolution before is right.
    """
    x, *parameters = node.input
    shape, constants = builder.network.shape(x), builder.network.constants
    values = [constants[name].astype(np.float64) for name in parameters if name in constants]
    if shape is None or len(shape) < 3 or shape[1] != shape[-1] or len(values) < 4:
        return False
    maker = builder.uses.makers.get(x)
    if (
        maker is not None
        and kind(maker) in FOLDED
        and builder.uses.readers[x] == 1
        and x not in builder.network.outputs
    ):
        return False
    scale, bias, mean, variance = (value.reshape(-1, *[1] * (len(shape) - 2)) for value in values)
    factor = scale / np.sqrt(variance + attributes(node).get("epsilon", 1e-5))
    scaled = builder.op("Mul", x, builder.const(factor, np.float32))
    builder.op("Add", scaled, builder.const(bias - mean * factor, np.float32), out=node.output[0])
    return True


def _scaled(builder: Builder, node: onnx.NodeProto, value: tuple[str, str], affine: tuple[str, str]) -> None:
    """Centred / √(variance + ε) · scale + bias, under the node's output name; ε is 1e-12 if not given."""
    epsilon = builder.const(np.float32(attributes(node).get("epsilon", 1e-12)))
    deviation = builder.op("Sqrt", builder.op("Add", value[1], epsilon))
    scaled = builder.op("Mul", builder.op("Div", value[0], deviation), affine[0])
    builder.op("Add", scaled, affine[1], out=node.output[0])


def lp(builder: Builder, node: onnx.NodeProto) -> bool:
    """LpNormalization over any axis, p = 1 or 2: x / ‖x‖, and 0 if x is 0, as ONNX Runtime gives it.

    TFLite's L2_NORMALIZATION is something else: x / max(‖x‖, 1e-6).
    """
    attrs = attributes(node)
    shape, p = builder.network.shape(node.input[0]), attrs.get("p", 2)
    if shape is None or p not in {1, 2}:
        return False
    axis, x = attrs.get("axis", -1) % len(shape), node.input[0]
    norm = builder.sum(builder.op("Abs", x) if p == 1 else builder.op("Mul", x, x), [axis])
    if p == 2:
        norm = builder.op("Sqrt", norm)
    smallest = builder.const(np.finfo(np.float32).tiny)
    builder.op("Div", x, builder.op("Max", norm, smallest), out=node.output[0])
    return True


def mean_variance(builder: Builder, node: onnx.NodeProto) -> bool:
    """MeanVarianceNormalization: (x − mean) / (deviation + 1e-9), the constant of ONNX's definition."""
    x, axes = node.input[0], attributes(node).get("axes", [0, 2, 3])
    centred = builder.op("Sub", x, builder.mean(x, axes))
    deviation = builder.op("Sqrt", builder.mean(builder.op("Mul", centred, centred), axes))
    guarded = builder.op("Add", deviation, builder.const(np.float32(1e-9)))
    builder.op("Div", centred, guarded, out=node.output[0])
    return True


def skipped(builder: Builder, node: onnx.NodeProto) -> bool:
    """Microsoft's SkipLayerNormalization: the sum of two values (and a bias), normalized on the last axis."""
    shape = builder.network.shape(node.input[0])
    if shape is None or any(node.output[1:3]):
        return False
    inputs = [*node.input, "", "", ""][:5]
    total = builder.op("Add", inputs[0], inputs[1])
    if inputs[4]:
        total = builder.op("Add", total, inputs[4])
    if len(node.output) > 3 and node.output[3]:
        builder.same(total, node.output[3])
    zero = inputs[3] or builder.const(np.zeros(shape[-1], np.float32))
    _on_last_axis(builder, node, total, len(shape) - 1, (inputs[2], zero))
    return True


def root_mean_square(builder: Builder, node: onnx.NodeProto) -> bool:
    """ONNX Runtime's SimplifiedLayerNormalization: x / √(mean of squares + ε) · scale."""
    shape = builder.network.shape(node.input[0])
    if shape is None or any(node.output[1:]):
        return False
    axes = list(range(attributes(node).get("axis", -1) % len(shape), len(shape)))
    _root_mean_square(builder, node, (node.input[0], node.input[1]), axes)
    return True


def skipped_root_mean_square(builder: Builder, node: onnx.NodeProto) -> bool:
    """Microsoft's SkipSimplifiedLayerNormalization: the same of the sum of two values (and a bias)."""
    shape = builder.network.shape(node.input[0])
    if shape is None or any(node.output[1:3]):
        return False
    x, skip, scale, bias = [*node.input, ""][:4]
    total = builder.op("Add", x, skip)
    total = builder.op("Add", total, bias) if bias else total
    if len(node.output) > 3 and node.output[3]:
        builder.same(total, node.output[3])
    _root_mean_square(builder, node, (total, scale), [len(shape) - 1])
    return True


def _root_mean_square(builder: Builder, node: onnx.NodeProto, operands: tuple[str, str], axes: list[int]) -> None:
    """A value, divided by the root of its mean square, times a scale; ε is 1e-5 if not given."""
    mean = builder.mean(builder.op("Mul", operands[0], operands[0]), axes)
    epsilon = builder.const(np.float32(attributes(node).get("epsilon", 1e-5)))
    normed = builder.op("Div", operands[0], builder.op("Sqrt", builder.op("Add", mean, epsilon)))
    builder.op("Mul", normed, operands[1], out=node.output[0])


def _on_last_axis(builder: Builder, node: onnx.NodeProto, value: str, axis: int, affine: tuple[str, str]) -> None:
    """A value, normalized on its last axis, under the node's output name."""
    centred = builder.op("Sub", value, builder.mean(value, [axis]))
    _scaled(builder, node, (centred, builder.mean(builder.op("Mul", centred, centred), [axis])), affine)


def embedded(builder: Builder, node: onnx.NodeProto) -> bool:
    """Microsoft's EmbedLayerNormalization: the sum of words, positions and segments, normalized on the last axis.

    Its second output counts the tokens of a mask that are there.
    """
    ids, segments, words, places, kinds, gamma, beta, mask, numbers = [*node.input, *[""] * 9][:9]
    shape, table = builder.network.shape(ids), builder.network.shape(places)
    if shape is None or table is None or len(shape) != 2:
        return False
    total = builder.op("Gather", words, ids, axis=0)
    first = builder.op("Gather", places, numbers, axis=0) if numbers else builder.slice(places, 0, 0, shape[1])
    total = builder.op("Add", total, first)
    if segments and kinds:
        total = builder.op("Add", total, builder.op("Gather", kinds, segments, axis=0))
    outputs = [*node.output, "", ""][:3]
    if outputs[1] and mask:
        axes = builder.const([1], np.int64)
        counted = builder.op("ReduceSum", builder.op("Cast", mask, to=onnx.TensorProto.FLOAT), axes, keepdims=0)
        builder.op("Cast", counted, to=onnx.TensorProto.INT32, out=outputs[1])
    elif outputs[1]:
        builder.same(builder.const(np.zeros(shape[0], np.int32)), outputs[1])
    if outputs[2]:
        builder.same(total, outputs[2])
    _on_last_axis(builder, node, total, 2, (gamma, beta))
    return True
