"""Cost, against networks counted by hand and figures that others published."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgekit.errors import InputError
from edgekit.waist import cost, graph
from tests import networks


def one(path: Path, builtin: str, inputs: list[Any], output: tuple[int, ...], kind: str = "", **options: Any) -> Path:
    """A network of one operator: shapes become inputs, arrays constants, None an absent input."""
    net = networks.Network()
    tensors = []
    for number, given in enumerate(inputs):
        if given is None:
            tensors.append(-1)
        elif isinstance(given, tuple):
            tensors.append(net.input(f"x{number}", given))
        else:
            tensors.append(net.constant(f"k{number}", given))
    return net.save(path, net.operator(builtin, tensors, output, kind=kind, **options))


def zeros(*shape: int) -> Any:
    return np.zeros(shape, np.float32)


LSTM = [
    (1, 7, 3),
    *[zeros(5, 3)] * 4,
    *[zeros(5, 5)] * 4,
    *[None] * 3,
    *[zeros(5)] * 4,
    None,
    None,
    zeros(1, 5),
    zeros(1, 5),
]
BOTH_WAYS = [
    (1, 7, 3),
    *[*[zeros(5, 3)] * 4, *[zeros(5, 5)] * 4, *[None] * 3, *[zeros(5)] * 4, None, None] * 2,
    None,
    None,
]


@pytest.mark.parametrize(
    ("builtin", "inputs", "output", "kind", "options", "macs"),
    [
        ("CONV_2D", [(1, 8, 8, 3), zeros(16, 3, 3, 3), zeros(16)], (1, 4, 4, 16), "Conv2DOptions", {}, 4 * 4 * 16 * 27),
        # two groups: a filter sees half of the input's channels
        ("CONV_2D", [(1, 4, 4, 8), zeros(6, 1, 1, 4), zeros(6)], (1, 4, 4, 6), "Conv2DOptions", {}, 16 * 6 * 4),
        (
            "DEPTHWISE_CONV_2D",
            [(1, 8, 8, 4), zeros(1, 3, 3, 8), zeros(8)],
            (1, 8, 8, 8),
            "DepthwiseConv2DOptions",
            {},
            64 * 8 * 9,
        ),
        (
            "CONV_3D",
            [(1, 4, 4, 4, 2), zeros(3, 3, 3, 2, 5), zeros(5)],
            (1, 2, 2, 2, 5),
            "Conv3DOptions",
            {},
            8 * 5 * 54,
        ),
        (
            "TRANSPOSE_CONV",
            [np.array([1, 8, 8, 2], np.int32), zeros(2, 3, 3, 4), (1, 4, 4, 4)],
            (1, 8, 8, 2),
            "TransposeConvOptions",
            {},
            4 * 4 * 4 * 2 * 9,
        ),
        ("FULLY_CONNECTED", [(3, 10), zeros(4, 10), zeros(4)], (3, 4), "FullyConnectedOptions", {}, 120),
        ("FULLY_CONNECTED", [(3, 10), zeros(4, 10), None], (3, 4), "FullyConnectedOptions", {}, 120),
        ("BATCH_MATMUL", [(2, 3, 5), (2, 5, 7)], (2, 3, 7), "BatchMatMulOptions", {}, 2 * 3 * 5 * 7),
        ("BATCH_MATMUL", [(2, 5, 3), (2, 5, 7)], (2, 3, 7), "BatchMatMulOptions", {"adjX": True}, 2 * 3 * 5 * 7),
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", LSTM, (1, 7, 5), "UnidirectionalSequenceLSTMOptions", {}, 7 * 4 * (15 + 25)),
        (
            "BIDIRECTIONAL_SEQUENCE_LSTM",
            BOTH_WAYS,
            (1, 7, 5),
            "BidirectionalSequenceLSTMOptions",
            {},
            2 * 7 * 4 * (15 + 25),
        ),
        (
            "UNIDIRECTIONAL_SEQUENCE_RNN",
            [(1, 7, 3), zeros(5, 3), zeros(5, 5), zeros(5), zeros(1, 5)],
            (1, 7, 5),
            "SequenceRNNOptions",
            {},
            7 * (15 + 25),
        ),
        ("SVDF", [(1, 3), zeros(8, 3), zeros(8, 10), zeros(4), zeros(1, 80)], (1, 4), "SVDFOptions", {}, 24 + 80),
        ("AVERAGE_POOL_2D", [(1, 8, 8, 4)], (1, 4, 4, 4), "Pool2DOptions", {}, 0),
        ("ADD", [(1, 8), (1, 8)], (1, 8), "AddOptions", {}, 0),
    ],
)
def test_macs(
    builtin: str, inputs: list[Any], output: tuple[int, ...], kind: str, options: Any, macs: int, tmp_path: Path
) -> None:
    path = one(tmp_path / "net.tflite", builtin, inputs, output, kind, **options)
    assert cost.count(path).macs == macs


def test_a_network_counted_by_hand(tmp_path: Path) -> None:
    path = networks.classifier(tmp_path / "net.tflite")
    found = cost.count(path)
    assert found.bytes == path.stat().st_size
    assert found.parameters == 16 * 27 + 16 + 9 * 16 + 16 + 5 * 64 + 5
    assert found.macs == 64 * 16 * 27 + 64 * 16 * 9 + 5 * 64
    assert found.peak_activation_bytes == 2 * 64 * 16 * 4  # both sides of the depthwise convolution
    assert found.operators == {
        "CONV_2D": 1,
        "DEPTHWISE_CONV_2D": 1,
        "AVERAGE_POOL_2D": 1,
        "RESHAPE": 1,
        "FULLY_CONNECTED": 1,
        "SOFTMAX": 1,
    }


def test_a_shared_constant_is_one_parameter_tensor_and_shapes_are_none(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 4))
    shared = net.constant("k", zeros(4))
    x = net.operator("MUL", [x, shared], (1, 4), kind="MulOptions")
    x = net.operator("ADD", [x, shared], (1, 4), kind="AddOptions")
    shape = net.constant("shape", np.array([4, 1], np.int32))
    x = net.operator("RESHAPE", [x, shape], (4, 1), kind="ReshapeOptions")
    net.constant("unused", zeros(100))
    assert cost.count(net.save(tmp_path / "net.tflite", x)).parameters == 4


def test_int4_is_counted_in_elements_and_biases_of_integer_networks_are_parameters(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 6), "int8")
    kernel = net.constant("k", np.zeros(9, np.int8))  # 18 packed values
    bias = net.constant("b", np.zeros(3, np.int32))
    for tensor, scale in ((x, 0.5), (kernel, 0.1), (bias, 0.05)):
        net.subgraph.tensors[tensor].quantization = graph.schema.QuantizationParametersT()
        net.subgraph.tensors[tensor].quantization.scale = [scale]
        net.subgraph.tensors[tensor].quantization.zeroPoint = [0]
    net.subgraph.tensors[kernel].type = graph.schema.TensorType.INT4
    net.subgraph.tensors[kernel].shape = np.array([3, 6], np.int32)
    y = net.operator("FULLY_CONNECTED", [x, kernel, bias], (1, 3), dtype="int8", kind="FullyConnectedOptions")
    found = cost.count(net.save(tmp_path / "net.tflite", y))
    assert (found.parameters, found.macs, found.peak_activation_bytes) == (18 + 3, 18, 6 + 3)


def test_memory_counts_what_is_alive_together(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 100))
    a = net.operator("RELU", [x], (1, 10))
    b = net.operator("RELU", [a], (1, 50))
    c = net.operator("CONCATENATION", [a, b], (1, 60), kind="ConcatenationOptions", axis=1)
    path = net.save(tmp_path / "net.tflite", c)
    assert cost.count(path).peak_activation_bytes == 4 * max(100 + 10, 10 + 50, 10 + 50 + 60)


def test_an_output_and_a_state_live_to_the_end(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 10))
    first = net.operator("RELU", [x], (1, 70))
    last = net.operator("RELU", [net.operator("RELU", [x], (1, 5))], (1, 20))
    net.tensor("state", (1, 3), variable=True)
    path = net.save(tmp_path / "net.tflite", first, last)
    assert cost.count(path).peak_activation_bytes == 4 * (70 + 5 + 20 + 3)


@pytest.mark.parametrize(("dtype", "shape", "expected"), [("int8", (3, 5), 15), ("int4", (3, 5), 8), ("bool", (7,), 7)])
def test_bytes_of_a_tensor(dtype: str, shape: tuple[int, ...], expected: int) -> None:
    tensor = graph.Tensor(index=0, name="", shape=shape, signature_shape=shape, dtype=dtype, constant_bytes=0)
    assert cost.tensor_bytes(tensor) == expected


def test_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "net.tflite").write_bytes(b"\0\0\0\0TFL3")
    with pytest.raises(InputError):
        cost.count(tmp_path / "net.tflite")


@pytest.mark.shared
@pytest.mark.parametrize(
    ("file", "mega_macs", "kilo_parameters"),
    [
        # Multiply-accumulates as published for MLPerf Tiny (12.5 M, 2.7 M, 0.26 M, 7.5 M); parameters are those
        # of the layers' shapes once batch normalization is folded.
        ("pretrainedResnet_quant.tflite", 12.50, 78),
        ("kws_ref_model.tflite", 2.66, 22),
        ("ad01_int8.tflite", 0.264, 266),
        ("vww_96_int8.tflite", 7.49, 211),
    ],
)
def test_published_figures(file: str, mega_macs: float, kilo_parameters: int, shared: Path) -> None:
    found = cost.count(shared / "models/mlperf_tiny" / file)
    assert found.macs / 1e6 == pytest.approx(mega_macs, rel=0.005)
    assert found.parameters / 1e3 == pytest.approx(kilo_parameters, rel=0.03)


@pytest.mark.shared
def test_vela_agrees_about_the_peak(shared: Path) -> None:
    """Vela 5.2 reports 50.6 KiB of SRAM for the int8 ResNet-8; without its reuse the peak is three maps of 16 KiB."""
    found = cost.count(shared / "models/mlperf_tiny/pretrainedResnet_quant.tflite")
    assert found.peak_activation_bytes / 1024 == pytest.approx(48, abs=3)


@pytest.mark.parametrize("builtin", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL", "LSTM"])
@pytest.mark.parametrize("without", ["inputs", "outputs", "shapes"])
def test_an_operator_that_lacks_what_it_needs_is_not_counted(builtin: str, without: str, tmp_path: Path) -> None:
    """LiteRT loads no such file, and yet `inspect` tells of it."""
    path = one(tmp_path / "m.tflite", builtin, [(1, 4, 4, 2), zeros(3, 3, 3, 2)], (1, 4, 4, 3))
    model = graph.load(path)
    operator = model.subgraphs[0].operators[0]
    if without == "shapes":
        model.subgraphs[0].tensors[operator.inputs[1]].shape = None
    else:
        setattr(operator, without, [])
    path.write_bytes(graph.pack(model))
    found = cost.count(path)
    assert found.operators == {builtin: 1}
    assert without == "shapes" or found.macs == 0


def test_zeros_are_counted_among_weights(tmp_path: Path) -> None:
    net = networks.Network()
    x = net.input("x", (1, 4))
    half = net.constant("k", np.array([0.0, 1.0, 0.0, -0.0], np.float32))
    x = net.operator("MUL", [x, half], (1, 4), kind="MulOptions")
    shape = net.constant("shape", np.array([0, 0], np.int32))
    x = net.operator("RESHAPE", [x, shape], (4, 1), kind="ReshapeOptions")
    net.constant("unused", zeros(100))
    assert cost.zeros(net.save(tmp_path / "net.tflite", x)) == 0.75


@pytest.mark.parametrize("same", [True, False])
def test_copies_of_a_weight_count_once(same: bool, tmp_path: Path) -> None:
    """Steps of a loop read one buffer, or several of the same content; that two biases of zeros do, too, is chance."""
    net = networks.Network()
    x = net.input("x", (1, 3))
    values = np.arange(9, dtype=np.float32).reshape(3, 3)
    for step in range(2):
        dense = [x, net.constant(f"k{step}", values), net.constant(f"b{step}", np.arange(3, dtype=np.float32))]
        x = net.operator("FULLY_CONNECTED", dense, (1, 3), kind="FullyConnectedOptions")
    tensors, (first, second) = net.subgraph.tensors, net.subgraph.operators
    if same:
        for slot in (1, 2):
            tensors[second.inputs[slot]].buffer = tensors[first.inputs[slot]].buffer
    assert cost.count(net.save(tmp_path / "net.tflite", x)).parameters == 12
    assert cost.zeros(tmp_path / "net.tflite") == pytest.approx(2 / 12)
    net.model.buffers[tensors[first.inputs[2]].buffer].data = np.zeros(12, np.uint8)
    net.model.buffers[tensors[second.inputs[2]].buffer].data = np.zeros(12, np.uint8)
    assert cost.count(net.save(tmp_path / "net.tflite", x)).parameters == 12  # biases of zeros beside the same weights
    net.model.buffers.append(deepcopy(net.model.buffers[tensors[first.inputs[1]].buffer]))
    net.model.buffers[-1].data = values[::-1].copy().view(np.uint8).ravel()
    tensors[second.inputs[1]].buffer = len(net.model.buffers) - 1
    tensors[second.inputs[2]].buffer = tensors[first.inputs[2]].buffer
    assert cost.count(net.save(tmp_path / "net.tflite", x)).parameters == 24  # beside others they are equal by chance


def dense_twice(dtype: str, scales: tuple[float, float], zeros: tuple[int, int], values: Any) -> Any:
    """Vectors [1, 8] → two dense layers of equal integers, on scales of their own → [1, 8]."""
    net = networks.Network()
    x = net.input("x", (1, 8))
    for step, (scale, zero) in enumerate(zip(scales, zeros, strict=True)):
        kernel = net.constant(f"k{step}", values)
        held = net.subgraph.tensors[kernel]
        held.quantization = schema.QuantizationParametersT()
        held.quantization.scale, held.quantization.zeroPoint = np.array([scale], np.float32), np.array([zero])
        if dtype == "int4":
            held.type, data = schema.TensorType.INT4, values.view(np.uint8).ravel()
            net.model.buffers[held.buffer].data = (data[::2] & 15) | (data[1::2] << 4)
        x = net.operator("FULLY_CONNECTED", [x, kernel, -1], (1, 8), kind="FullyConnectedOptions")
    return net.model


@pytest.mark.parametrize("dtype", ["int4", "int8", "uint8", "int16"])
@pytest.mark.parametrize(
    ("scales", "zeros", "weights"),
    [((0.5, 0.5), (0, 0), 1), ((0.5, 1.0), (0, 0), 2), ((0.5, 0.5), (0, 3), 2)],
)
@pytest.mark.parametrize("row", [(0, 1, 2, 3, 4, 5, 6, 7), (1, 2, 3, 4, 1, 2, 3, 4), (1, 2, 1, 2, 1, 2, 1, 2)])
def test_equal_integers_on_other_scales_are_other_weights(
    dtype: str, scales: Any, zeros: Any, weights: int, row: tuple[int, ...]
) -> None:
    """Also those that repeat themselves, as long as they are not one value throughout."""
    values = np.tile(np.array(row, "int8" if dtype == "int4" else dtype), (8, 1))
    assert cost.parameters(dense_twice(dtype, scales, zeros, values)) == 64 * weights


@pytest.mark.parametrize("value", [0, 5])
@pytest.mark.parametrize("dtype", ["int4", "int8", "uint8", "int16", "float32", "float64"])
def test_one_value_throughout_is_equal_by_chance(dtype: str, value: int) -> None:
    values = np.full((8, 8), value, "int8" if dtype == "int4" else dtype)
    assert cost.parameters(dense_twice(dtype, (0.5, 0.5), (0, 0), values)) == 128
