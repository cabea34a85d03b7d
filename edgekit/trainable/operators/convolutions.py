"""Convolutions: stock layers where tf-keras has them; functions for groups, odd strides and computed kernels."""

from collections.abc import Callable, Sequence
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edgekit.trainable.libraries import tf, tf_keras
from edgekit.trainable.operands import Call, NotLiftedError
from edgekit.trainable.operators.row import OperatorRow
from edgekit.trainable.stock import Held, Layout, Stock

layers = tf_keras.layers


def padding(options: dict[str, Any]) -> str:
    """``SAME`` or ``VALID``."""
    return "SAME" if options["padding"] == schema.Padding.SAME else "VALID"


def images(call: Call, function: Callable[[Any], Any], slot: int = 0) -> Any:
    """A function of ``[N, height, width, channels]`` on what a slot holds, samples and the file's batch together."""
    shape = call.operand(slot).shape
    made = function(tf.reshape(call.stacked(slot), [-1, *shape[1:]]))
    return call.reshaped(made)


def biased(call: Call, values: Any, slot: int) -> Any:
    """Values with the bias of a slot, if there is one."""
    return values + call.common(slot) if call.has(slot) else values


def _bias(call: Call, slot: int) -> tuple[tuple[Held, ...], bool]:
    """The bias of a stock layer, and whether there is one."""
    if not call.has(slot):
        return (), False
    return (Held(slot, "bias", Layout.plain(call.operand(slot).shape)),), True


def constant(call: Call, *slots: int) -> bool:
    """Whether the operands of some slots, as far as they are there, do not depend on the samples."""
    return all(not call.has(slot) or not call.operand(slot).sampled for slot in slots)


def _strides(options: dict[str, Any]) -> tuple[int, int]:
    return options["strideH"], options["strideW"]


def _dilations(options: dict[str, Any]) -> tuple[int, int]:
    return options["dilationHFactor"], options["dilationWFactor"]


def _is_stock(call: Call, slot: int = 0) -> bool:
    """Whether an operator reads images of samples, one by one, with weights that are the same for all."""
    return call.operand(slot).sampled and call.operand(slot).shape[0] == 1


def _conv_2d(call: Call) -> Any:
    kernel, groups = tf.transpose(call.common(1), (1, 2, 3, 0)), _groups(call)

    def convolved(x: Any) -> Any:
        # TensorFlow has no gradient of grouped convolutions on CPUs.
        parts = zip(tf.split(x, groups, -1), tf.split(kernel, groups, -1), strict=True)
        made = [_convolved(part, weights, call.options) for part, weights in parts]
        return biased(call, made[0] if groups == 1 else tf.concat(made, -1), 2)

    return images(call, convolved)


def _convolved(x: Any, kernel: Any, options: dict[str, Any]) -> Any:
    strides, dilations = _strides(options), _dilations(options)
    if tuple(kernel.shape[:2]) == (1, 1):
        # With oneDNN the gradient of TensorFlow 2.21 writes past its memory if a 1×1 kernel strides: the process dies,
        # or worse, does not. The places are picked before.
        return tf.nn.conv2d(x[:, :: strides[0], :: strides[1]], kernel, 1, "VALID")
    if dilations == (1, 1):
        return tf.nn.conv2d(x, kernel, strides, padding(options))
    # CPUs have no gradient of convolutions that stride and dilate: each place is computed, some are kept.
    made = tf.nn.convolution(_padded(x, kernel.shape[:2], options), kernel, padding="VALID", dilations=dilations)
    return made[:, :: strides[0], :: strides[1]]


def _padded(x: Any, size: Sequence[int], options: dict[str, Any]) -> Any:
    """Images with what the padding of a dilated, strided convolution adds."""
    if padding(options) == "VALID":
        return x
    reach = [(taps - 1) * step + 1 for taps, step in zip(size, _dilations(options), strict=True)]
    around = [_around(*rest) for rest in zip(x.shape[1:3], reach, _strides(options), strict=True)]
    return tf.pad(x, [(0, 0), *around, (0, 0)])


def _groups(call: Call) -> int:
    return call.operand(0).shape[-1] // call.operand(1).shape[-1]


def _conv_2d_layer(call: Call) -> Stock | None:
    both = max(_strides(call.options)) > 1 and max(_dilations(call.options)) > 1
    if not _is_stock(call) or not constant(call, 1, 2) or _groups(call) != 1 or both:
        return None
    filters, *size, channels = call.operand(1).shape
    held, use_bias = _bias(call, 2)
    strides = _strides(call.options)
    picks = size == [1, 1] and max(strides) > 1  # see `_convolved`
    layer = layers.Conv2D(
        filters, tuple(size), (1, 1) if picks else strides, padding(call.options).lower(),
        dilation_rate=_dilations(call.options), use_bias=use_bias,
    )  # fmt: skip
    kernel = Held(1, "kernel", Layout((1, 2, 3, 0), (*size, channels, filters)))
    return Stock(layer, held=(kernel, *held), before=layers.AveragePooling2D(1, strides) if picks else None)


def _depthwise(call: Call) -> Any:
    _, high, wide, outputs = call.operand(1).shape
    channels = call.operand(0).shape[-1]
    kernel = tf.reshape(call.common(1), (high, wide, channels, outputs // channels))
    strides, dilations = _strides(call.options), _dilations(call.options)

    def convolved(x: Any) -> Any:
        if strides[0] == strides[1] and (strides == (1, 1) or dilations == (1, 1)):
            steps = {"strides": (1, *strides, 1), "padding": padding(call.options), "dilations": dilations}
            return biased(call, tf.nn.depthwise_conv2d(x, kernel, **steps), 2)
        # TensorFlow strides both axes alike, and either strides or dilates: each place is computed, some are kept.
        x = _padded(x, (high, wide), call.options)
        made = tf.nn.depthwise_conv2d(x, kernel, (1, 1, 1, 1), "VALID", dilations=dilations)
        return biased(call, made[:, :: strides[0], :: strides[1]], 2)

    return images(call, convolved)


def _around(size: int, reach: int, stride: int) -> tuple[int, int]:
    """What "same" padding adds before and after."""
    total = max(0, (-(-size // stride) - 1) * stride + reach - size)
    return total // 2, total - total // 2


def _depthwise_layer(call: Call) -> Stock | None:
    strides, dilations = _strides(call.options), _dilations(call.options)
    odd = strides[0] != strides[1] or (max(strides) > 1 and max(dilations) > 1)
    if not _is_stock(call) or not constant(call, 1, 2) or odd:
        return None
    _, high, wide, outputs = call.operand(1).shape
    channels = call.operand(0).shape[-1]
    held, use_bias = _bias(call, 2)
    layer = layers.DepthwiseConv2D(
        (high, wide), strides, padding(call.options).lower(), depth_multiplier=outputs // channels,
        dilation_rate=dilations, use_bias=use_bias,
    )  # fmt: skip
    layout = Layout((0, 1, 2, 3), (high, wide, channels, outputs // channels))
    return Stock(layer, held=(Held(1, "depthwise_kernel", layout), *held))


def _transpose_conv(call: Call) -> Any:
    kernel, strides = tf.transpose(call.common(1), (1, 2, 0, 3)), _strides(call.options)
    outputs, *size, _ = call.operand(1).shape
    whole = [_whole(n, k, s) for n, k, s in zip(call.operand(2).shape[1:3], size, strides, strict=True)]
    result = call.results[0].shape[1:3]

    def convolved(x: Any) -> Any:
        if size == [1, 1]:
            made = _spread(tf.nn.conv2d(x, tf.transpose(kernel, (0, 1, 3, 2)), 1, "VALID"), strides, whole)
        else:
            shape = tf.stack([tf.shape(x)[0], *whole, outputs])
            made = tf.nn.conv2d_transpose(x, kernel, shape, strides, "VALID")
        same = padding(call.options) == "SAME"
        cut = [max(0, n - after) // 2 if same else 0 for n, after in zip(whole, result, strict=True)]
        made = made[:, cut[0] : cut[0] + result[0], cut[1] : cut[1] + result[1]]
        missing = [(0, max(0, after - n)) for n, after in zip(whole, result, strict=True)]
        return biased(call, tf.pad(made, [(0, 0), *missing, (0, 0)]), 3)

    return images(call, convolved, 2)


def _spread(x: Any, strides: tuple[int, int], whole: Sequence[int]) -> Any:
    """Images with zeros between their places, as a 1×1 kernel that strides makes them (see `_convolved`)."""
    _, high, wide, channels = x.shape
    room = [(0, 0), (0, 0), (0, strides[0] - 1), (0, 0), (0, strides[1] - 1), (0, 0)]
    made = tf.reshape(
        tf.pad(tf.reshape(x, (-1, high, 1, wide, 1, channels)), room),
        (-1, high * strides[0], wide * strides[1], channels),
    )
    return made[:, : whole[0], : whole[1]]


def _whole(size: int, kernel: int, stride: int) -> int:
    """How far a transposed convolution reaches before anything is cut off."""
    return (size - 1) * stride + kernel


def _transpose_conv_layer(call: Call) -> Stock | None:
    strides, same = _strides(call.options), padding(call.options) == "SAME"
    if not _is_stock(call, 2) or not constant(call, 1, 3):
        return None
    outputs, *size, channels = call.operand(1).shape
    if size == [1, 1] and max(strides) > 1:
        return None
    before, after = call.operand(2).shape[1:3], call.results[0].shape[1:3]
    for n, k, s, made in zip(before, size, strides, after, strict=True):
        if made != (n * s if same else n * s + max(k - s, 0)) or (same and k < s):
            return None
    held, use_bias = _bias(call, 3)
    layer = layers.Conv2DTranspose(outputs, tuple(size), strides, padding(call.options).lower(), use_bias=use_bias)
    kernel = Held(1, "kernel", Layout((1, 2, 0, 3), (*size, outputs, channels)))
    return Stock(layer, given=(2,), held=(kernel, *held))


def _conv_3d(call: Call) -> Any:
    options = call.options
    strides, dilations = (options["strideD"], *_strides(options)), (options["dilationDFactor"], *_dilations(options))
    if call.operand(0).shape[-1] != call.operand(1).shape[3]:
        raise NotLiftedError("it has groups")
    if max(dilations) > 1:
        raise NotLiftedError("TensorFlow has no gradient of it on CPUs")

    def convolved(x: Any) -> Any:
        steps = {"strides": (1, *strides, 1)}
        return biased(call, tf.nn.conv3d(x, call.common(1), padding=padding(options), **steps), 2)

    return images(call, convolved)


ROWS = (
    OperatorRow("CONV_2D", _conv_2d, _conv_2d_layer, weights=(1, 2)),
    OperatorRow("DEPTHWISE_CONV_2D", _depthwise, _depthwise_layer, weights=(1, 2)),
    OperatorRow("TRANSPOSE_CONV", _transpose_conv, _transpose_conv_layer, weights=(1, 3)),
    OperatorRow("CONV_3D", _conv_3d, weights=(1, 2)),
)
