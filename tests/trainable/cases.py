"""Networks of one operator behind a learned scale, so that each operator passes a gradient on.

Each case is a function from a network and its scaled input to the operator's result. Shapes that the
files declare are rough, as some converters' are: LiteRT finds the right ones.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.waist import graph, state
from tests.networks import SAME, VALID, Network, weights

Build = Callable[[Network, int], "int | tuple[int, ...]"]

STEP = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
IMAGE, ROWS, VECTOR = (1, 6, 8, 4), (1, 5, 4), (1, 12)


def ints(net: Network, name: str, *values: int) -> int:
    return net.constant(name, np.array(values, np.int32))


def plain(builtin: str, kind: str = "", **options: Any) -> Build:
    """An operator of one operand."""
    return lambda net, x: net.operator(builtin, [x], IMAGE, kind=kind, **options)


def positive(builtin: str) -> Build:
    """An operator of one operand that must be above 0."""
    return lambda net, x: net.operator(builtin, [net.operator("EXP", [x], IMAGE)], IMAGE)


def pair(builtin: str, shape: tuple[int, ...] = IMAGE, kind: str = "", **options: Any) -> Build:
    """An operator of two operands: what the scale gives, and weights of a shape, near 2."""

    def build(net: Network, x: int) -> int:
        other = net.constant("other", weights(*shape, seed=3) + 2)
        return net.operator(builtin, [x, other], IMAGE, kind=kind, **options)

    return build


def with_ints(builtin: str, *values: int, kind: str = "", shape: tuple[int, ...] = (), **options: Any) -> Build:
    """An operator whose second operand says how."""

    def build(net: Network, x: int) -> int:
        how = net.constant("how", np.array(values, np.int32).reshape(shape or -1))
        return net.operator(builtin, [x, how], IMAGE, kind=kind, **options)

    return build


def conv(kernel: tuple[int, ...], *, padding: int = SAME, **options: Any) -> Build:
    def build(net: Network, x: int) -> int:
        given = [x, net.constant("kernel", weights(*kernel)), net.constant("bias", weights(kernel[0], 1).ravel())]
        return net.operator("CONV_2D", given, IMAGE, kind="Conv2DOptions", padding=padding, **STEP | options)

    return build


def depthwise(size: tuple[int, int], multiplier: int = 1, padding: int = SAME, **options: Any) -> Build:
    def build(net: Network, x: int) -> int:
        outputs = 4 * multiplier
        kernel, bias = (
            net.constant("kernel", weights(1, *size, outputs) * 3),
            net.constant("bias", weights(outputs, 1).ravel()),
        )
        return net.operator(
            "DEPTHWISE_CONV_2D", [x, kernel, bias], (1, 6, 8, outputs), kind="DepthwiseConv2DOptions",
            padding=padding, depthMultiplier=multiplier, **STEP | options,
        )  # fmt: skip

    return build


def transposed(result: tuple[int, ...], size: int, stride: int, padding: int, *, bias: bool = True) -> Build:
    def build(net: Network, x: int) -> int:
        shape, kernel = ints(net, "shape", *result), net.constant("kernel", weights(result[-1], size, size, 4))
        given = [shape, kernel, x, *([net.constant("bias", weights(result[-1], 1).ravel())] * bias)]
        steps = {"padding": padding, "strideW": stride, "strideH": stride}
        return net.operator("TRANSPOSE_CONV", given, result, kind="TransposeConvOptions", **steps)

    return build


def dense(outputs: int, taps: int, *, bias: bool = True, shape: tuple[int, ...] = (1, 3), **options: Any) -> Build:
    def build(net: Network, x: int) -> int:
        given = [
            x,
            net.constant("kernel", weights(outputs, taps)),
            *([net.constant("bias", weights(outputs, 1).ravel())] * bias),
        ]
        return net.operator("FULLY_CONNECTED", given, shape, kind="FullyConnectedOptions", **options)

    return build


def product(shape: tuple[int, ...], *, swapped: bool = False, **options: Any) -> Build:
    def build(net: Network, x: int) -> int:
        other = net.constant("other", weights(*shape))
        return net.operator(
            "BATCH_MATMUL", [other, x] if swapped else [x, other], (1, 5, 3), kind="BatchMatMulOptions", **options
        )

    return build


def pool(builtin: str, padding: int) -> Build:
    steps = {"strideW": 2, "strideH": 2, "filterWidth": 3, "filterHeight": 2}
    return plain(builtin, "Pool2DOptions", padding=padding, **steps)


def folded(net: Network, x: int) -> int:
    """Rows of all samples as one matrix, and back: the batch is in the first axis for a while."""
    x = net.operator("RESHAPE", [x, ints(net, "rows", 5, 4)], (5, 4), kind="ReshapeOptions", newShape=[5, 4])
    x = dense(3, 4, shape=(5, 3))(net, x)
    return net.operator(
        "RESHAPE", [x, ints(net, "back", 1, 5, 3)], (1, 5, 3), kind="ReshapeOptions", newShape=[1, 5, 3]
    )


def split(net: Network, x: int) -> tuple[int, ...]:
    made = net.operator("SPLIT", [ints(net, "axis", 3), x], (1, 6, 8, 2), kind="SplitOptions", numSplits=2)
    other = net.tensor("second", (1, 6, 8, 2))
    net.subgraph.operators[-1].outputs = [made, other]
    return made, other


def split_by_sizes(net: Network, x: int) -> tuple[int, ...]:
    made = net.operator(
        "SPLIT_V", [x, ints(net, "sizes", 1, 3), ints(net, "axis", -1)], (1, 6, 8, 1), kind="SplitVOptions", numSplits=2
    )
    other = net.tensor("second", (1, 6, 8, 3))
    net.subgraph.operators[-1].outputs = [made, other]
    return made, other


def joined(net: Network, x: int) -> int:
    """A tensor, itself again, and a learned token."""
    token = net.constant("token", weights(1, 2, 4))
    return net.operator("CONCATENATION", [x, token, x], (1, 12, 4), kind="ConcatenationOptions", axis=1)


def stacked(net: Network, x: int) -> int:
    other = net.operator("NEG", [x], ROWS)
    return net.operator("PACK", [x, other], (1, 2, 5, 4), kind="PackOptions", axis=1, valuesCount=2)


def unstacked(net: Network, x: int) -> tuple[int, ...]:
    made = net.operator("UNPACK", [x], (1, 4), kind="UnpackOptions", axis=1, num=5)
    others = [net.tensor(f"part{i}", (1, 4)) for i in range(4)]
    net.subgraph.operators[-1].outputs = [made, *others]
    return made, *others


def strided(net: Network, x: int) -> int:
    bounds = [
        ints(net, name, *values)
        for name, values in (("begin", (0, 1, 6, 0)), ("end", (0, 5, 0, 3)), ("steps", (1, 2, -2, 1)))
    ]
    return net.operator(
        "STRIDED_SLICE", [x, *bounds], (1, 2, 3), kind="StridedSliceOptions", beginMask=1, endMask=1, shrinkAxisMask=8
    )


def sliced(net: Network, x: int) -> int:
    return net.operator("SLICE", [x, ints(net, "begin", 0, 1, 2, 0), ints(net, "size", 1, 3, -1, 2)], (1, 3, 6, 2))


def padded_v2(net: Network, x: int) -> int:
    borders = net.constant("borders", np.array([[0, 0], [1, 2], [0, 1], [0, 0]], np.int32))
    return net.operator("PADV2", [x, borders, net.constant("value", np.array([-2], np.float32))], (1, 9, 9, 4))


def looked_up(net: Network, x: int) -> int:
    """An embedding, looked up at an input of integers."""
    table, at = net.constant("table", weights(7, 4)), net.input("at", (1, 5), "int32")
    found = net.operator("GATHER", [table, at], ROWS, kind="GatherOptions", axis=0)
    return net.operator("ADD", [x, found], ROWS, kind="AddOptions")


def gathered(axis: int) -> Build:
    return lambda net, x: net.operator(
        "GATHER", [x, ints(net, "at", 2, 0, 2)], (1, 3, 4), kind="GatherOptions", axis=axis
    )


def gathered_nd(net: Network, x: int) -> int:
    return net.operator("GATHER_ND", [x, net.constant("at", np.array([[[0, 2], [0, 4]]], np.int32))], (1, 2, 4))


def scattered(net: Network, x: int) -> int:
    at = net.constant("at", np.array([[[0, 6], [0, 1], [0, 0], [0, 3], [0, 6]]], np.int32))
    return net.operator("SCATTER_ND", [at, x, ints(net, "size", 1, 7, 4)], (1, 7, 4))


def broadcast(net: Network, x: int) -> int:
    made = net.operator("BROADCAST_TO", [x, ints(net, "shape", 2, 5, 4)], (2, 5, 4))
    net.model.operatorCodes[-1].version = 2
    return made


def selected(net: Network, x: int) -> int:
    zero = net.constant("zero", np.zeros(1, np.float32))
    above = net.operator("GREATER", [x, zero], IMAGE, dtype="bool")
    return net.operator("SELECT_V2", [above, x, net.constant("else", weights(1, 1, 1, 4))], IMAGE)


def resized(builtin: str, **options: Any) -> Build:
    kind = "ResizeBilinearOptions" if builtin == "RESIZE_BILINEAR" else "ResizeNearestNeighborOptions"
    return with_ints(builtin, 9, 12, kind=kind, **options)


def space(builtin: str, borders: list[list[int]]) -> Build:
    def build(net: Network, x: int) -> int:
        if builtin == "BATCH_TO_SPACE_ND":
            x = space("SPACE_TO_BATCH_ND", [[0, 0], [0, 0]])(net, x)  # type: ignore[assignment]
        edges = net.constant(f"edges_{builtin}", np.array(borders, np.int32))
        return net.operator(builtin, [x, ints(net, f"block_{builtin}", 2, 2), edges], (4, 4, 5, 4))

    return build


def lstm(
    builtin: str = "UNIDIRECTIONAL_SEQUENCE_LSTM",
    *,
    cifg: bool = False,
    projection: bool = False,
    extras: bool = False,
    time_major: bool = False,
) -> Build:
    """An LSTM of 3 units on sequences of 5 steps of 4 values."""

    def build(net: Network, x: int) -> int:
        taps, units, outputs = 4, 3, 2 if projection else 3
        given = [-1] * 24
        given[0] = x
        for gate in range(1 if cifg else 0, 4):
            given[1 + gate] = net.constant(f"w{gate}", weights(units, taps, seed=gate))
            given[5 + gate] = net.constant(f"r{gate}", weights(units, outputs, seed=10 + gate))
            given[12 + gate] = net.constant(f"b{gate}", weights(units, 1, seed=20 + gate).ravel())
            if extras:
                given[20 + gate] = net.constant(f"n{gate}", 1 + weights(units, 1, seed=40 + gate).ravel())
        if extras:
            for number in range(1 if cifg else 0, 3):
                given[9 + number] = net.constant(f"p{number}", weights(units, 1, seed=30 + number).ravel())
        if projection:
            given[16] = net.constant("projection", weights(outputs, units, seed=50))
        given[18], given[19] = (net.tensor(name, (1, n), variable=True) for name, n in (("h", outputs), ("c", units)))
        kind = "UnidirectionalSequenceLSTMOptions"
        tanh = schema.ActivationFunctionType.TANH
        return net.operator(
            builtin, given, (1, 5, outputs), kind=kind, fusedActivationFunction=tanh, timeMajor=time_major
        )

    return build


def lstm_both_ways(net: Network, x: int) -> int:
    given = [-1] * 48
    given[0] = x
    for start, seed in ((1, 0), (18, 100)):
        for gate in range(4):
            given[start + gate] = net.constant(f"w{seed + gate}", weights(3, 4, seed=seed + gate))
            given[start + 4 + gate] = net.constant(f"r{seed + gate}", weights(3, 3, seed=10 + seed + gate))
            given[start + 11 + gate] = net.constant(f"b{seed + gate}", weights(3, 1, seed=20 + seed + gate).ravel())
    for slot in range(35, 39):
        given[slot] = net.tensor(f"state{slot}", (1, 3), variable=True)
    return net.operator(
        "BIDIRECTIONAL_SEQUENCE_LSTM", given, (1, 5, 6), kind="BidirectionalSequenceLSTMOptions", mergeOutputs=True, timeMajor=False,
        fusedActivationFunction=schema.ActivationFunctionType.TANH,
    )  # fmt: skip


def rnn(net: Network, x: int) -> int:
    given = [
        x,
        net.constant("w", weights(3, 4)),
        net.constant("r", weights(3, 3, seed=1)),
        net.constant("b", weights(3, 1, seed=2).ravel()),
    ]
    state = net.tensor("state", (1, 3), variable=True)
    tanh = schema.ActivationFunctionType.TANH
    return net.operator(
        "UNIDIRECTIONAL_SEQUENCE_RNN",
        [*given, state],
        (1, 5, 3),
        kind="SequenceRNNOptions",
        fusedActivationFunction=tanh,
    )


def quantized(net: Network, x: int) -> int:
    """Rounded to integers with a scale, and back."""
    made = net.operator("QUANTIZE", [x], VECTOR, dtype="int8")
    grid = schema.QuantizationParametersT()
    grid.scale, grid.zeroPoint, grid.quantizedDimension = [0.001], [3], 0
    net.subgraph.tensors[made].quantization = grid
    return net.operator("DEQUANTIZE", [made], VECTOR)


def compared(builtin: str) -> Build:
    return lambda net, x: net.operator(builtin, [x, net.constant("other", weights(1, 1, 1, 4))], IMAGE, dtype="bool")


def joined_flags(builtin: str) -> Build:
    def build(net: Network, x: int) -> int:
        first = compared("LESS")(net, x)
        other = net.constant("more", weights(4, 1, seed=9).ravel())
        return net.operator(
            builtin, [first, net.operator("LESS", [x, other], IMAGE, dtype="bool")], IMAGE, dtype="bool"
        )

    return build


def flags(builtin: str) -> Build:
    def build(net: Network, x: int) -> int:
        given = [compared("LESS")(net, x), *([ints(net, "axis", 3)] if builtin != "LOGICAL_NOT" else [])]
        return net.operator(builtin, given, IMAGE, dtype="bool", kind="ReducerOptions" if len(given) > 1 else "")

    return build


def whole_numbers(net: Network, x: int) -> int:
    ten = net.constant("ten", np.array([10], np.float32))
    return net.operator(
        "CAST", [net.operator("MUL", [x, ten], VECTOR)], VECTOR, dtype="int32", kind="CastOptions", outDataType=2
    )


def of_whole_numbers(builtin: str, other: int) -> Build:
    return lambda net, x: net.operator(builtin, [whole_numbers(net, x), ints(net, "by", other)], VECTOR, dtype="int32")


def position(builtin: str, axis: int) -> Build:
    def build(net: Network, x: int) -> int:
        kind = "ArgMaxOptions" if builtin == "ARG_MAX" else "ArgMinOptions"
        return net.operator(builtin, [x, ints(net, "axis", axis)], (1, 6, 8), dtype="int32", kind=kind, outputType=2)

    return build


def largest(net: Network, x: int) -> tuple[int, ...]:
    made = net.operator("TOPK_V2", [x, net.constant("k", np.array(2, np.int32))], (1, 5, 2), kind="TopKV2Options")
    where = net.tensor("where", (1, 5, 2), "int32")
    net.subgraph.operators[-1].outputs = [made, where]
    return made, where


def one_hot(net: Network, x: int) -> int:
    at = position("ARG_MAX", 3)(net, x)
    settings = [
        net.constant(name, np.array(value, dtype))
        for name, value, dtype in (("depth", 4, np.int32), ("on", 2, np.float32), ("off", -1, np.float32))
    ]
    return net.operator("ONE_HOT", [at, *settings], (1, 6, 8, 4), kind="OneHotOptions", axis=-1)


def selected_by_rows(net: Network, x: int) -> int:
    """A condition for each entry of the first axis."""
    zero, first = net.constant("zero", np.zeros(1, np.float32)), ints(net, "first", 2)
    sums = net.operator("SUM", [x, first], (5, 2), kind="ReducerOptions")
    flat = net.operator("REDUCE_MAX", [sums, ints(net, "last", 1)], (5,), kind="ReducerOptions")
    above = net.operator("GREATER", [flat, zero], (5,), dtype="bool")
    return net.operator(
        "SELECT", [above, x, net.operator("NEG", [net.operator("EXP", [x], (5, 2, 4))], (5, 2, 4))], (5, 2, 4)
    )


def updated(net: Network, x: int) -> int:
    part = net.constant("part", weights(1, 2, 3))
    return net.operator("DYNAMIC_UPDATE_SLICE", [x, part, ints(net, "begin", 0, 1, 9)], ROWS)


def turned(net: Network, x: int) -> int:
    return net.operator(
        "REVERSE_SEQUENCE", [x, ints(net, "lengths", 3)], ROWS, kind="ReverseSequenceOptions", seqDim=1, batchDim=0
    )


def conv_3d(net: Network, x: int) -> int:
    kernel, bias = net.constant("kernel", weights(2, 2, 3, 3, 2) / 2), net.constant("bias", weights(2, 1).ravel())
    steps = {"strideD": 1, "strideW": 2, "strideH": 1, "dilationDFactor": 1, "dilationWFactor": 1, "dilationHFactor": 1}
    return net.operator("CONV_3D", [x, kernel, bias], (1, 4, 5, 3, 2), kind="Conv3DOptions", padding=SAME, **steps)


def embedded(net: Network, x: int) -> int:
    at, table = net.input("at", (5,), "int32"), net.constant("table", weights(7, 4))
    found = net.operator("EMBEDDING_LOOKUP", [at, table], (5, 4))
    return net.operator("ADD", [x, found], ROWS, kind="AddOptions")


def looked_up_per_row(net: Network, x: int) -> int:
    """Positions that the network finds, each sample's own."""
    at = net.operator("ARG_MAX", [x, ints(net, "axis", 1)], (1, 4), dtype="int32", kind="ArgMaxOptions", outputType=2)
    return net.operator("GATHER", [x, at], (1, 4, 4), kind="GatherOptions", axis=1, batchDims=1)


def rnn_both_ways(net: Network, x: int) -> tuple[int, ...]:
    given = [-1] * 12
    given[0] = x
    for start, seed in ((1, 0), (5, 5)):
        given[start], given[start + 1] = (
            net.constant(f"w{seed}", weights(3, 4, seed=seed)),
            net.constant(f"r{seed}", weights(3, 3, seed=seed + 1)),
        )
        given[start + 2] = net.constant(f"b{seed}", weights(3, 1, seed=seed + 2).ravel())
        given[start + 3] = net.tensor(f"state{seed}", (1, 3), variable=True)
    made = net.operator(
        "BIDIRECTIONAL_SEQUENCE_RNN", given, (1, 5, 3), kind="BidirectionalSequenceRNNOptions", timeMajor=False,
        fusedActivationFunction=RELU,
    )  # fmt: skip
    other = net.tensor("backwards", (1, 5, 3))
    net.subgraph.operators[-1].outputs = [made, other]
    return made, other


def rnn_step(net: Network, x: int) -> int:
    """A step that begins at a state which the network computes."""
    given = [x, *(net.constant(name, weights(3, taps, seed=taps)) for name, taps in (("w", 12), ("r", 3)))]
    given.append(net.constant("b", weights(3, 1, seed=2).ravel()))
    state = dense(3, 12, bias=False)(net, x)
    assert isinstance(state, int)
    net.subgraph.tensors[state].isVariable = True
    return net.operator("RNN", [*given, state], (1, 3), kind="RNNOptions", fusedActivationFunction=RELU6)


def spectrum(net: Network, x: int) -> int:
    made = net.operator("RFFT2D", [x, ints(net, "size", 1, 8)], (1, 1, 5), dtype="complex64")
    return net.operator("COMPLEX_ABS", [made], (1, 1, 5))


def shaped_by_its_own_shape(net: Network, x: int) -> int:
    """Shapes that the file computes: nothing of it is left when it is lifted."""
    shape = net.operator("SHAPE", [x], (3,), dtype="int32", kind="ShapeOptions", outType=2)
    bounds = [ints(net, name, value) for name, value in (("begin", 1), ("end", 2), ("steps", 1))]
    steps = net.operator(
        "STRIDED_SLICE", [shape, *bounds], (), dtype="int32", kind="StridedSliceOptions", shrinkAxisMask=1
    )
    one, rest = net.constant("one", np.array(1, np.int32)), net.constant("rest", np.array(-1, np.int32))
    new = net.operator("PACK", [one, one, steps, rest], (4,), dtype="int32", kind="PackOptions", axis=0, valuesCount=4)
    return net.operator("RESHAPE", [x, new], (1, 1, 5, 4), kind="ReshapeOptions")


def filled(net: Network, x: int) -> int:
    ones = net.operator("FILL", [ints(net, "size", 1, 5, 1), net.constant("one", np.array(1.5, np.float32))], (1, 5, 1))
    count = net.operator(
        "RANGE", [net.constant(n, np.array(v, np.float32)) for n, v in (("start", 0), ("stop", 4), ("by", 1))], (4,)
    )
    return net.operator("ADD", [net.operator("MUL", [x, ones], ROWS), count], ROWS)


RELU, RELU6 = schema.ActivationFunctionType.RELU, schema.ActivationFunctionType.RELU6
N1_TO_1 = schema.ActivationFunctionType.RELU_N1_TO_1

CASES: dict[str, tuple[tuple[int, ...], Build]] = {
    **{
        name: (IMAGE, plain(name))
        for name in (
            "RELU",
            "RELU6",
            "RELU_N1_TO_1",
            "RELU_0_TO_1",
            "TANH",
            "LOGISTIC",
            "ELU",
            "HARD_SWISH",
            "ABS",
            "NEG",
            "EXP",
            "SQUARE",
            "SIN",
            "COS",
            "LOG_SOFTMAX",
            "GELU",
            "L2_NORMALIZATION",
        )
    },
    **{f"{name}_of_positives": (IMAGE, positive(name)) for name in ("LOG", "SQRT", "RSQRT")},
    **{
        name: (IMAGE, pair(name, (1, 1, 1, 4)))
        for name in ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE")
    },
    "ADD_of_a_vector_with_relu": (IMAGE, pair("ADD", (4,), "AddOptions", fusedActivationFunction=RELU)),
    "POW_of_positives": (VECTOR, lambda net, x: pair("POW", (1, 12))(net, net.operator("EXP", [x], VECTOR))),
    "SOFTMAX": (IMAGE, plain("SOFTMAX", "SoftmaxOptions", beta=1.0)),
    "SOFTMAX_beta": (VECTOR, plain("SOFTMAX", "SoftmaxOptions", beta=0.5)),
    "LEAKY_RELU": (IMAGE, plain("LEAKY_RELU", "LeakyReluOptions", alpha=0.1)),
    "PRELU": (IMAGE, pair("PRELU", (1, 1, 4))),
    "PRELU_everywhere": (IMAGE, pair("PRELU", (6, 8, 4))),
    "PRELU_of_rows": (ROWS, pair("PRELU", (1, 4))),
    "GELU_approximate": (VECTOR, plain("GELU", "GeluOptions", approximate=True)),
    "CONV_2D": (IMAGE, conv((3, 3, 3, 4), fusedActivationFunction=RELU)),
    "CONV_2D_valid_strides": (
        IMAGE,
        conv((3, 2, 3, 4), padding=VALID, strideW=2, strideH=1, fusedActivationFunction=N1_TO_1),
    ),
    "CONV_2D_dilated": (IMAGE, conv((3, 3, 3, 4), dilationWFactor=2, dilationHFactor=2)),
    "CONV_2D_dilated_strides": (IMAGE, conv((3, 2, 2, 4), strideW=2, strideH=2, dilationWFactor=2, dilationHFactor=2)),
    "CONV_2D_places": ((1, 6, 6, 4), conv((3, 1, 1, 4), strideW=2, strideH=2)),
    "CONV_2D_places_valid": ((1, 7, 7, 4), conv((3, 1, 1, 4), padding=VALID, strideW=3, strideH=2)),
    "CONV_2D_groups": (IMAGE, conv((6, 3, 3, 2), strideW=2, strideH=2, fusedActivationFunction=RELU6)),
    "DEPTHWISE_CONV_2D": (IMAGE, depthwise((3, 3), fusedActivationFunction=RELU6)),
    "DEPTHWISE_CONV_2D_multiplier": (IMAGE, depthwise((3, 2), 2, VALID, strideW=2, strideH=2)),
    "DEPTHWISE_CONV_2D_odd_strides": (IMAGE, depthwise((3, 3), strideW=2)),
    "DEPTHWISE_CONV_2D_dilated": (IMAGE, depthwise((2, 3), dilationWFactor=2, dilationHFactor=2)),
    "TRANSPOSE_CONV_places": ((1, 3, 3, 4), transposed((1, 6, 6, 2), 1, 2, SAME)),
    "TRANSPOSE_CONV_places_valid": ((1, 3, 3, 4), transposed((1, 7, 7, 2), 1, 3, VALID)),
    "TRANSPOSE_CONV_same": (IMAGE, transposed((1, 12, 16, 3), 3, 2, SAME)),
    "TRANSPOSE_CONV_same_cropped": (IMAGE, transposed((1, 11, 15, 3), 3, 2, SAME)),
    "TRANSPOSE_CONV_valid": (IMAGE, transposed((1, 13, 17, 3), 3, 2, VALID, bias=False)),
    "FULLY_CONNECTED": (VECTOR, dense(3, 12, fusedActivationFunction=RELU)),
    "FULLY_CONNECTED_flattening": (ROWS, dense(3, 20, bias=False)),
    "FULLY_CONNECTED_rows": (ROWS, dense(3, 4, shape=(1, 5, 3), keepNumDims=True)),
    "FULLY_CONNECTED_folded": (ROWS, folded),
    "BATCH_MATMUL": (ROWS, product((4, 3))),
    "BATCH_MATMUL_transposed": (ROWS, product((1, 3, 4), adjY=True)),
    "BATCH_MATMUL_from_the_left": (ROWS, product((1, 3, 5), swapped=True)),
    "BATCH_MATMUL_from_the_left_transposed": (ROWS, product((5, 3), swapped=True, adjX=True)),
    "BATCH_MATMUL_of_columns": (ROWS, product((5, 3), adjX=True)),
    "BATCH_MATMUL_of_columns_from_the_left": (ROWS, product((3, 4), swapped=True, adjY=True)),
    **{
        f"{name}_{how}": (IMAGE, pool(name, padding))
        for name in ("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D")
        for how, padding in (("same", SAME), ("valid", VALID))
    },
    "LOCAL_RESPONSE_NORMALIZATION": (
        IMAGE,
        plain(
            "LOCAL_RESPONSE_NORMALIZATION",
            "LocalResponseNormalizationOptions",
            radius=1,
            bias=1.0,
            alpha=0.5,
            beta=0.75,
        ),
    ),
    **{
        f"{name}_kept": (IMAGE, with_ints(name, 1, -2, kind="ReducerOptions", keepDims=True))
        for name in ("MEAN", "SUM", "REDUCE_MAX")
    },
    **{
        f"{name}_of_channels": (IMAGE, with_ints(name, 3, kind="ReducerOptions"))
        for name in ("MEAN", "REDUCE_MIN", "REDUCE_PROD")
    },
    "CUMSUM": (
        ROWS,
        lambda net, x: net.operator(
            "CUMSUM", [x, net.constant("axis", np.array(1, np.int32))], ROWS, kind="CumsumOptions", exclusive=True
        ),
    ),
    "RESHAPE": (IMAGE, with_ints("RESHAPE", 1, 12, 16, kind="ReshapeOptions", newShape=[1, 12, 16])),
    "TRANSPOSE": (IMAGE, with_ints("TRANSPOSE", 0, 3, 1, 2)),
    "TRANSPOSE_of_the_batch": (ROWS, with_ints("TRANSPOSE", 1, 0, 2)),
    "EXPAND_DIMS": (ROWS, with_ints("EXPAND_DIMS", 0)),
    "SLICE": (IMAGE, sliced),
    "STRIDED_SLICE": (IMAGE, strided),
    "SPLIT": (IMAGE, split),
    "SPLIT_V": (IMAGE, split_by_sizes),
    "CONCATENATION": (ROWS, joined),
    "PACK": (ROWS, stacked),
    "UNPACK": (ROWS, unstacked),
    "PAD": (IMAGE, with_ints("PAD", 0, 0, 1, 2, 0, 1, 0, 0, shape=(4, 2))),
    "PAD_channels": (IMAGE, with_ints("PAD", 0, 0, 0, 0, 0, 0, 1, 2, shape=(4, 2))),
    "PADV2": (IMAGE, padded_v2),
    "MIRROR_PAD": (
        IMAGE,
        with_ints("MIRROR_PAD", 0, 0, 1, 2, 2, 0, 0, 0, shape=(4, 2), kind="MirrorPadOptions", mode=0),
    ),
    "TILE": (ROWS, with_ints("TILE", 1, 2, 3)),
    "TILE_of_the_batch": (ROWS, with_ints("TILE", 2, 1, 1)),
    "BROADCAST_TO": ((1, 1, 4), broadcast),
    "REVERSE_V2": (ROWS, with_ints("REVERSE_V2", 1)),
    "SPACE_TO_DEPTH": (IMAGE, plain("SPACE_TO_DEPTH", "SpaceToDepthOptions", blockSize=2)),
    "DEPTH_TO_SPACE": (IMAGE, plain("DEPTH_TO_SPACE", "DepthToSpaceOptions", blockSize=2)),
    "SPACE_TO_BATCH_ND": (IMAGE, space("SPACE_TO_BATCH_ND", [[2, 0], [1, 1]])),
    "BATCH_TO_SPACE_ND": (IMAGE, space("BATCH_TO_SPACE_ND", [[1, 0], [0, 2]])),
    "GATHER_embedding": (ROWS, looked_up),
    "GATHER_rows": (ROWS, gathered(1)),
    "GATHER_channels": (ROWS, gathered(2)),
    "GATHER_ND": (ROWS, gathered_nd),
    "SCATTER_ND": (ROWS, scattered),
    "SELECT_V2": (IMAGE, selected),
    "RESIZE_BILINEAR": (IMAGE, resized("RESIZE_BILINEAR")),
    "RESIZE_BILINEAR_corners": (IMAGE, resized("RESIZE_BILINEAR", alignCorners=True)),
    "RESIZE_BILINEAR_centers": (IMAGE, resized("RESIZE_BILINEAR", halfPixelCenters=True)),
    "RESIZE_NEAREST_NEIGHBOR": (IMAGE, resized("RESIZE_NEAREST_NEIGHBOR", halfPixelCenters=True)),
    "LSTM": (ROWS, lstm()),
    "LSTM_cifg_peepholes_norms_projection": (ROWS, lstm(cifg=True, projection=True, extras=True)),
    "LSTM_time_major": ((5, 1, 4), lstm(time_major=True)),
    "LSTM_both_ways": (ROWS, lstm_both_ways),
    "RNN": (ROWS, rnn),
    "QUANTIZE": (VECTOR, quantized),
    "TOPK_V2": (ROWS, largest),
    "SELECT_of_rows": ((5, 2, 4), selected_by_rows),
    "DYNAMIC_UPDATE_SLICE": (ROWS, updated),
    "REVERSE_SEQUENCE": (ROWS, turned),
    "CONV_3D": ((1, 4, 5, 6, 3), conv_3d),
    "EMBEDDING_LOOKUP": (ROWS, embedded),
    "GATHER_per_sample": (ROWS, looked_up_per_row),
    "RNN_both_ways": (ROWS, rnn_both_ways),
    "RNN_step": (VECTOR, rnn_step),
    "RFFT2D": ((1, 1, 8), spectrum),
    "SHAPE": (ROWS, shaped_by_its_own_shape),
    "FILL_and_RANGE": (ROWS, filled),
    "ATAN2": (IMAGE, pair("ATAN2", IMAGE)),
    "FLOOR_MOD": (IMAGE, pair("FLOOR_MOD", IMAGE)),
    "ADD_N": (IMAGE, lambda net, x: net.operator("ADD_N", [x, net.operator("EXP", [x], IMAGE), x], IMAGE)),
}
"""By name the shape of the input, and the operator."""

STOPPING: dict[str, tuple[tuple[int, ...], Build]] = {
    **{name: (IMAGE, plain(name)) for name in ("FLOOR", "CEIL", "ROUND", "SIGN")},
    **{
        name: (IMAGE, compared(name))
        for name in ("LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL", "EQUAL", "NOT_EQUAL")
    },
    **{name: (IMAGE, joined_flags(name)) for name in ("LOGICAL_AND", "LOGICAL_OR")},
    **{name: (IMAGE, flags(name)) for name in ("LOGICAL_NOT", "REDUCE_ANY", "REDUCE_ALL")},
    **{f"{name}_of_{axis}": (IMAGE, position(name, axis)) for name in ("ARG_MAX", "ARG_MIN") for axis in (1, -1)},
    "ONE_HOT": (IMAGE, one_hot),
    "FLOOR_DIV": (IMAGE, pair("FLOOR_DIV")),
    "CAST": (VECTOR, whole_numbers),
    "FLOOR_MOD_of_whole_numbers": (VECTOR, of_whole_numbers("FLOOR_MOD", 3)),
    "DIV_of_whole_numbers": (VECTOR, of_whole_numbers("DIV", 4)),
    "BITWISE_XOR": (VECTOR, of_whole_numbers("BITWISE_XOR", 5)),
    "RIGHT_SHIFT": (VECTOR, of_whole_numbers("RIGHT_SHIFT", 1)),
}
"""Operators behind which nothing is trained."""


def write(name: str, folder: Path) -> Path:
    """The file of a case."""
    shape, build = (CASES | STOPPING)[name]
    net = Network()
    x = net.input("x", shape)
    scale = net.constant("scale", 1 + weights(shape[-1], 1, seed=7).ravel() / 4)
    made = build(net, net.operator("MUL", [x, scale], shape, kind="MulOptions"))
    path = folder / f"{name}.tflite"
    net.save(path, *(made if isinstance(made, tuple) else (made,)))
    tree = graph.load(path)
    state.clear(tree)
    path.write_bytes(graph.pack(tree))
    return path
